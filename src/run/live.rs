//! A run on the machine itself, as it is, beside whatever else it does: its noise first, then the course that a run in a guest takes,
//! with doses that follow the noise. Nothing is unmounted.

use super::observations::Observations;
use super::options::{Options, Until};
use super::session::{Session, SessionResult};
use crate::error::Result;
use crate::os::progress::Task;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::Ready;
use crate::result::record::{RunRecord, Verdict};
use crate::sample::{Growth, growth};
use crate::scenario::Rounds;
use crate::verdict::judge::bound_width;
use std::time::{Duration, Instant};

/// Readings of which the noise is taken; what moves before the first of them is what the first reading does.
const NOISE_READINGS: usize = 6;
/// Local units between two of them.
const NOISE_UNITS: u64 = 4;
/// The look by which a clean machine is to be judged.
const BLOCKS: usize = 6;
/// Rounds of the whole course as long as the larger dose: two of each block, a further one, and two for everything before.
const ROUNDS: f64 = 2.0 * BLOCKS as f64 + 3.0;
/// The larger dose is no smaller, however little moves in the few readings before it, unless the time does not allow it.
const LEAST_DOSE: u64 = 48;
/// And never smaller or larger than this.
const DOSES: [u64; 2] = [6, 20_000];
/// Noise up to which doses follow that of every counter, in objects: size classes without slub_debug have 70 to 120.
const FOLLOWED_NOISE: i64 = 120;

/// A run on the machine itself.
pub struct Live<'a> {
    pub worker: &'a mut dyn Agent,
    /// What the worker says of the stage.
    pub ready: Ready,
    /// The record, as far as it is known before anything is measured.
    pub record: RunRecord,
    pub options: &'a Options,
    /// How long all of it may take.
    pub budget: Duration,
    pub task: &'a Task,
}

/// Runs it. Whatever the kernel does ends in a record; an error is ours, the machine's or the user's.
pub fn run(live: Live) -> Result<RunRecord> {
    let Live { worker, ready, record, options, budget, task } = live;
    let begin = Instant::now();
    let mut outcome = Observations::new(record, options);
    let result = run_live_session(Session::new(worker, task, &mut outcome), ready, options, begin + budget);
    outcome.record.seconds = begin.elapsed().as_secs_f64();
    match result {
        Ok(()) => Ok(outcome.into_judged_record()),
        Err(AgentError::Error(error)) => Err(error),
        Err(AgentError::Unsupported(sentence)) => Ok(outcome.into_record(Verdict::Unsupported, sentence)),
        Err(AgentError::Failed(sentence) | AgentError::Crash { sentence, .. }) => {
            Ok(outcome.into_record(Verdict::Undecided, sentence))
        }
    }
}

fn run_live_session(mut course: Session, ready: Ready, options: &Options, deadline: Instant) -> SessionResult<()> {
    let begin = Instant::now();
    course.deadline = Some(deadline);
    let names = course.ready(ready)?;
    course.measure_noise()?;
    course.outcome.time("noise", begin);
    let begin = Instant::now();
    let baseline = course.controls(&names)?;
    course.outcome.time("controls", begin);
    let begin = Instant::now();
    let rounds = course.rounds(options.min_rate, deadline);
    let last = course.blocks(&baseline, &rounds, Until::Decided, options)?;
    course.outcome.time("rounds", begin);
    course.wait_for_late_frees(&baseline, last, options)?;
    course.outcome.net_unmounted = course.outcome.net.clone();
    Ok(())
}

impl Session<'_> {
    /// Measures how much each counter moves from reading to reading while nothing but local units is made.
    fn measure_noise(&mut self) -> SessionResult<()> {
        self.task.note("how much moves by itself");
        let mut noise = Growth::new();
        let mut last = None;
        for reading in 0..NOISE_READINGS {
            self.work(0, NOISE_UNITS, Some(0.0))?;
            let sample = self.read_once()?;
            if let Some(last) = last.replace(sample.clone()).filter(|_| reading > 1) {
                for (name, moved) in growth(&last.objects, &sample.objects) {
                    let most = noise.entry(name).or_default();
                    *most = moved.abs().max(*most);
                }
            }
        }
        self.noise = Some(noise);
        Ok(())
    }

    /// Plans doses far enough apart for the noise of the caches in which a listing's objects are, and of all that have
    /// little, as far as the time allows.
    fn rounds(&mut self, min_rate: f64, deadline: Instant) -> Rounds {
        let noise = self.noise.clone().unwrap_or_default();
        let followed = noise.iter().filter(|(name, moved)| **moved <= FOLLOWED_NOISE || is_of_listings(name));
        let scatter = followed.map(|(_, moved)| *moved).max().unwrap_or(0);
        let apart = bound_width(BLOCKS, noise.len()).doses_apart(BLOCKS, scatter as f64, min_rate);
        let wanted = larger(apart).max(LEAST_DOSE);
        let left = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        let affordable = (left / ROUNDS / self.unit_seconds.max(1e-6)) as u64;
        let [least, most] = DOSES;
        let larger = wanted.min(affordable).clamp(least, most);
        if larger < wanted {
            self.outcome.record.notes.push(format!(
                "counters move by up to {scatter} objects by themselves, for which rounds of {wanted} {}s would be right; the budget allows \
                 {larger}",
                self.outcome.record.unit
            ));
        }
        Rounds { doses: [larger / 3, larger], scout_doses: [larger / 6, larger / 2] }
    }
}

/// Returns the larger of two doses of which the smaller is a third.
fn larger(apart: f64) -> u64 {
    (1.5 * apart).ceil() as u64
}

/// Returns whether a counter is one in which the directory code of the client has its objects.
fn is_of_listings(counter: &str) -> bool {
    counter.starts_with("kmalloc-") || counter.starts_with("nfs_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doses_follow_the_noise() {
        let dose = |scatter| larger(bound_width(BLOCKS, 125).doses_apart(BLOCKS, scatter, 0.5));
        assert!(dose(0.0) <= 12, "{}", dose(0.0));
        assert!((2000..2600).contains(&dose(100.0)), "{}", dose(100.0));
    }

    #[test]
    fn objects_of_a_listing_are_in_size_classes_and_in_caches_of_nfs() {
        assert!(is_of_listings("kmalloc-32") && is_of_listings("nfs_inode_cache"));
        assert!(!is_of_listings("dentry") && !is_of_listings("pages"));
    }
}
