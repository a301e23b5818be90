//! Trials of a dirleak that is told to end, or killed, while its guests run: none of them outlives it.

use crate::bad_luck::scenario;
use crate::case::Case;
use crate::program::{Program, Trialled, varied};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

const FIXED: &str = "6.1";
/// Long enough for a guest to boot and be at work.
const BOOTED: Duration = Duration::from_secs(5);

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let all = [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGQUIT, 130), (Signal::SIGHUP, 143)];
    for (signal, status) in all {
        for (when, pause) in [("boots", Duration::ZERO), ("works", BOOTED)] {
            let name = format!("{signal} while the guest {when} ends dirleak with {status} and its guest");
            cases.push(Case::new(name, &[FIXED], move |_| told_to_end(signal, status, pause)));
        }
    }
    cases.push(Case::new("SIGINT ends verify with 130 and both its guests", &[FIXED], |_| verify_told_to_end()));
    cases.push(Case::new("no guest outlives a dirleak that was killed", &[FIXED], |_| killed()));
    cases
}

/// A run that would go on for hours, on one processor, so that a machine with two has both guests of a verify at once.
pub fn endless(first: &[&str]) -> Program {
    let arguments = [first, &["./endless.toml"]].concat();
    Program::new(&arguments).with_file(
        "endless.toml",
        &varied(&scenario("good", 1 << 20, [100_000, 1_000_000]), &[("cpus = 2", "cpus = 1")]),
    )
}

fn told_to_end(signal: Signal, status: i32, pause: Duration) -> Trialled {
    let mut running = endless(&["run", "--kernel", FIXED]).start();
    running.wait_for_guests(1)?;
    std::thread::sleep(pause);
    kill(Pid::from_raw(running.id() as i32), signal)?;
    let seen = running.wait()?;
    seen.must_end_with(status)?;
    seen.must_say(&format!("stopped by {signal}"))?;
    seen.must(seen.result.is_none(), || "there is a result of half a run".into())
}

fn verify_told_to_end() -> Trialled {
    let mut running = endless(&["verify", "--unpatched", FIXED, "--patched", FIXED]).start();
    running.wait_for_guests(2)?;
    kill(Pid::from_raw(running.id() as i32), Signal::SIGINT)?;
    let seen = running.wait()?;
    seen.must_end_with(130)?;
    seen.must_say("stopped by SIGINT")
}

fn killed() -> Trialled {
    let mut running = endless(&["run", "--kernel", FIXED]).start();
    running.wait_for_guests(1)?;
    std::thread::sleep(BOOTED);
    kill(Pid::from_raw(running.id() as i32), Signal::SIGKILL)?;
    let seen = running.wait()?;
    seen.must(seen.status.signal() == Some(Signal::SIGKILL as i32), || "it ended by itself".into())
}
