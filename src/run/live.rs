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
use crate::text::plural::plural;
use crate::verdict::block::Block;
use crate::verdict::judge::bound_width;
use std::collections::BTreeSet;
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
            Ok(outcome.into_cut_off_record(sentence))
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
    let rounds = course.rounds(options.min_rate);
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
        let mut moves = Vec::new();
        let mut last = None;
        for reading in 0..NOISE_READINGS {
            self.work(0, NOISE_UNITS, Some(0.0))?;
            let sample = self.read_once()?;
            if let Some(last) = last.replace(sample.clone()).filter(|_| reading > 1) {
                let moved = growth(&last.objects, &sample.objects);
                for (name, moved) in &moved {
                    let most = noise.entry(name.clone()).or_default();
                    *most = moved.abs().max(*most);
                }
                moves.push(moved);
            }
        }
        self.noise = Some(noise);
        self.moves = moves;
        Ok(())
    }

    /// Plans the doses of the long rounds by what moves now: beside the few readings before everything, what the control rounds of the short
    /// blocks moved by is known. A machine that has got busier since, or was busy for a second, is judged by what it does for most of the time.
    /// In a guest, where nothing moves by itself, those that were planned. The blocks that are judged are not among what they are chosen by.
    pub(super) fn doses_by_now(&mut self, planned: [u64; 2], short: &[Block], min_rate: f64) -> [u64; 2] {
        if self.noise.is_none() {
            return planned;
        }
        self.moves.extend(short.iter().map(|block| block.control.clone()));
        let scatter = scatter(&self.moves);
        let (wanted, larger) = self.larger_dose(scatter, min_rate);
        if larger < wanted {
            self.outcome.record.notes.push(format!(
                "counters move by up to {scatter} objects by themselves, for which rounds of {wanted} {} would be right; the budget allows \
                 {larger}",
                plural(&self.outcome.record.unit)
            ));
        }
        [larger / 3, larger]
    }

    /// Doses far enough apart for the noise of the caches in which a listing's objects are, and of all that have little, as far as the
    /// time allows.
    fn rounds(&mut self, min_rate: f64) -> Rounds {
        let (_, larger) = self.larger_dose(scatter(&self.moves), min_rate);
        Rounds { doses: [larger / 3, larger], scout_doses: [larger / 6, larger / 2] }
    }

    /// Returns the larger dose that such noise asks for, and the one that the time allows.
    fn larger_dose(&self, scatter: i64, min_rate: f64) -> (u64, u64) {
        let counters = self.noise.as_ref().map_or(0, Growth::len);
        let apart = bound_width(BLOCKS, counters).doses_apart(BLOCKS, scatter as f64, min_rate);
        let wanted = larger(apart).max(LEAST_DOSE);
        let left = self.deadline.map_or(0.0, |end| end.saturating_duration_since(Instant::now()).as_secs_f64());
        let affordable = (left / ROUNDS / self.unit_seconds.max(1e-6)) as u64;
        let [least, most] = DOSES;
        (wanted, wanted.min(affordable).clamp(least, most))
    }
}

/// Returns by how much the counters that doses follow move: the second largest of what the most restless of them moved by, as once is
/// what a machine does now and then.
fn scatter(moves: &[Growth]) -> i64 {
    let names: BTreeSet<&String> = moves.iter().flat_map(Growth::keys).collect();
    let usual = |name: &String| {
        let mut moved: Vec<i64> = moves.iter().map(|moved| moved.get(name).copied().unwrap_or(0).abs()).collect();
        moved.sort_unstable_by_key(|moved| -moved);
        moved.get(1).copied().unwrap_or(0)
    };
    let usual = names.into_iter().map(|name| (name, usual(name)));
    usual
        .filter(|(name, moved)| *moved <= FOLLOWED_NOISE || is_of_listings(name))
        .map(|(_, moved)| moved)
        .max()
        .unwrap_or(0)
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
    use crate::os::progress::Ui;
    use crate::protocol::message::{Request, Response};
    use crate::result::record::KernelRecord;

    #[test]
    fn doses_follow_the_noise() {
        let dose = |scatter| larger(bound_width(BLOCKS, 125).doses_apart(BLOCKS, scatter, 0.5));
        assert!(dose(0.0) <= 12, "{}", dose(0.0));
        assert!((2000..2600).contains(&dose(100.0)), "{}", dose(100.0));
    }

    #[test]
    fn doses_follow_what_a_machine_does_for_most_of_the_time() {
        let moves = |name: &str, of: &[i64]| -> Vec<Growth> {
            of.iter().map(|moved| Growth::from([(name.to_owned(), *moved), ("dentry".to_owned(), 5000)])).collect()
        };
        // Busy in the first second, and busier in the short rounds than before.
        assert_eq!(scatter(&moves("kmalloc-256", &[900, 3, -2, 4, 5, -4])), 5);
        assert_eq!(scatter(&moves("kmalloc-256", &[1, 0, -1, 0, 300, -280])), 280);
        // What moves by more than listings could be told from is not followed unless they have their objects there.
        assert_eq!(scatter(&moves("anon_vma", &[300, 280, 270])), 0);
        assert_eq!(scatter(&moves("anon_vma", &[100, 90])), 90);
        assert_eq!(scatter(&[]), 0);
    }

    /// Takes every order and does nothing.
    struct Idle;

    impl Agent for Idle {
        fn request(&mut self, _: &Request, _: &mut dyn FnMut(&str)) -> std::result::Result<Response, AgentError> {
            Ok(Response::Done)
        }
    }

    /// Returns the doses of a machine where kmalloc-256 moves by 100 objects, and what is noted of them; a listing takes so many seconds,
    /// and 300 s are left.
    fn chosen(unit_seconds: f64) -> ([u64; 2], Vec<String>) {
        let mut outcome = Observations::new(RunRecord::begin("made", KernelRecord::default(), 1), &Options::default());
        let (mut worker, task) = (Idle, Ui::silent().task("made"));
        let mut session = Session::new(&mut worker, &task, &mut outcome);
        let moved = || Growth::from([("kmalloc-256".to_owned(), 100)]);
        session.noise = Some((0..125).map(|n| (format!("cache-{n}"), 0)).collect());
        session.moves = vec![moved(), moved(), moved()];
        session.unit_seconds = unit_seconds;
        session.deadline = Some(Instant::now() + Duration::from_secs(300));
        let doses = session.doses_by_now([16, 48], &[], 0.5);
        (doses, outcome.record.notes)
    }

    #[test]
    fn doses_are_as_noise_asks_for_or_as_the_budget_pays_which_is_told() {
        let ([small, large], notes) = chosen(0.001);
        assert!((2000..2600).contains(&large) && small == large / 3 && notes.is_empty(), "{large}, {notes:?}");
        // A listing of 100,000 files over a network: 300 s are 15 rounds of 10.
        let ([_, large], notes) = chosen(1.9);
        assert!((9..=10).contains(&large), "{large}");
        assert!(notes[0].ends_with(&format!("the budget allows {large}")), "{notes:?}");
    }

    #[test]
    fn what_a_listing_allocates_is_in_size_classes_and_in_caches_of_nfs() {
        assert!(is_of_listings("kmalloc-32") && is_of_listings("nfs_inode_cache"));
        assert!(!is_of_listings("dentry") && !is_of_listings("pages"));
    }

    /// A machine whose counters move by so many objects from reading to reading.
    struct Wandering {
        moves: Vec<i64>,
        readings: usize,
        level: i64,
    }

    impl Agent for Wandering {
        fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> std::result::Result<Response, AgentError> {
            Ok(match order {
                Request::Work { .. } => Response::Worked(crate::protocol::message::RoundStats::default()),
                Request::Glance => {
                    self.level += self.moves[self.readings];
                    self.readings += 1;
                    let objects = [("kmalloc-256".to_owned(), self.level)].into();
                    Response::Sample {
                        sample: crate::sample::Sample { objects },
                        settled_seconds: None,
                        clock_seconds: 0.0,
                    }
                }
                _ => Response::Done,
            })
        }
    }

    #[test]
    fn noise_is_what_moves_once_the_machine_is_used_to_being_read() {
        let mut outcome = Observations::new(RunRecord::begin("made", KernelRecord::default(), 1), &Options::default());
        let mut worker = Wandering { moves: vec![0, 900, 3, -7, 5, 0], readings: 0, level: 1000 };
        let task = Ui::silent().task("made");
        let mut session = Session::new(&mut worker, &task, &mut outcome);
        session.measure_noise().unwrap();
        assert_eq!(session.noise.as_ref().unwrap()["kmalloc-256"], 7);
        let moved: Vec<_> = session.moves.iter().map(|moved| moved.get("kmalloc-256").copied().unwrap_or(0)).collect();
        assert_eq!(moved, [3, -7, 5, 0]);
        (session.unit_seconds, session.deadline) = (1e-6, Some(Instant::now() + Duration::from_secs(300)));
        let Rounds { doses: [small, large], scout_doses } = session.rounds(0.5);
        assert!(large >= LEAST_DOSE && small == large / 3, "{small} and {large}");
        assert_eq!(scout_doses, [large / 6, large / 2]);
    }

    #[test]
    fn machine_that_does_nothing_ends_undecided_within_its_budget() {
        let ready = Ready {
            object_bytes: Default::default(),
            shared_names: Default::default(),
            name_allocations: Vec::new(),
            missing_sources: Vec::new(),
            before_mount: Default::default(),
            sites_before_mount: Default::default(),
            site_source: crate::probe::counters::SiteSource::None,
            untraceable: None,
        };
        let live = Live {
            worker: &mut Idle,
            ready,
            record: RunRecord::begin("made", KernelRecord::default(), 1),
            options: &Options::default(),
            budget: Duration::from_secs(300),
            task: &Ui::silent().task("made"),
        };
        let record = run(live).unwrap();
        assert_eq!(record.verdict, Verdict::Undecided);
        assert!(record.reason.contains("answered something else than it was asked"), "{}", record.reason);
    }
}
