//! Trials of `host` that is stopped in the middle, and of two at once.

use super::TRACE_BUFFERS;
use super::gentle::GENTLE;
use super::guest::{FIXED, Guest, LEAKING, command, is_the_leak, must, record, says};
use crate::case::Case;
use crate::program::Trialled;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use dirleak::result::record::Verdict;
use nix::libc::{SIGINT, SIGKILL};

/// Where a run makes something, and what that is called.
const HOMES: [&str; 3] = ["/dev/shm", "/run", TRACE_BUFFERS];
const OURS: &str = "dirleak-";
/// From the first listing, over noise, short rounds and controls, to the trace: parts of the time that a run takes which finds the leak.
const MOMENTS: [f64; 7] = [0.01, 0.1, 0.25, 0.4, 0.6, 0.8, 0.95];

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("host that is stopped in any phase ends at once and leaves nothing", &[LEAKING], |_| {
            stopped_in_any_phase()
        }),
        Case::new("two hosts at once accuse nothing and leave nothing", &[FIXED], |_| two_at_once()),
    ]
}

fn looking(words: &[&str]) -> CommandLine {
    CommandLine { files: HOMES.map(str::to_owned).into(), ..command(words) }
}

fn leaves_nothing(ended: &CommandOutput) -> Trialled {
    let left: Vec<String> = HOMES
        .iter()
        .flat_map(|home| {
            says(ended, home).lines().filter(|name| name.starts_with(OURS)).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    must(ended, left.is_empty(), || format!("these are left: {left:?}"))
}

/// What a run makes that is killed the next one takes away, and it measures as if nothing had been.
fn stopped_in_any_phase() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    let whole = guest.run(command(&GENTLE))?;
    let takes_seconds = record(&whole)?.seconds;
    for seconds in MOMENTS.map(|part| part * takes_seconds) {
        let mut stopped_by = |signal| {
            guest.run(CommandLine { signal: Some((seconds, signal)), ..looking(&["host", "/mnt", "--budget", "400"]) })
        };
        let ended = stopped_by(SIGINT)?;
        // It may have told the leak by then; and before it hears signals, when nothing is made yet, the kernel ends it.
        let is_early = ended.status.is_none() && ended.stdout.is_empty() && ended.stderr.is_empty();
        must(&ended, is_early || matches!(ended.status, Some(130 | 1)), || {
            format!("stopped after {seconds} s it ended otherwise")
        })?;
        leaves_nothing(&ended)?;
        let killed = stopped_by(SIGKILL)?;
        must(&killed, matches!(killed.status, None | Some(1)), || format!("after {seconds} s it was not killed"))?;
        leaves_nothing(&guest.run(looking(&["host", "/mnt", "--budget", "0.1"]))?)?;
    }
    let ended = guest.run(command(&GENTLE))?;
    let record = record(&ended)?;
    must(&ended, record.verdict == Verdict::Leak, || "after all that the leak is not found".into())?;
    is_the_leak(&ended, &record)?;
    guest.finish()
}

fn two_at_once() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    let words = ["host", "/mnt", "--budget", "30"];
    let ended = guest.execute(&[looking(&words), looking(&words)], false)?;
    for ended in &ended {
        must(ended, matches!(ended.status, Some(0 | 125)), || "it accuses something".into())?;
    }
    leaves_nothing(&guest.run(looking(&["--version"]))?)?;
    guest.finish()
}
