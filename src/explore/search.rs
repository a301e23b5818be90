//! The search: batches of candidates, each in a guest that they share, several guests side by side; what is suspicious is judged as `run` does.

use super::corpus::Corpus;
use super::corpus::suspects::{Origin, Suspect};
use super::draw::fresh::{fresh, plain};
use super::group::Group;
use super::guest::SharedGuest;
use super::lot::Lot;
use super::mutate::mutate;
use super::shrink::shrink;
use super::symptom::{Symptom, accuses, signatures};
use super::trial::Tried;
use crate::boot::job::Job;
use crate::error::{Error, Exit, Result};
use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::progress::{Task, Ui};
use crate::os::signals;
use crate::protocol::agent::AgentError;
use crate::result::explore::{ExploreRecord, FindRecord};
use crate::result::record::RunRecord;
use crate::run::options::Options;
use crate::run::shard::Shard;
use crate::scenario::Scenario;
use crate::scenario::write::to_toml;
use crate::vm::qemu::Accelerator;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Candidates that share a guest, at most: what they leave behind must not fill it.
const BATCH: u64 = 120;
/// Smaller scenarios that are tried of a find.
const MOST_SMALLER: u64 = 150;
/// The same where each ends its guest.
const MOST_CRASHES: u64 = 25;
/// Smaller scenarios that are judged in guests of their own before the find is left as it was.
const MOST_CONFIRMED: usize = 3;
/// Guests in a row that do not come up before nothing more is tried.
const MOST_FAILED_BOOTS: u64 = 12;

/// What is explored, and how.
pub struct Plan<'a> {
    pub kernel: &'a Kernel,
    pub accelerator: Accelerator,
    pub options: &'a Options,
    pub cache: &'a Cache,
    pub ui: &'a Ui,
    pub time: Duration,
    pub jobs: usize,
    /// Whether allocations fail in some candidates.
    pub can_fail: bool,
    /// Whether the kernel counts what is executed of its code, and candidates are kept that reach new code.
    pub is_guided: bool,
    pub shard: Option<Shard>,
    /// What is begun with, besides what is drawn.
    pub from: Vec<Scenario>,
    /// What ends it as soon as it is among the finds, as [`FindRecord::signatures`] has it.
    pub sought: Option<String>,
}

impl Plan<'_> {
    /// Returns what it takes to run a scenario.
    pub fn job<'a>(&'a self, scenario: &'a Scenario) -> Job<'a> {
        let Self { kernel, accelerator, options, cache, ui, .. } = *self;
        Job { scenario, kernel, accelerator, options: &options.boot, cache, ui }
    }
}

/// What an exploration came to.
pub struct Explored {
    pub record: ExploreRecord,
    /// Of the finds, in their order.
    pub results: Vec<RunRecord>,
    /// What ended it before its time.
    pub error: Option<Error>,
}

/// An exploration while it goes on.
struct Search<'a> {
    plan: &'a Plan<'a>,
    corpus: Mutex<Corpus>,
    seed: u64,
    begin: Instant,
    deadline: Instant,
    failed_boots: AtomicU64,
    has_found: AtomicBool,
    error: Mutex<Option<Error>>,
    task: Task,
}

/// Explores until the time is over or what is sought is found, with the corpus in `dir`; `seed` is the user's, if one was given.
pub fn explore(plan: &Plan, dir: &Path, seed: Option<u64>) -> Result<Explored> {
    let identity = (plan.kernel.spec.as_str(), plan.kernel.image_sha256.as_str());
    let mut corpus = Corpus::open(dir, seed, plan.options.boot.seed, identity)?;
    corpus.kept.splice(0..0, plan.from.iter().cloned());
    let suspects = Mutex::new(corpus.suspects()?);
    let begin = Instant::now();
    let search = Search {
        plan,
        seed: corpus.state.seed,
        corpus: Mutex::new(corpus),
        begin,
        deadline: begin + plan.time,
        failed_boots: AtomicU64::new(0),
        has_found: AtomicBool::new(false),
        error: Mutex::new(None),
        task: plan.ui.task(format!("exploring {}", plan.kernel.spec)),
    };
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs.max(1) {
            scope.spawn(|| {
                let next = || suspects.lock().expect("no panic while held").pop();
                let work = || {
                    while let Some(suspect) = next() {
                        search.look_again(&suspect)?;
                    }
                    while !search.is_over() {
                        search.batch()?;
                    }
                    Ok(())
                };
                if let Err(error) = work() {
                    search.error.lock().expect("no panic while held").get_or_insert(error);
                }
            });
        }
    });
    let mut corpus = search.corpus.into_inner().expect("all threads have ended");
    corpus.record.seconds = begin.elapsed().as_secs_f64();
    let saved = corpus.save();
    let error = search.error.into_inner().expect("all threads have ended").or(saved.err());
    search.task.done(&format!("{} candidates, {} finds", corpus.record.candidates, corpus.record.finds.len()));
    Ok(Explored { record: corpus.record, results: corpus.results, error })
}

/// How a candidate ended.
enum Ended {
    Tried(Tried),
    /// The guest is lost with it.
    Lost(Symptom),
    /// It could not be done, and why.
    NotDone(String),
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        let has_failed = self.error.lock().expect("no panic while held").is_some();
        has_failed || self.has_found.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn with<T>(&self, work: impl FnOnce(&mut Corpus) -> T) -> T {
        let mut corpus = self.corpus.lock().expect("no panic while held");
        corpus.record.seconds = self.begin.elapsed().as_secs_f64();
        work(&mut corpus)
    }

    /// Tries the candidates of a batch, in guests of one group.
    fn batch(&self) -> Result<()> {
        let batch = self.with(Corpus::next_batch)?;
        if self.plan.shard.is_some_and(|shard| batch % u64::from(shard.of) != u64::from(shard.number - 1)) {
            return Ok(());
        }
        let mut lot = Lot::new(self.seed, batch, 0);
        let group = self.group(&mut lot);
        let mut guest = None;
        for number in 1..=BATCH {
            if self.is_over() {
                break;
            }
            signals::check()?;
            let candidate = self.propose(&mut Lot::new(self.seed, batch, number), &group);
            if guest.is_none() && !self.boot(&group, &mut guest)? {
                return Ok(());
            }
            self.candidate(&candidate, (batch, number), &mut guest)?;
            self.tell();
        }
        if let Some(guest) = guest {
            guest.end();
        }
        Ok(())
    }

    /// Draws what a batch is about: often what something was kept of.
    fn group(&self, lot: &mut Lot) -> Group {
        let drawn = Group::draw(lot);
        let of_kept = lot.once_in(3);
        self.with(|corpus| match of_kept && !corpus.kept.is_empty() {
            true => Group::of_scenario(lot.pick(&corpus.kept)),
            false => drawn,
        })
    }

    /// Draws a candidate: half are new, half are made of what was kept.
    fn propose(&self, lot: &mut Lot, group: &Group) -> Scenario {
        let can_fail = self.plan.can_fail;
        let parents = self.with(|corpus| {
            let of_group: Vec<&Scenario> =
                corpus.kept.iter().filter(|kept| Group::of_scenario(kept) == *group).collect();
            let is_drawn = of_group.is_empty() || lot.once_in(2);
            (!is_drawn).then(|| [0; 2].map(|_| (*lot.pick(&of_group)).clone()))
        });
        match parents {
            Some([one, other]) => mutate(lot, [&one, &other], group, can_fail),
            None => fresh(lot, group, can_fail),
        }
    }

    /// Boots a guest of a group; says whether it came up. Not all kernels can do everything.
    fn boot(&self, group: &Group, guest: &mut Option<SharedGuest>) -> Result<bool> {
        let scenario = plain(group);
        let begin = Instant::now();
        let booted = SharedGuest::boot(&self.plan.job(&scenario), self.plan.options);
        self.with(|corpus| {
            corpus.record.guests += 1;
            corpus.took("boot", begin.elapsed().as_secs_f64());
        });
        let why = match booted {
            Ok(booted) => {
                self.failed_boots.store(0, Ordering::Relaxed);
                *guest = Some(booted);
                return Ok(true);
            }
            Err(AgentError::Error(error)) => return Err(error),
            Err(AgentError::Unsupported(why) | AgentError::Failed(why)) => why,
            Err(AgentError::Crash { sentence, .. }) => sentence,
        };
        self.with(|corpus| corpus.not_done(&format!("{group}: {why}")));
        if self.failed_boots.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_FAILED_BOOTS {
            return Err(Error::new(Exit::CannotJudge, format!("no guest comes up any more; the last said: {why}")));
        }
        Ok(false)
    }

    /// Tries a candidate in the guest, which is gone afterwards if that ended it.
    fn try_out(&self, scenario: &Scenario, guest: &mut Option<SharedGuest>) -> Result<Ended> {
        let Some(mut running) = guest.take() else { return Ok(Ended::NotDone("there is no guest".into())) };
        let Options { boot, min_rate, .. } = self.plan.options;
        match running.try_out(scenario, boot.seed, *min_rate, self.plan.is_guided) {
            Ok(tried) => {
                *guest = Some(running);
                Ok(Ended::Tried(tried))
            }
            Err(AgentError::Error(error)) => Err(error),
            Err(AgentError::Crash { kind, lines, .. }) => Ok(Ended::Lost(Symptom::Crashes { kind, lines })),
            Err(AgentError::Failed(why) | AgentError::Unsupported(why)) => Ok(Ended::NotDone(why)),
        }
    }

    fn candidate(
        &self,
        scenario: &Scenario,
        (batch, number): (u64, u64),
        guest: &mut Option<SharedGuest>,
    ) -> Result<()> {
        let symptoms = match self.try_out(scenario, guest)? {
            Ended::Tried(tried) if tried.is_slow => {
                self.with(|corpus| corpus.not_done("units take too long to try many"));
                return Ok(());
            }
            Ended::Tried(tried) => {
                self.with(|corpus| corpus.tried(scenario, &tried))?;
                tried.symptoms
            }
            Ended::Lost(symptom) => {
                self.with(|corpus| {
                    corpus.record.guests_lost += 1;
                    corpus.tried(scenario, &Tried::default())
                })?;
                vec![symptom]
            }
            Ended::NotDone(why) => {
                self.with(|corpus| {
                    corpus.record.guests_lost += 1;
                    corpus.not_done(&why);
                });
                return Ok(());
            }
        };
        let suspected_seconds = self.begin.elapsed().as_secs_f64();
        let claimed = self.with(|corpus| {
            let origin = Origin { batch, number, candidates: corpus.state.candidates, suspected_seconds };
            Ok::<_, Error>(corpus.claim(scenario, &symptoms, origin)?.map(|symptom| (symptom, origin)))
        })?;
        match claimed {
            Some((symptom, origin)) if !self.is_over() => self.pursue(scenario, &symptom, origin, guest),
            _ => Ok(()),
        }
    }

    /// Tries what was suspected last time once more, and judges it if it still is.
    fn look_again(&self, suspect: &Suspect) -> Result<()> {
        let (mut guest, Suspect { scenario, origin, .. }) = (None, suspect);
        if !self.boot(&Group::of_scenario(scenario), &mut guest)? {
            return Ok(());
        }
        self.candidate(scenario, (origin.batch, origin.number), &mut guest)?;
        self.with(|corpus| corpus.tried_again(suspect))
    }

    /// Judges a candidate in a guest of its own, and if that accuses the kernel of something new, makes it smaller and puts it among the finds.
    fn pursue(
        &self,
        scenario: &Scenario,
        symptom: &Symptom,
        origin: Origin,
        guest: &mut Option<SharedGuest>,
    ) -> Result<()> {
        self.task.note(&format!("judging {}", symptom.signature()));
        let record = self.judge(scenario)?;
        let is_news = self.with(|corpus| corpus.is_news(&signatures(&record)));
        if !accuses(&record) || !is_news {
            return self.with(|corpus| corpus.dismiss(symptom));
        }
        let shrunk = self.shrink(scenario, symptom, &record, guest)?;
        let (smallest, record) = self.confirm(&shrunk.steps, symptom, record)?;
        let find = FindRecord {
            name: String::new(),
            file: String::new(),
            command: String::new(),
            signatures: signatures(&record),
            batch: origin.batch,
            number: origin.number,
            candidates: origin.candidates,
            suspected_seconds: origin.suspected_seconds,
            seconds: self.begin.elapsed().as_secs_f64(),
            smaller_tried: shrunk.tries,
            smaller_shown: shrunk.steps.len() as u64 - 1,
            scenario: String::new(),
            drawn: to_toml(scenario),
        };
        self.plan.ui.line(&format!("found: {}", record.reason));
        if self.plan.sought.as_ref().is_some_and(|sought| find.signatures.contains(sought)) {
            self.has_found.store(true, Ordering::Relaxed);
        }
        self.with(|corpus| corpus.found(symptom, &smallest, find, record))
    }

    /// Judges a scenario as `run` does.
    fn judge(&self, scenario: &Scenario) -> Result<RunRecord> {
        let begin = Instant::now();
        let record = crate::run::run(&self.plan.job(scenario), self.plan.options);
        self.with(|corpus| {
            corpus.record.judged += 1;
            corpus.took("judge", begin.elapsed().as_secs_f64());
        });
        record
    }

    fn shrink(
        &self,
        scenario: &Scenario,
        symptom: &Symptom,
        record: &RunRecord,
        guest: &mut Option<SharedGuest>,
    ) -> Result<super::shrink::Shrunk> {
        let wanted = signatures(record);
        let is_wanted =
            |shown: &Symptom| shown.signature() == symptom.signature() || wanted.contains(&shown.signature());
        let most = if matches!(symptom, Symptom::Crashes { .. }) { MOST_CRASHES } else { MOST_SMALLER };
        let mut group = Group::of_scenario(scenario);
        shrink(scenario, most, |smaller| {
            if self.is_over() {
                return Ok(None);
            }
            signals::check()?;
            let other = Group::of_scenario(smaller);
            if other != group {
                *guest = None;
                group = other;
            }
            if guest.is_none() && !self.boot(&group, guest)? {
                return Ok(Some(false));
            }
            Ok(Some(match self.try_out(smaller, guest)? {
                Ended::Tried(tried) => {
                    self.with(|corpus| corpus.took("shrink", tried.seconds.values().sum()));
                    tried.symptoms.iter().any(is_wanted)
                }
                Ended::Lost(shown) => is_wanted(&shown),
                Ended::NotDone(_) => false,
            }))
        })
    }

    /// Judges the smallest scenario in a guest of its own, or one that is larger if that does not show it.
    fn confirm(&self, steps: &[Scenario], symptom: &Symptom, first: RunRecord) -> Result<(Scenario, RunRecord)> {
        let wanted = signatures(&first);
        for smaller in steps[1..].iter().rev().take(MOST_CONFIRMED) {
            let record = self.judge(smaller)?;
            let is_same = signatures(&record).iter().any(|signature| wanted.contains(signature));
            if symptom.is_shown_by(&record) && is_same {
                return Ok((smaller.clone(), record));
            }
        }
        Ok((steps[0].clone(), first))
    }

    fn tell(&self) {
        let told = self.with(|corpus| {
            let ExploreRecord { candidates, kept, ways, finds, reached, .. } = &corpus.record;
            let code = if *reached > 0 { format!("{reached} branches reached, ") } else { String::new() };
            let rate = corpus.record.candidates_a_minute();
            let left = self.deadline.saturating_duration_since(Instant::now()).as_secs();
            format!(
                "{candidates} candidates, {rate:.0} a minute; {code}{ways} ways seen, {kept} kept; {} finds; {left} s left",
                finds.len()
            )
        });
        self.task.note(&told);
    }
}
