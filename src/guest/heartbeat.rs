//! The signs of life that a guest gives while its workload gets on, and what it is stuck in when it does not.

use super::serial::ResponseSender;
use crate::probe::mountstats::MountStats;
use crate::protocol::message::Response;
use crate::workload::progress;
use std::fs;
use std::io::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(2);
/// Beats without progress after which the console is told where each thread is.
const STUCK_BEATS: u32 = 6;

static WORKING: AtomicBool = AtomicBool::new(false);

/// Notes whether an order is being carried out.
pub fn set_working(working: bool) {
    WORKING.store(working, Ordering::Relaxed);
}

/// Starts the thread that says "alive". A single listing may take longer than the host waits for a word, and so does an
/// idle control round. A thread that said "alive" come what may would hide a listing that hangs, so it speaks only when
/// something was done.
pub fn start(answers: ResponseSender) -> Result<()> {
    let mut before = progress::pieces();
    let mut still = 0;
    let beat = move || loop {
        std::thread::sleep(BEAT);
        let pieces = progress::pieces();
        if pieces != before {
            (before, still) = (pieces, 0);
            if answers.send(&Response::Alive).is_err() {
                return;
            }
        } else if WORKING.load(Ordering::Relaxed) {
            still += 1;
            if still == STUCK_BEATS {
                dump_stacks();
            }
        }
    };
    std::thread::Builder::new().name("signs of life".into()).spawn(beat).map(drop)
}

/// Prints for each thread what it does in the kernel, and what the mounts have sent so far, on the console.
fn dump_stacks() {
    eprintln!("dirleak: no progress for {} s", (BEAT * STUCK_BEATS).as_secs());
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for thread in threads.map(|entry| entry.path()) {
        let read = |file: &str| fs::read_to_string(thread.join(file)).unwrap_or_else(|e: Error| e.to_string());
        let state = read("stat").rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?');
        eprintln!("dirleak: thread {}, state {state}, syscall {}", read("comm").trim(), read("syscall").trim());
        read("stack").lines().for_each(|line| eprintln!("  {line}"));
    }
    // A mount point may be no text, and says nothing of the others.
    let stats = MountStats::own().and_then(MountStats::text).unwrap_or_default();
    calls(&stats).for_each(|line| eprintln!("dirleak: {line}"));
}

/// Returns the lines of mountstats that count the calls of a listing.
fn calls(stats: &str) -> impl Iterator<Item = &str> {
    stats.lines().filter(|line| ["READDIR", "READDIRPLUS", "GETATTR"].iter().any(|c| line.contains(c))).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::procfs::read_all;

    #[test]
    fn calls_are_told_beside_a_mount_point_that_is_no_text() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("mountstats");
        let mut stats = b"device none mounted on /mnt/pok\xe9mon with fstype tmpfs\n".to_vec();
        stats.extend(b"device 127.0.0.1:/ mounted on /mnt with fstype nfs statvers=1.1\n\t     READDIR: 3 3 0 44\n\t        NULL: 1 1\n");
        fs::write(&file, stats).unwrap();
        let text = read_all(&fs::File::open(&file).unwrap()).unwrap();
        assert_eq!(calls(&text).collect::<Vec<_>>(), ["READDIR: 3 3 0 44"]);
    }
}
