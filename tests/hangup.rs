//! A dirleak whose terminal goes away, or that is told to quit: it ends what it has begun and leaves nothing half-made.

#[path = "support/fake_tree.rs"]
mod fake_tree;

use fake_tree::{FakeTree, INTERRUPTED, TERMINATED, running, text, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Child;

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// Its exit status and what it said.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let status = child.wait().unwrap();
    let mut said = Vec::new();
    child.stderr.take().map(|mut stderr| stderr.read_to_end(&mut said));
    (status.code(), text(&said))
}

#[test]
fn build_that_hears_of_a_hangup_or_quit_clears_away() {
    for (signal, status) in [(Signal::SIGHUP, TERMINATED), (Signal::SIGQUIT, INTERRUPTED)] {
        let desk = FakeTree::new();
        let child = desk.start_endless();
        send(&child, signal);
        let (code, said) = ended(child);
        assert_eq!(code, Some(status), "{said}");
        assert!(said.contains(&format!("stopped by {signal}")), "{said}");
        assert!(desk.is_clean());
        assert_eq!(running(desk.dir.path()), []);
    }
}

#[test]
fn build_whose_terminal_is_gone_ends_without_a_panic() {
    let desk = FakeTree::new();
    let mut child = desk.start_endless();
    // Nobody reads what it says any more.
    drop(child.stderr.take());
    drop(child.stdout.take());
    send(&child, Signal::SIGHUP);
    assert_eq!(child.wait().unwrap().code(), Some(TERMINATED));
    assert!(desk.is_clean());
}

#[test]
fn build_under_nohup_does_not_hear_of_a_hangup() {
    let desk = FakeTree::new();
    desk.patch("endless.patch", &[fake_tree::ENDLESS, fake_tree::CHANGE].concat());
    let mut command = desk.command(&["build", "6.1+endless.patch"]);
    // SAFETY: signal is async-signal-safe and installs no handler.
    let ignore = || unsafe {
        nix::libc::signal(nix::libc::SIGHUP, nix::libc::SIG_IGN);
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(ignore) };
    let mut child = command.spawn().unwrap();
    wait_until("the endless build begins", || desk.cache("build/6.1/tree/begun").exists());
    send(&child, Signal::SIGHUP);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None, "it ended");
    send(&child, Signal::SIGTERM);
    assert_eq!(ended(child).0, Some(TERMINATED));
}
