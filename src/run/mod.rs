//! One run: boot a kernel, let the guest do rounds until the samples decide, and write down what was seen.

mod cgroup;
pub mod commands;
pub mod compare;
mod conduct;
mod controls;
mod explained;
pub mod further;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod judged;
mod kmemleak;
mod left;
pub mod live;
mod modules;
mod names_control;
pub mod obeys;
pub mod pool;
mod prove;
mod record;
mod size_classes;
pub mod stage;
mod warm_up;

pub(crate) use conduct::boot;
pub use record::Outcome;

use crate::cache::Cache;
use crate::error::Result;
use crate::exit::Exit;
use crate::kernel::Kernel;
use crate::report::record::{RunRecord, Verdict};
use crate::scenario::Scenario;
use crate::ui::Ui;
use crate::vm::machine::{Ended, Limits};
use crate::vm::qemu::Accelerator;
use stage::Debugging;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the user can say about judging.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of all that is drawn by lot.
    pub seed: u64,
    /// The smallest rate that counts, in objects per unit.
    pub min_rate: f64,
    /// How long to wait for late frees before growth is called a leak.
    pub settle: Duration,
    /// Whether growth that unmounting frees is a leak.
    pub strict: bool,
    /// Whether growth that unmounting frees may be in a clean verdict.
    pub allow_until_unmount: bool,
    /// Units before anything is called clean; `None` for as many as are usual, if the time allows them.
    pub listings: Option<u64>,
    /// Objects that a cache may hold: growth is a leak when it has gone past them.
    pub largest_cache: u64,
    /// Whether kmemleak is on and asked at the end.
    pub kmemleak: bool,
    /// Whether the kernel is booted without the debugging that says who allocated what.
    pub stock: bool,
    /// Whether a packaged kernel is booted with it, too.
    pub track: bool,
    /// Whether to go on until every counter is judged, though one is known to leak.
    pub every_counter: bool,
    /// Whether each call of the workload is written down.
    pub trace: bool,
    /// How long the guest may take.
    pub limits: Limits,
    /// The program that the guest is: this one.
    pub program: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 42,
            min_rate: crate::verdict::judge::MIN_RATE,
            settle: Duration::ZERO,
            strict: false,
            allow_until_unmount: false,
            listings: None,
            largest_cache: further::LARGEST_CACHE,
            kmemleak: false,
            stock: false,
            track: false,
            every_counter: false,
            trace: false,
            limits: Limits::default(),
            program: crate::assets::OURSELVES.into(),
        }
    }
}

impl Options {
    /// Whether `kernel` is booted without the debugging that says who allocated what, because the user or the scenario wants it so. A
    /// distribution's kernel is, unless that is asked for: there it costs up to a third more time, as stacks are unwound by ORC tables.
    pub fn is_stock(&self, scenario: &Scenario, kernel: &Kernel) -> bool {
        self.stock || scenario.guest.stock || (kernel.is_package && !self.track)
    }

    /// What a guest of both is booted with.
    fn debugging(&self, scenario: &Scenario, kernel: &Kernel) -> Debugging {
        if self.is_stock(scenario, kernel) { Debugging::Stock } else { Debugging::Sites }
    }
}

/// One scenario on one kernel, and what it takes to run it.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub scenario: &'a Scenario,
    pub kernel: &'a Kernel,
    pub accelerator: Accelerator,
    pub options: &'a Options,
    pub cache: &'a Cache,
    pub ui: &'a Ui,
}

/// When enough has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// Something leaks, or nothing does.
    Decided,
    /// It is known of every counter.
    AllDecided,
}

/// Runs a job. Whatever the guest does ends in a record; an error is ours or the machine's.
pub fn run(job: &Job) -> Result<RunRecord> {
    if job.options.every_counter {
        return Ok(attempt(job, Until::AllDecided)?.0);
    }
    let (record, is_open) = attempt(job, Until::Decided)?;
    if !is_open {
        return Ok(record);
    }
    // What grew was freed late or by unmounting, so it is no leak, and whether anything else is takes the whole course.
    Ok(attempt(job, Until::AllDecided)?.0)
}

/// One guest; also gives whether the verdict is open only because growth that looked like a leak was freed after all.
fn attempt(job: &Job, until: Until) -> Result<(RunRecord, bool)> {
    let Job { scenario, kernel, accelerator, options, ui, .. } = *job;
    let begin = Instant::now();
    let mut outcome = Outcome::new(record::begin(scenario, kernel, accelerator, options), options);
    if let Some(shortfall) = scenario.memory_shortfall() {
        return Ok((outcome.ended(Verdict::Unsupported, shortfall), false));
    }
    let stage = match stage::Stage::prepare(job, options.debugging(scenario, kernel)) {
        Err(e) if e.exit() == Exit::CannotJudge => {
            return Ok((outcome.ended(Verdict::Unsupported, e.to_string()), false));
        }
        stage => stage?,
    };
    outcome.time("prepare", begin);
    if let Some(shortfall) = stage.memory_shortfall() {
        return Ok((outcome.ended(Verdict::Unsupported, shortfall), false));
    }
    let task = ui.task(format!("{} on {}", scenario.name, kernel.spec));
    let result = conduct::conduct(&stage, options, until, &mut outcome, &task);
    outcome.record.seconds = begin.elapsed().as_secs_f64();
    outcome.record.console_log = Some(stage.console_log().display().to_string());
    let mut is_open = false;
    let record = match result {
        Ok(()) => {
            is_open = until == Until::Decided && outcome.ended_for_nothing();
            outcome.judged()
        }
        Err(Ended::Error(error)) => return Err(error),
        Err(Ended::GaveUp(sentence)) => outcome.ended(Verdict::Undecided, sentence),
        Err(Ended::Unsupported(sentence)) => outcome.ended(Verdict::Unsupported, sentence),
        Err(Ended::Crash { kind, sentence, lines }) => {
            outcome.record.console_lines = lines;
            outcome.crashed(&kind, sentence)
        }
    };
    task.done(if is_open { "what grew was freed; looking at everything else" } else { record.verdict.word() });
    Ok((record, is_open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Effort;

    #[test]
    fn a_package_is_booted_as_its_distribution_does_unless_that_is_not_wanted() {
        let kernel = |is_package| Kernel {
            spec: "x".into(),
            image: "x".into(),
            release: "6.1".into(),
            image_sha256: String::new(),
            modules: None,
            patches: Vec::new(),
            series: None,
            source_version: None,
            is_package,
            effort: Effort::default(),
        };
        let options = |stock, track| Options { stock, track, ..Options::default() };
        let mut scenario = crate::scenario::load("quick").unwrap();
        assert!(options(false, false).is_stock(&scenario, &kernel(true)));
        assert!(!options(false, true).is_stock(&scenario, &kernel(true)));
        assert!(!options(false, false).is_stock(&scenario, &kernel(false)));
        assert!(options(true, false).is_stock(&scenario, &kernel(false)));
        scenario.guest.stock = true;
        assert!(options(false, false).is_stock(&scenario, &kernel(false)));
    }
}
