//! The course of a run: controls first, then blocks of a dose round and a control round until they decide, then the
//! call sites, and a last reading after unmount.

use super::observations::{Observations, Reading};
use super::options::{Options, Until};
use super::pace::Pace;
use super::{controls, name_control, size_classes};
use crate::boot::guest_image::GuestImage;
use crate::boot::ready::boot;
use crate::os::progress::Task;
use crate::probe::counters::SiteSource;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::guest_paths::BUSY_CACHES;
use crate::protocol::message::{Ready, Response, RoundStats};
use crate::protocol::request::{self, ReadSample, SitesByCounter, TypedRequest};
use crate::result::parts::RoundKind;
use crate::sample::{Growth, Sample, Site, growth};
use crate::scenario::Rounds;
use crate::text::plural::plural;
use crate::verdict::block::Block;
use crate::verdict::dose_order::Doses;
use crate::verdict::judge::{CounterVerdict, Phase, judge};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(super) type SessionResult<T> = Result<T, AgentError>;

/// About what coming to rest takes, for the time that is left.
const REST_SECONDS: f64 = 0.4;
/// While late frees are waited for, counters are looked at so often.
const GLANCE_EVERY: Duration = Duration::from_secs(1);
/// Growth of a cache in one block from which on its call sites are watched, in objects.
const WATCHED_GROWTH: i64 = 8;
/// Caches whose call sites are watched at most.
const MOST_WATCHED: usize = 16;

/// Runs the guest from boot to its last word and writes into `outcome` what was seen.
pub fn run_session(
    stage: &GuestImage,
    options: &Options,
    until: Until,
    outcome: &mut Observations,
    task: &Task,
) -> SessionResult<()> {
    let begin = Instant::now();
    let mut vm = stage.boot()?;
    let mut begun = Instant::now();
    let ready = boot(&mut vm, |part| match part {
        Response::Hello { release } => {
            outcome.time("guest: kernel", std::mem::replace(&mut begun, Instant::now()));
            outcome.record.kernel.release.clone_from(release);
        }
        Response::Step { name, seconds } => {
            outcome.time_of(&format!("guest: {name}"), *seconds);
            task.note(name);
        }
        _ => {}
    })?;
    let mut course = Session::new(&mut vm, task, outcome);
    course.pace = stage.accelerator().into();
    let names = course.ready(ready)?;
    course.outcome.time("boot and set up", begin);
    let begin = Instant::now();
    let baseline = course.controls(&names)?;
    course.outcome.time("controls", begin);
    let charged = stage.scenario.cgroup.as_ref().map(|_| course.cgroup_usage()).transpose()?;
    let begin = Instant::now();
    let last = course.blocks(&baseline, &stage.scenario.rounds, until, options)?;
    course.outcome.time("rounds", begin);
    let last = match charged {
        Some(before) => course.take_cgroup_away(&before, last)?,
        None => last,
    };
    if options.boot.kmemleak {
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

/// A run while it goes on.
pub(super) struct Session<'a> {
    worker: &'a mut dyn Agent,
    pub(super) task: &'a Task,
    pub(super) outcome: &'a mut Observations,
    /// Units made in all blocks.
    pub(super) dose: u64,
    /// About what one unit takes on the clock of who waits for it.
    pub(super) unit_seconds: f64,
    /// What the seconds that are told are to who waits.
    pub(super) pace: Pace,
    /// How the kernel tells who allocated an object.
    pub(super) site_source: SiteSource,
    /// Why a trace would name no function, if it would not.
    pub(super) untraceable: Option<String>,
    /// On a machine that does other things meanwhile: how much each counter moves because of them.
    pub(super) noise: Option<Growth>,
    /// The same reading by reading.
    pub(super) moves: Vec<Growth>,
    /// When the time is used up, on a machine where somebody waits.
    pub(super) deadline: Option<Instant>,
}

impl<'a> Session<'a> {
    pub(super) fn new(worker: &'a mut dyn Agent, task: &'a Task, outcome: &'a mut Observations) -> Self {
        Self {
            worker,
            task,
            outcome,
            dose: 0,
            unit_seconds: 0.0,
            pace: Pace::Real,
            site_source: SiteSource::None,
            untraceable: None,
            noise: None,
            moves: Vec::new(),
            deadline: None,
        }
    }

    /// Notes that the stage is set, as this answer says; gives the caches in which names will be.
    pub(super) fn ready(&mut self, ready: Ready) -> SessionResult<Vec<String>> {
        let Ready {
            object_bytes,
            shared_names,
            name_allocations,
            missing_sources,
            before_mount,
            sites_before_mount,
            site_source,
            untraceable,
        } = ready;
        self.site_source = site_source;
        if site_source == SiteSource::None {
            self.outcome.record.notes.extend(untraceable.clone());
        }
        self.untraceable = untraceable;
        self.outcome.record.not_looked_for = missing_sources;
        self.outcome.left.before_mount(before_mount, sites_before_mount);
        let caches = name_control::caches(&name_allocations, &object_bytes);
        self.outcome.object_bytes = object_bytes;
        self.outcome.shared_names = shared_names;
        self.outcome.record.name_bytes = name_allocations.iter().map(|(l, n)| (l - 1) * n).sum();
        Ok(caches)
    }

    /// Makes blocks until they decide or the last look is over; gives the last reading.
    pub(super) fn blocks(
        &mut self,
        baseline: &Sample,
        rounds: &Rounds,
        until: Until,
        options: &Options,
    ) -> SessionResult<Sample> {
        let mut last = baseline.clone();
        let mut watched: BTreeMap<String, Vec<Site>> = BTreeMap::new();
        let mut short = Vec::new();
        for phase in [Phase::Scout, Phase::Full] {
            let spread = match phase {
                Phase::Scout => rounds.scout_doses,
                Phase::Full => self.doses_by_now(rounds.doses, &short, options.min_rate),
            };
            let mut doses = Doses::for_phase(phase, spread, options.boot.seed);
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
                let mut judgement = judge(phase, &blocks, &self.outcome.net, self.dose, options.min_rate);
                size_classes::accuse_parts(&mut judgement, &self.outcome.net, self.dose, options.min_rate);
                let enough = match until {
                    Until::Decided => judgement.verdict() != CounterVerdict::Undecided,
                    Until::AllDecided => judgement.open() == 0,
                };
                self.outcome.judgement = Some(judgement);
                if enough || self.outcome.broken.is_some() {
                    let last = self.confirm(&watched, baseline, last, options)?;
                    return self.rule_out_what_is_rare(last, options);
                }
            }
            short = blocks;
        }
        // Another counter is open, but what leaks is to be known as well as where that ended the rounds.
        if self.outcome.grows() { self.confirm(&watched, baseline, last, options) } else { Ok(last) }
    }

    /// Tells which block it is, and how long it is to the next look, as soon as that is known.
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

    /// Makes a dose round and a control round, both as long and with as many opens as the larger dose, `most`, would
    /// be; the first of them finds out how long that is.
    fn block(
        &mut self,
        dose: u64,
        most: u64,
        seconds: &mut Option<f64>,
        before: &Sample,
    ) -> SessionResult<(Block, Sample)> {
        let worked = self.work(dose, most - dose, *seconds)?;
        let seconds = *seconds.get_or_insert(worked.seconds);
        self.dose += dose;
        let between = self.read_settled(RoundKind::Dose, dose)?;
        self.work(0, most, Some(seconds))?;
        let after = self.read_settled(RoundKind::Control, 0)?;
        let block = Block {
            dose,
            growth: growth(&before.objects, &after.objects),
            control: growth(&between.objects, &after.objects),
        };
        Ok((block, after))
    }

    /// Waits for late frees as long as asked, and books what is still there.
    pub(super) fn wait_for_late_frees(
        &mut self,
        baseline: &Sample,
        mut last: Sample,
        options: &Options,
    ) -> SessionResult<()> {
        let mut left = options.settle;
        while self.outcome.grows() && !left.is_zero() {
            self.task.note("waiting for late frees");
            let part = left.min(GLANCE_EVERY);
            // By the clock of who is waited for.
            self.work(0, 0, Some(part.as_secs_f64()))?;
            left -= part;
            last = self.read_once()?;
        }
        self.outcome.net = growth(&baseline.objects, &last.objects);
        Ok(())
    }

    /// Unmounts and reads.
    fn unmount(&mut self, baseline: &Sample) -> SessionResult<()> {
        self.request(request::Unmount {})?;
        let unmounted = self.read_settled(RoundKind::Unmount, 0)?;
        self.outcome.net_unmounted = growth(&baseline.objects, &unmounted.objects);
        let sites = self.sites(&BUSY_CACHES.map(str::to_owned))?;
        self.outcome.left.after_unmount(&unmounted, &sites);
        Ok(())
    }

    /// Has the worker do something, and gives what it answers.
    pub(super) fn request<R: TypedRequest>(&mut self, wanted: R) -> SessionResult<R::Answer> {
        let task = self.task;
        let answer = request::request(self.worker, wanted, &mut |step| task.note(step));
        self.outcome.record.called += &self.worker.take_syscall_log();
        answer
    }

    pub(super) fn work(
        &mut self,
        listings: u64,
        fillers: u64,
        at_least_seconds: Option<f64>,
    ) -> SessionResult<RoundStats> {
        let worked = self.request(request::Work { listings, fillers, at_least_seconds })?;
        if worked.listings > listings {
            let (said, units) = (worked.listings, plural(&self.outcome.record.unit));
            return Err(AgentError::Failed(format!("the guest says that it made {said} {units} of {listings}")));
        }
        self.outcome.worked(&worked);
        if worked.listings > 0 {
            self.unit_seconds = self.pace.seconds(&worked) / worked.listings as f64;
        }
        Ok(worked)
    }

    pub(super) fn read_once(&mut self) -> SessionResult<Sample> {
        let read = self.request(request::Glance {})?;
        self.outcome.waited(read.clock_seconds);
        Ok(size_classes::with_sum(read.sample))
    }

    pub(super) fn read_settled(&mut self, kind: RoundKind, dose: u64) -> SessionResult<Sample> {
        let ReadSample { sample, settled_seconds, clock_seconds } = self.request(request::Settle {})?;
        let sample = size_classes::with_sum(sample);
        self.outcome.reading(Reading { kind, dose, sample: sample.clone(), settled_seconds, clock_seconds });
        Ok(sample)
    }

    pub(super) fn sites(&mut self, caches: &[String]) -> SessionResult<SitesByCounter> {
        if caches.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.request(request::Sites { caches: caches.to_vec() })
    }
}

/// Returns the caches of a block that grew most.
fn growing(block: &Block) -> Vec<String> {
    let mut grown: Vec<_> =
        block.growth.iter().filter(|(name, n)| **n >= WATCHED_GROWTH && *name != size_classes::COUNTER).collect();
    grown.sort_by_key(|(_, n)| -**n);
    grown.into_iter().take(MOST_WATCHED).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::progress::Ui;
    use crate::probe::alloc_calls::NOT_SHOWN;
    use crate::protocol::message::Request;
    use crate::result::record::{KernelRecord, RunRecord, Verdict};
    use crate::sample::SourceLine;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    const CACHE: &str = "kmalloc-96";
    const NOISY: &str = "filp";

    /// A machine where each listing puts an object into a cache until it holds so many, and where something else moves a counter.
    struct Machine {
        most: i64,
        /// What a line of source had allocated when it was first asked.
        begun: i64,
        /// Who allocates; of nobody it is not kept.
        function: &'static str,
        lot: ChaCha8Rng,
        sample: Sample,
    }

    impl Machine {
        fn new(most: i64, function: &'static str) -> Self {
            let objects = [(CACHE, 0), (NOISY, 0)].map(|(name, objects)| (name.to_owned(), objects)).into();
            Self { most, begun: 0, function, lot: ChaCha8Rng::seed_from_u64(3), sample: Sample { objects } }
        }

        fn objects(&mut self, name: &str) -> &mut i64 {
            self.sample.objects.get_mut(name).expect("it has both")
        }

        fn list(&mut self, listings: u64) -> RoundStats {
            *self.objects(CACHE) = (*self.objects(CACHE) + listings as i64).min(self.most);
            RoundStats {
                listings,
                cold_listings: listings,
                complete_listings: listings,
                listing_seconds: 1e-3 * listings as f64,
                seconds: 1e-2,
                ..RoundStats::default()
            }
        }

        fn read(&mut self) -> Response {
            *self.objects(NOISY) = self.lot.random_range(-300..=300);
            Response::Sample { sample: self.sample.clone(), settled_seconds: Some(0.1), clock_seconds: 0.0 }
        }

        fn sites(&mut self) -> Response {
            if self.function.is_empty() {
                return Response::Sites { sites: BTreeMap::new() };
            }
            let site = Site { function: self.function.into(), stack: Vec::new(), objects: *self.objects(CACHE) };
            Response::Sites { sites: [(CACHE.to_owned(), vec![site])].into() }
        }

        fn begin_allocinfo(&mut self) -> Response {
            self.begun = *self.objects(CACHE);
            Response::Allocinfo { lines: Some(Vec::new()) }
        }

        fn end_allocinfo(&mut self) -> Response {
            let calls = *self.objects(CACHE) - self.begun;
            let (file, function) = ("fs/nfs/dir.c".to_owned(), "nfs_opendir".to_owned());
            let line = SourceLine { file, line: 83, function, module: None, bytes: 96 * calls, calls };
            Response::Allocinfo { lines: Some(if calls > 0 { vec![line] } else { Vec::new() }) }
        }
    }

    impl Agent for Machine {
        fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
            Ok(match *order {
                Request::Work { listings, .. } => Response::Worked(self.list(listings)),
                Request::Glance | Request::Settle => self.read(),
                Request::Sites { .. } => self.sites(),
                Request::AllocinfoBegin => self.begin_allocinfo(),
                Request::AllocinfoEnd => self.end_allocinfo(),
                _ => Response::Done,
            })
        }
    }

    /// Returns what is found where each counter is to be judged, and the noisy one cannot be.
    fn judged(most: i64, function: &'static str) -> RunRecord {
        judged_where(most, function, None)
    }

    /// Returns the same of a machine where a trace would name no function, if there is such a reason.
    fn judged_where(most: i64, function: &'static str, untraceable: Option<&str>) -> RunRecord {
        let options = Options { every_counter: true, ..Options::default() };
        let mut outcome = Observations::new(RunRecord::begin("made", KernelRecord::default(), 42), &options);
        let (mut machine, task) = (Machine::new(most, function), Ui::silent().task("made"));
        let mut session = Session::new(&mut machine, &task, &mut outcome);
        session.untraceable = untraceable.map(str::to_owned);
        let rounds = Rounds { doses: [4, 12], scout_doses: [2, 6] };
        let baseline = session.read_settled(RoundKind::Warmup, 0).unwrap();
        let last = session.blocks(&baseline, &rounds, Until::AllDecided, &options).unwrap();
        session.wait_for_late_frees(&baseline, last, &options).unwrap();
        assert!(outcome.judgement.as_ref().unwrap().open() > 0, "one counter is too noisy");
        outcome.net_unmounted = outcome.net.clone();
        outcome.into_judged_record()
    }

    #[test]
    fn cache_beside_a_noisy_counter_is_followed_until_it_is_full() {
        let record = judged(240, "nfs_opendir");
        assert!(record.findings.iter().all(|finding| finding.name != CACHE), "{:?}", record.findings);
        assert_ne!(record.verdict, Verdict::Leak);
        assert_eq!(record.allocation_sites, [], "nobody allocated what does not leak");
    }

    #[test]
    fn leak_beside_a_noisy_counter_is_followed_past_the_largest_cache_and_attributed() {
        let record = judged(i64::MAX, "nfs_opendir");
        let found = record.findings.iter().find(|finding| finding.name == CACHE).expect("it leaks");
        assert!(found.excluded_cache_objects >= Some(Options::default().largest_cache), "{found:?}");
        assert_eq!(found.call_sites[0].function, "nfs_opendir");
        let line = &record.allocation_sites[0];
        assert_eq!((line.file.as_str(), line.calls_per_listing, line.bytes_per_listing), ("fs/nfs/dir.c", 1.0, 96.0));
        assert_eq!(record.not_looked_for, Vec::<String>::new());
    }

    #[test]
    fn leak_where_a_trace_would_name_nobody_is_judged_and_noted_once() {
        // A trace would be no answer of this machine.
        let record = judged_where(i64::MAX, "", Some("functions have no names"));
        let found = record.findings.iter().find(|finding| finding.name == CACHE).expect("it leaks all the same");
        assert!(found.excluded_cache_objects >= Some(Options::default().largest_cache), "{found:?}");
        assert_eq!(found.call_sites, []);
        assert_eq!(record.notes, ["functions have no names"]);
    }

    #[test]
    fn leak_whose_call_site_did_not_fit_says_what_was_not_read() {
        let record = judged(i64::MAX, NOT_SHOWN);
        let found = record.findings.iter().find(|finding| finding.name == CACHE).expect("it leaks all the same");
        assert_eq!(found.call_sites[0].function, NOT_SHOWN);
        assert_eq!(record.not_looked_for, ["call sites of kmalloc-96 beyond one page of alloc_calls"]);
    }
}
