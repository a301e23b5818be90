//! Trials of guests whose clock counts instructions: chance and the host have no part in what they do.

use crate::case::Case;
use crate::program::{Program, Seen, Trialled};
use dirleak::result::parts::{Round, RoundKind};
use dirleak::result::record::{RunRecord, Verdict};
use std::sync::atomic::{AtomicBool, Ordering};

const KERNEL: &str = "6.1";
/// Their accelerator.
const COUNTED: &str = "tcg-icount";

pub fn cases() -> Vec<Case> {
    let again = |scenario| {
        Case::new(
            format!("{scenario} with one seed gives the same samples beside busy processors"),
            &[KERNEL],
            move |_| same_samples(scenario),
        )
    };
    let real = Case::new("a guest's clock goes as the host's with --real-time", &[KERNEL], |_| {
        let seen = Program::new(&["run", "--kernel", KERNEL, "--real-time", "empty"]).run()?;
        let record = seen.record()?;
        seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
        seen.must(record.accelerator != COUNTED, || "its clock counts instructions".into())
    });
    vec![again("quick"), again("quick-v4"), real]
}

/// Runs it alone and beside as many threads that do nothing as there are processors.
fn same_samples(scenario: &str) -> Trialled {
    let judge = || Program::new(&["run", "--kernel", KERNEL, "--seed", "7", scenario]).run();
    let alone = judge()?;
    if alone.record()?.accelerator == "kvm" {
        // Its clock is the host's, so that the verdict alone is the same.
        return alone.must(alone.record()?.verdict == Verdict::Clean, || "it is not clean".into());
    }
    let beside = beside_busy_threads(judge)?;
    let (first, second) = (alone.record()?, beside.record()?);
    beside.must(second.accelerator == COUNTED, || format!("its clock is that of {}", second.accelerator))?;
    beside.must(samples(first) == samples(second), || first_difference(first, second))?;
    beside.must((first.verdict, &first.reason) == (second.verdict, &second.reason), || {
        format!("alone it was {}: {}", first.verdict.as_str(), first.reason)
    })
}

fn beside_busy_threads(
    work: impl FnOnce() -> Result<Seen, libtest_mimic::Failed>,
) -> Result<Seen, libtest_mimic::Failed> {
    let goes_on = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let spin = || {
            while goes_on.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        (0..std::thread::available_parallelism().map_or(2, usize::from)).for_each(|_| drop(scope.spawn(spin)));
        let done = work();
        goes_on.store(false, Ordering::Relaxed);
        done
    })
}

/// Returns for each round that is judged its kind, its dose, and what each counter has grown by since the first one. What there was before may
/// differ by a page or an area of some process, as orders come from the host at any time; and unmounting is not judged by doses.
fn samples(record: &RunRecord) -> Vec<String> {
    let first = record.rounds.first().map(|round| round.samples.clone()).unwrap_or_default();
    let tell = |round: &Round| {
        let grown = round.samples.iter().map(|(name, n)| (name, n - first.get(name).copied().unwrap_or(0)));
        let grown: Vec<String> = grown.filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name} {n:+}")).collect();
        format!("{:?} {}: {}", round.kind, round.dose, grown.join(", "))
    };
    record.rounds.iter().filter(|round| round.kind != RoundKind::Unmount).map(tell).collect()
}

fn first_difference(first: &RunRecord, second: &RunRecord) -> String {
    let (alone, beside) = (samples(first), samples(second));
    let differs = alone.iter().zip(&beside).position(|(alone, beside)| alone != beside);
    match differs {
        Some(round) => format!("round {round} alone: {}\nbeside others: {}", alone[round], beside[round]),
        None => format!("{} rounds alone, and {} beside others", alone.len(), beside.len()),
    }
}
