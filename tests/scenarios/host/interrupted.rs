//! Trials of `host` that is stopped in the middle, and of two at once.

use super::TRACE_BUFFERS;
use super::guest::{FIXED, Guest, LEAKING, command, must, says};
use crate::case::Case;
use crate::program::Trialled;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use nix::libc::SIGINT;

/// Where a run makes something, and what that is called.
const HOMES: [&str; 3] = ["/dev/shm", "/run", TRACE_BUFFERS];
const OURS: &str = "dirleak-";
/// From the first listing, over noise, short rounds and controls, to the trace: a run that finds the leak takes some 6 s there.
const MOMENTS_SECONDS: [f64; 6] = [0.05, 0.5, 1.0, 2.0, 3.5, 5.0];

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

fn stopped_in_any_phase() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    for seconds in MOMENTS_SECONDS {
        let ended = guest.run(CommandLine { signal: Some((seconds, SIGINT)), ..looking(&["host", "/mnt"]) })?;
        // A fast machine may have told the leak by then.
        must(&ended, matches!(ended.status, Some(130 | 1)), || {
            format!("stopped after {seconds} s it ended otherwise")
        })?;
        leaves_nothing(&ended)?;
    }
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
