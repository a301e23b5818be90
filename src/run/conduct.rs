//! The course of a run: controls first, then blocks of a dose round and a control round until they decide, then the
//! call sites, and a last reading after unmount.

use super::obeys::Obeys;
use super::record::{Outcome, Reading};
use super::stage::Stage;
use super::{Options, Until, controls, names_control, size_classes};
use crate::guest::BUSY_CACHES;
use crate::guest::protocol::{Answer, Order, Worked};
use crate::probe::Sample;
use crate::probe::counters::SiteSource;
use crate::probe::traces::Site;
use crate::report::record::RoundKind;
use crate::scenario::Rounds;
use crate::ui::Task;
use crate::verdict::doses::Doses;
use crate::verdict::judge::{Phase, Says, judge};
use crate::verdict::{Block, Growth, growth};
use crate::vm::machine::{BOOT_LIMIT, Ended, Vm, unexpected};
use std::collections::BTreeMap;
use std::time::Instant;

pub(super) type Step<T> = Result<T, Ended>;

/// About what coming to rest takes, for the time that is left.
const REST_SECONDS: f64 = 0.4;
/// Growth of a cache in one block from which on its call sites are watched, in objects.
const WATCHED_GROWTH: i64 = 8;
/// Caches whose call sites are watched at most.
const MOST_WATCHED: usize = 16;

/// Runs the guest from boot to its last word and writes into `outcome` what was seen.
pub fn conduct(stage: &Stage, options: &Options, until: Until, outcome: &mut Outcome, task: &Task) -> Step<()> {
    let begin = Instant::now();
    let mut vm = stage.boot()?;
    let mut begun = Instant::now();
    let ready = boot(&mut vm, |part| match part {
        Answer::Hello { release } => {
            outcome.time("guest: kernel", std::mem::replace(&mut begun, Instant::now()));
            outcome.record.kernel.release.clone_from(release);
        }
        Answer::Step { name, seconds } => {
            outcome.time_of(&format!("guest: {name}"), *seconds);
            task.note(name);
        }
        _ => {}
    })?;
    let mut course = Course::new(&mut vm, task, outcome);
    let names = course.ready(ready)?;
    course.outcome.time("boot and set up", begin);
    let begin = Instant::now();
    let baseline = course.controls(&names)?;
    course.outcome.time("controls", begin);
    let charged = stage.scenario.cgroup.as_ref().map(|_| course.charged()).transpose()?;
    let begin = Instant::now();
    let last = course.blocks(&baseline, &stage.scenario.rounds, until, options)?;
    course.outcome.time("rounds", begin);
    let last = match charged {
        Some(before) => course.take_cgroup_away(&before, last)?,
        None => last,
    };
    if options.kmemleak {
        course.ask_kmemleak()?;
    }
    let begin = Instant::now();
    course.wait_for_late_frees(&baseline, last, options)?;
    course.unmount(&baseline)?;
    let console = vm.finish()?;
    outcome.complaints = console.complaints().clone();
    outcome.record.controls.sources.push(controls::console(console.times_heard()));
    outcome.time("unmount and end", begin);
    Ok(())
}

/// Waits until the stage is set, and gives the answer that says so; `part` hears of what is done before.
pub(crate) fn boot(vm: &mut Vm, mut part: impl FnMut(&Answer)) -> Step<Answer> {
    let mut answer = vm.answer_within(BOOT_LIMIT)?;
    while matches!(answer, Answer::Hello { .. } | Answer::Step { .. }) {
        part(&answer);
        answer = vm.answer()?;
    }
    if matches!(answer, Answer::Ready { .. }) { Ok(answer) } else { Err(unexpected(&answer)) }
}

/// A run while it goes on.
pub(super) struct Course<'a> {
    worker: &'a mut dyn Obeys,
    pub(super) task: &'a Task,
    pub(super) outcome: &'a mut Outcome,
    /// Units made in all blocks.
    pub(super) dose: u64,
    /// About what one unit takes.
    pub(super) unit_seconds: f64,
    /// How the kernel tells who allocated an object.
    pub(super) site_source: SiteSource,
    /// On a machine that does other things meanwhile: how much each counter moves because of them.
    pub(super) noise: Option<Growth>,
    /// When the time is used up, on a machine where somebody waits.
    pub(super) deadline: Option<Instant>,
}

impl<'a> Course<'a> {
    pub(super) fn new(worker: &'a mut dyn Obeys, task: &'a Task, outcome: &'a mut Outcome) -> Self {
        Self {
            worker,
            task,
            outcome,
            dose: 0,
            unit_seconds: 0.0,
            site_source: SiteSource::None,
            noise: None,
            deadline: None,
        }
    }

    /// The stage is set, as this answer says; gives the caches in which names will be.
    pub(super) fn ready(&mut self, ready: Answer) -> Step<Vec<String>> {
        let Answer::Ready {
            object_bytes,
            name_allocations,
            missing_sources,
            before_mount,
            sites_before_mount,
            site_source,
        } = ready
        else {
            return Err(unexpected(&ready));
        };
        self.site_source = site_source;
        self.outcome.record.not_looked_for = missing_sources;
        self.outcome.left.before_mount(before_mount, sites_before_mount);
        let caches = names_control::caches(&name_allocations, &object_bytes);
        self.outcome.object_bytes = object_bytes;
        self.outcome.record.name_bytes = name_allocations.iter().map(|(l, n)| (l - 1) * n).sum();
        Ok(caches)
    }

    /// Blocks until they decide or the last look is over; gives the last reading.
    pub(super) fn blocks(
        &mut self,
        baseline: &Sample,
        rounds: &Rounds,
        until: Until,
        options: &Options,
    ) -> Step<Sample> {
        let mut last = baseline.clone();
        let mut watched: BTreeMap<String, Vec<Site>> = BTreeMap::new();
        for (phase, spread) in [(Phase::Scout, rounds.scout_doses), (Phase::Full, rounds.doses)] {
            let mut doses = Doses::of_phase(phase, spread, options.seed);
            let mut blocks: Vec<Block> = Vec::new();
            let mut seconds = None;
            for look in phase.looks() {
                while blocks.len() < *look {
                    self.tell(blocks.len(), *look, seconds);
                    let (block, after) = self.block(doses.draw(), spread[1], &mut seconds, &last)?;
                    if watched.is_empty() {
                        watched = self.sites(&growing(&block))?;
                    }
                    blocks.push(block);
                    last = after;
                }
                self.outcome.net = growth(&baseline.objects, &last.objects);
                let judgement = judge(phase, &blocks, &self.outcome.net, self.dose, options.min_rate);
                let enough = match until {
                    Until::Decided => judgement.says() != Says::Undecided,
                    Until::AllDecided => judgement.open() == 0,
                };
                self.outcome.judgement = Some(judgement);
                if enough || self.outcome.broken.is_some() {
                    let last = self.prove(&watched, baseline, last, options)?;
                    return self.rule_out_what_is_rare(last, options);
                }
            }
        }
        // Another counter is open, but what leaks is to be known as well as where that ended the rounds.
        if self.outcome.grows() { self.prove(&watched, baseline, last, options) } else { Ok(last) }
    }

    /// Which block it is, and how long it is to the next look, as soon as that is known.
    fn tell(&self, done: usize, look: usize, round_seconds: Option<f64>) {
        let block = done + 1;
        self.task.note(&match round_seconds {
            Some(seconds) => {
                let left = (look - done) as f64 * 2.0 * (seconds + REST_SECONDS);
                format!("block {block} of {look}, {left:.0} s left to the next look")
            }
            None => format!("block {block} of {look}"),
        });
    }

    /// A dose round and a control round, both as long and with as many opens as the larger dose, `most`, would be;
    /// the first of them finds out how long that is.
    fn block(&mut self, dose: u64, most: u64, seconds: &mut Option<f64>, before: &Sample) -> Step<(Block, Sample)> {
        let worked = self.work(dose, most - dose, *seconds)?;
        let seconds = *seconds.get_or_insert(worked.seconds);
        self.dose += dose;
        let between = self.settle(RoundKind::Dose, dose)?;
        self.work(0, most, Some(seconds))?;
        let after = self.settle(RoundKind::Control, 0)?;
        let block = Block {
            dose,
            growth: growth(&before.objects, &after.objects),
            control: growth(&between.objects, &after.objects),
        };
        Ok((block, after))
    }

    /// Waits for late frees as long as asked, and books what is still there.
    pub(super) fn wait_for_late_frees(&mut self, baseline: &Sample, mut last: Sample, options: &Options) -> Step<()> {
        let rested = Instant::now();
        if self.outcome.grows() {
            while rested.elapsed() < options.settle {
                self.task.note("waiting for late frees");
                std::thread::sleep(options.settle.saturating_sub(rested.elapsed()).min(crate::child::POLL * 50));
                crate::stop::check()?;
                last = self.glance()?;
                self.outcome.waited();
            }
        }
        self.outcome.net = growth(&baseline.objects, &last.objects);
        Ok(())
    }

    /// Unmounts and reads.
    fn unmount(&mut self, baseline: &Sample) -> Step<()> {
        self.done(&Order::Unmount)?;
        let unmounted = self.settle(RoundKind::Unmount, 0)?;
        self.outcome.net_unmounted = growth(&baseline.objects, &unmounted.objects);
        let sites = self.sites(&BUSY_CACHES.map(str::to_owned))?;
        self.outcome.left.after_unmount(&unmounted, &sites);
        Ok(())
    }

    pub(super) fn ask(&mut self, order: &Order) -> Step<Answer> {
        let task = self.task;
        let answer = self.worker.ask(order, &mut |step| task.note(step));
        self.outcome.record.called += &self.worker.called();
        answer
    }

    pub(super) fn done(&mut self, order: &Order) -> Step<()> {
        match self.ask(order)? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn work(&mut self, listings: u64, fillers: u64, at_least_seconds: Option<f64>) -> Step<Worked> {
        match self.ask(&Order::Work { listings, fillers, at_least_seconds })? {
            Answer::Worked(worked) if worked.listings > listings => {
                let said = worked.listings;
                Err(Ended::GaveUp(format!(
                    "the guest says that it made {said} {}s of {listings}",
                    self.outcome.record.unit
                )))
            }
            Answer::Worked(worked) => {
                self.outcome.worked(&worked);
                if worked.listings > 0 {
                    self.unit_seconds = worked.listing_seconds / worked.listings as f64;
                }
                Ok(worked)
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn glance(&mut self) -> Step<Sample> {
        match self.ask(&Order::Glance)? {
            Answer::Sample { sample, .. } => Ok(size_classes::with_sum(sample)),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn settle(&mut self, kind: RoundKind, dose: u64) -> Step<Sample> {
        match self.ask(&Order::Settle)? {
            Answer::Sample { sample, settled_seconds } => {
                let sample = size_classes::with_sum(sample);
                self.outcome.reading(Reading { kind, dose, sample: sample.clone(), settled_seconds });
                Ok(sample)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What was allocated since tracing began and is not freed; `None` if that cannot be told.
    pub(super) fn traced(&mut self, order: &Order) -> Step<Option<BTreeMap<String, Vec<Site>>>> {
        match self.ask(order)? {
            Answer::Traced { sites } => Ok(sites),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn sites(&mut self, caches: &[String]) -> Step<BTreeMap<String, Vec<Site>>> {
        if caches.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.ask(&Order::Sites { caches: caches.to_vec() })? {
            Answer::Sites { sites } => Ok(sites),
            other => Err(unexpected(&other)),
        }
    }
}

/// The caches of a block that grew most.
fn growing(block: &Block) -> Vec<String> {
    let mut grown: Vec<_> =
        block.growth.iter().filter(|(name, n)| **n >= WATCHED_GROWTH && *name != size_classes::COUNTER).collect();
    grown.sort_by_key(|(_, n)| -**n);
    grown.into_iter().take(MOST_WATCHED).map(|(name, _)| name.clone()).collect()
}
