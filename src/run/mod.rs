//! One run: boot a kernel, let the guest do rounds until the samples decide, and write down what was seen.

pub mod allocation_sites;
pub mod call_sites;
mod cgroup;
mod confirm;
mod controls;
#[cfg(test)]
mod course_tests;
pub mod coverage;
pub mod duration;
mod explained;
mod findings;
mod further;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod kmemleak;
pub mod live;
mod name_control;
mod observations;
pub mod options;
mod pace;
mod session;
pub mod shard;
pub(crate) mod size_classes;
pub mod sweep;
mod unmount;
mod warm_up;

pub use observations::{Observations, kernel_record};

use crate::boot::guest_image::GuestImage;
use crate::boot::job::Job;
use crate::error::{Exit, Result};
use crate::protocol::agent::AgentError;
use crate::result::record::{RunRecord, Verdict};
use options::{Options, Until};
use std::time::Instant;

/// Runs a job. Whatever the guest does ends in a record; an error is ours or the machine's.
pub fn run(job: &Job, options: &Options) -> Result<RunRecord> {
    if options.every_counter {
        return Ok(attempt(job, options, Until::AllDecided)?.0);
    }
    let (record, is_open) = attempt(job, options, Until::Decided)?;
    if !is_open {
        return Ok(record);
    }
    // What grew was freed late or by unmounting, so it is no leak, and whether anything else is takes the whole course.
    Ok(attempt(job, options, Until::AllDecided)?.0)
}

/// Runs one guest; also gives whether the verdict is open only because growth that looked like a leak was freed after
/// all.
fn attempt(job: &Job, options: &Options, until: Until) -> Result<(RunRecord, bool)> {
    let Job { scenario, kernel, ui, .. } = *job;
    let boot = job.options.within(duration::limit(scenario));
    let job = &Job { options: &boot, ..*job };
    let begin = Instant::now();
    let mut outcome = Observations::new(observations::begin(scenario, kernel, job.clocked(), options), options);
    if let Some(shortfall) = scenario.memory_shortfall() {
        return Ok((outcome.into_record(Verdict::Unsupported, shortfall), false));
    }
    let stage = match GuestImage::prepare(job, options.debugging(scenario, kernel)) {
        Err(e) if e.exit() == Exit::CannotJudge => {
            return Ok((outcome.into_record(Verdict::Unsupported, e.to_string()), false));
        }
        stage => stage?,
    };
    outcome.time("prepare", begin);
    if let Some(shortfall) = stage.memory_shortfall() {
        return Ok((outcome.into_record(Verdict::Unsupported, shortfall), false));
    }
    let task = ui.task(format!("{} on {}", scenario.name, kernel.spec));
    let result = session::run_session(&stage, options, until, &mut outcome, &task);
    outcome.record.seconds = begin.elapsed().as_secs_f64();
    outcome.record.console_log = Some(stage.console_log().display().to_string());
    let mut is_open = false;
    let record = match result {
        Ok(()) => {
            is_open = until == Until::Decided && outcome.ended_for_nothing();
            outcome.into_judged_record()
        }
        Err(AgentError::Error(error)) => return Err(error),
        Err(AgentError::Failed(sentence)) => outcome.into_cut_off_record(sentence),
        Err(AgentError::Unsupported(sentence)) => outcome.into_record(Verdict::Unsupported, sentence),
        Err(AgentError::Crash { kind, sentence, lines }) => {
            outcome.record.console_lines = lines;
            outcome.into_crash_record(&kind, sentence)
        }
    };
    task.done(if is_open { "what grew was freed; looking at everything else" } else { record.verdict.as_str() });
    Ok((record, is_open))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::bootable::{Effort, Kernel};

    #[test]
    fn package_is_booted_as_its_distribution_does_unless_that_is_not_wanted() {
        let kernel = |is_package| Kernel {
            spec: "x".into(),
            image: "x".into(),
            release: "6.1".into(),
            image_sha256: String::new(),
            modules: None,
            patched_modules: None,
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
