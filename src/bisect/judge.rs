//! What a commit says: its kernel is built and booted, and its verdict read as "what is looked for is there" or "is not".

use super::ahead::Ahead;
use super::found::{State, Step, TestResult};
use super::history::{Mark, Terms};
use super::search::{TestCommit, mark};
use super::verdicts::{Built, Verdicts};
use crate::boot::job::{Job, second_seed};
use crate::error::{Error, Exit, Result};
use crate::kernel::Builder;
use crate::kernel::bootable::Kernel;
use crate::kernel::build::incremental::BuildOptions;
use crate::kernel::source::snapshot::Snapshot;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::bisection::Commit;
use crate::result::finding::Finding;
use crate::result::record::{RunRecord, Verdict};
use crate::run;
use crate::run::options::Options;
use crate::scenario::Scenario;
use crate::stats::estimate::CONFIDENCE;
use crate::vm::accelerator;
use std::time::Instant;

/// Guests that are asked about a kernel before it is called undecided, each with another seed.
const TRIES: u64 = 3;

/// Is told each step, and about how many are left.
pub type Progress<'a> = Box<dyn Fn(&Step, u64) + Sync + 'a>;

/// Judges kernels built from one tree by one scenario.
pub struct KernelTester<'a> {
    pub builder: Builder<'a>,
    pub scenario: &'a Scenario,
    pub options: Options,
    pub terms: Terms,
    /// Only a leak of what this function allocated counts.
    pub call_site: Option<String>,
    /// Whether to build what may come next while a guest runs.
    pub ahead: bool,
    pub cache: &'a Cache,
    pub ui: &'a Ui,
    /// Hears of each step.
    pub on_step: Progress<'a>,
}

impl TestCommit for KernelTester<'_> {
    fn commit(&self, id: &str) -> Result<Commit> {
        Commit::from_repo(&self.builder.place.repo, id)
    }

    fn test(&mut self, commit: &Commit, guess: &[String]) -> Result<TestResult> {
        let snapshot = self.builder.place.at_commit(&commit.id)?;
        self.test_snapshot(&snapshot, self.options.boot.seed, guess)
    }

    /// Asks again with another seed about an end that is clean; a leak speaks for itself.
    fn test_end(&mut self, commit: &Commit, guess: &[String]) -> Result<TestResult> {
        let first = self.test(commit, guess)?;
        if first.state != State::Clean {
            return Ok(first);
        }
        let snapshot = self.builder.place.at_commit(&commit.id)?;
        let second = self.test_snapshot(&snapshot, second_seed(self.options.boot.seed), guess)?;
        Ok(first.with_second(second))
    }

    fn step(&mut self, step: &Step, left: u64) {
        (self.on_step)(step, left);
    }
}

impl KernelTester<'_> {
    /// Judges sources by guests whose seeds begin with `seed`.
    pub fn test_snapshot(&self, snapshot: &Snapshot, seed: u64, guess: &[String]) -> Result<TestResult> {
        let begin = Instant::now();
        let verdicts = Verdicts::open(self.scenario, &self.options, self.cache)?;
        let mut guests = 0;
        let judged =
            asked(seed, self.call_site.as_deref(), |seed| self.record(snapshot, seed, guess, &verdicts, &mut guests))?;
        Ok(TestResult { guests, seconds: begin.elapsed().as_secs_f64(), ..judged })
    }

    /// Returns the verdict on `snapshot`: from earlier, or of a guest.
    fn record(
        &self,
        snapshot: &Snapshot,
        seed: u64,
        guess: &[String],
        verdicts: &Verdicts,
        guests: &mut u64,
    ) -> Result<RunRecord> {
        let key = self.builder.key(snapshot)?;
        let known = match verdicts.built(&key) {
            Some(Built::Failed(why)) => return Err(Error::kernel(why)),
            Some(Built::Image(sha256)) => verdicts.find(&sha256, seed),
            None => None,
        };
        let spec = format!("{}@{}", self.builder.word, snapshot.described);
        let named = |mut record: RunRecord| {
            record.kernel.spec = spec.clone();
            record
        };
        if let Some(record) = known {
            return Ok(named(record));
        }
        let kernel = self.kernel(snapshot, verdicts, &BuildOptions::default(), self.ui)?;
        // Another commit may have made the same image.
        if let Some(record) = verdicts.find(&kernel.image_sha256, seed) {
            return Ok(named(record));
        }
        let kernel = Kernel { spec: spec.clone(), ..kernel };
        let record = self.guest(&kernel, seed, guess, verdicts)?;
        *guests += 1;
        Ok(record)
    }

    /// Returns the kernel of `snapshot`; that it cannot be built is remembered, unless the machine is to blame.
    fn kernel(&self, snapshot: &Snapshot, verdicts: &Verdicts, how: &BuildOptions, ui: &Ui) -> Result<Kernel> {
        let key = self.builder.key(snapshot)?;
        let built = self.builder.build(snapshot, how, ui);
        match &built {
            Ok(kernel) => verdicts.keep_built(&key, &Built::Image(kernel.image_sha256.clone()))?,
            Err(e) if e.exit() == Exit::CannotJudge => verdicts.keep_built(&key, &Built::Failed(e.to_string()))?,
            Err(_) => {}
        }
        built
    }

    /// Runs a guest, and builds ahead meanwhile.
    fn guest(&self, kernel: &Kernel, seed: u64, guess: &[String], verdicts: &Verdicts) -> Result<RunRecord> {
        let mut options = self.options.clone();
        options.boot.seed = seed;
        let accelerator = accelerator::choose(&kernel.image, self.cache, self.ui)?;
        let job = Job {
            scenario: self.scenario,
            kernel,
            accelerator,
            options: &options.boot,
            cache: self.cache,
            ui: self.ui,
        };
        let ahead = Ahead::default();
        std::thread::scope(|scope| {
            if self.ahead {
                scope.spawn(|| ahead.build(guess, |id, go_on| self.build_ahead(id, go_on, verdicts)));
            }
            // Kept before what is being built is waited for: dirleak may be killed any time.
            let record = run::run(&job, &options).and_then(|record| keep(record, verdicts));
            let next = record.as_ref().ok().and_then(|record| {
                match mark(&state(record, self.call_site.as_deref()), self.terms) {
                    Mark::Old => guess.first(),
                    Mark::New => guess.last(),
                    Mark::Skip => None,
                }
            });
            ahead.decide(next);
            record
        })
    }

    /// Builds the kernel of commit `id`; what goes wrong here goes wrong again when it is asked for, and is told then.
    fn build_ahead(&self, id: &str, go_on: &(dyn Fn() -> Result<()> + Sync), verdicts: &Verdicts) {
        let how = BuildOptions { go_on, ..BuildOptions::default() };
        let _ =
            self.builder.place.at_commit(id).and_then(|snapshot| self.kernel(&snapshot, verdicts, &how, &Ui::silent()));
    }
}

/// Returns what is known of a commit once up to [`TRIES`] guests were asked, each with another seed, until one is not undecided; `guest`
/// gives the record of one.
fn asked(seed: u64, call_site: Option<&str>, mut guest: impl FnMut(u64) -> Result<RunRecord>) -> Result<TestResult> {
    let mut judged = TestResult::default();
    let mut asked = 0;
    for number in 0..TRIES {
        asked += 1;
        // Far from what other searches draw.
        let record = match guest(seed + number * 1_000_003) {
            Ok(record) => with_what_is_looked_for_first(record, call_site),
            Err(error) if error.exit() == Exit::CannotJudge => {
                judged.state = State::Unknown(error.to_string());
                break;
            }
            Err(error) => return Err(error),
        };
        judged.state = state(&record, call_site);
        let again = record.verdict == Verdict::Undecided;
        judged.record = Some(record);
        if !again {
            break;
        }
    }
    judged.error = if matches!(judged.state, State::Unknown(_)) { 0.0 } else { error(asked) };
    Ok(judged)
}

fn with_what_is_looked_for_first(mut record: RunRecord, call_site: Option<&str>) -> RunRecord {
    if let Some(function) = call_site {
        record.findings.sort_by_key(|finding| !is_of(finding, function));
    }
    record
}

/// Returns the probability, at most, that one of so many verdicts is wrong, of which only the last was taken. Each may have been
/// reached by a second guest, after growth in a first one that was no leak.
fn error(asked: u64) -> f64 {
    (1.0 - CONFIDENCE) * (2 * asked) as f64
}

/// Returns what a verdict says of what is looked for. With a call site, another leak is none, as long as all counters were
/// judged.
pub fn state(record: &RunRecord, call_site: Option<&str>) -> State {
    match (record.verdict, call_site) {
        (Verdict::Clean, _) => State::Clean,
        (Verdict::Leak, None) => State::Leaks,
        (Verdict::Leak, Some(function)) => {
            if record.findings.iter().any(|finding| is_of(finding, function)) {
                State::Leaks
            } else if record.findings.iter().all(|finding| !finding.call_sites.is_empty()) {
                State::Clean
            } else {
                State::Unknown(format!("something leaks, but it is not known whether {function} allocated it"))
            }
        }
        (verdict, _) => State::Unknown(format!("{}: {}", verdict.as_str(), record.reason)),
    }
}

/// Remembers a verdict, but not that a guest died: it may have done so of what went on beside it on this machine.
fn keep(record: RunRecord, verdicts: &Verdicts) -> Result<RunRecord> {
    if record.verdict != Verdict::Crash {
        verdicts.keep(&record)?;
    }
    Ok(record)
}

/// Returns whether some of it was allocated in `function`, or in a part of it that the compiler made a function of its own.
fn is_of(finding: &Finding, function: &str) -> bool {
    let is_it = |name: &str| name == function || name.split('.').next() == Some(function);
    finding.call_sites.iter().any(|site| is_it(&site.function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn leak_of_another_function_is_not_what_is_looked_for() {
        let mut record = example::leak();
        assert_eq!(state(&record, None), State::Leaks);
        assert_eq!(state(&record, Some("nfs_readdir_page_array_append")), State::Leaks);
        assert_eq!(state(&record, Some("nfs_opendir")), State::Clean);
        record.findings[0].call_sites[0].function = "nfs_opendir.isra.0".into();
        assert_eq!(state(&record, Some("nfs_opendir")), State::Leaks);
        record.findings[0].call_sites.clear();
        assert!(matches!(state(&record, Some("nfs_opendir")), State::Unknown(_)));
    }

    #[test]
    fn kernel_that_cannot_be_judged_says_why() {
        let mut record = example::clean();
        assert_eq!(state(&record, Some("nfs_opendir")), State::Clean);
        record.verdict = Verdict::Crash;
        record.reason = "the guest's kernel is lost (panic)".into();
        assert_eq!(state(&record, None), State::Unknown("crash: the guest's kernel is lost (panic)".into()));
    }

    #[test]
    fn error_of_a_commit_counts_each_guest_that_may_have_been_asked() {
        assert!((error(1) - 0.02).abs() < 1e-12 && (error(3) - 0.06).abs() < 1e-12);
    }

    #[test]
    fn guest_that_died_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let scenario = crate::scenario::load("quick").unwrap();
        let verdicts = Verdicts::open(&scenario, &Options::default(), &cache).unwrap();
        for (verdict, is_kept) in [(Verdict::Crash, false), (Verdict::Undecided, true), (Verdict::Leak, true)] {
            let record = RunRecord { verdict, seed: verdict as u64, ..example::leak() };
            assert_eq!(keep(record.clone(), &verdicts).unwrap(), record);
            let found = verdicts.find(&record.kernel.image_sha256, record.seed);
            assert_eq!(found.is_some(), is_kept, "{verdict:?}");
        }
    }

    /// Asks guests that say one after the other what is told; gives what came of it and the seeds.
    fn ask(says: &[Result<RunRecord>], call_site: Option<&str>) -> (Result<TestResult>, Vec<u64>) {
        let mut seeds = Vec::new();
        let judged = asked(42, call_site, |seed| {
            seeds.push(seed);
            says[seeds.len() - 1].clone()
        });
        (judged, seeds)
    }

    #[test]
    fn undecided_guest_is_followed_by_others_with_other_seeds() {
        let undecided = || Ok(RunRecord { verdict: Verdict::Undecided, reason: "noisy".into(), ..example::clean() });
        let (judged, seeds) = ask(&[Ok(example::leak())], None);
        let judged = judged.unwrap();
        assert_eq!((judged.state, seeds), (State::Leaks, vec![42]));
        assert!((judged.error - 0.02).abs() < 1e-12);
        let (judged, seeds) = ask(&[undecided(), undecided(), Ok(example::clean())], None);
        let judged = judged.unwrap();
        assert_eq!((judged.state, seeds), (State::Clean, vec![42, 1_000_045, 2_000_048]));
        assert!((judged.error - 0.06).abs() < 1e-12, "each of three may be wrong");
        let (judged, seeds) = ask(&[undecided(), undecided(), undecided(), Ok(example::leak())], None);
        let judged = judged.unwrap();
        assert_eq!((judged.state, judged.error, seeds.len()), (State::Unknown("undecided: noisy".into()), 0.0, 3));
    }

    #[test]
    fn kernel_that_cannot_be_built_is_skipped_and_a_machine_that_fails_ends_the_search() {
        let (judged, seeds) = ask(&[Err(Error::kernel("error: x")), Ok(example::leak())], None);
        let judged = judged.unwrap();
        assert_eq!((judged.state, judged.error, seeds.len()), (State::Unknown("error: x".into()), 0.0, 1));
        let (judged, _) = ask(&[Err(Error::machine("the disk is full"))], None);
        assert_eq!(judged.unwrap_err().to_string(), "the disk is full");
    }

    #[test]
    fn finding_that_is_looked_for_stands_first() {
        let mut leak = example::leak();
        let mut other = leak.findings[0].clone();
        other.call_sites[0].function = "nfs_opendir".into();
        leak.findings.push(other);
        let first = |call_site| {
            let (judged, _) = ask(&[Ok(leak.clone())], call_site);
            judged.unwrap().record.unwrap().findings[0].call_sites[0].function.clone()
        };
        assert_eq!(first(Some("nfs_opendir")), "nfs_opendir");
        assert_eq!(first(None), "nfs_readdir_page_array_append");
    }
}
