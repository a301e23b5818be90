//! Memory that runs short, so that the kernel reclaims what it holds without being told to drop it.

use super::cgroup;
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is to be kept free, in KiB; kswapd reclaims when less than about 1.25 of it is free.
const KEPT_FREE: &str = "/proc/sys/vm/min_free_kbytes";
/// kswapd takes no longer than this, however much there is.
const KSWAPD_LIMIT: Duration = Duration::from_secs(5);
/// More than a cgroup ever has.
const EVERYTHING: &str = "1000000000000";

/// Has the workload's cgroup reclaim all that it can. This is direct reclaim: the writing process does it.
pub fn reclaim() -> Result<()> {
    let file = cgroup::file("memory.reclaim");
    match fs::write(&file, EVERYTHING) {
        // There was less than asked for, as was to be expected.
        Err(e) if e.raw_os_error() == Some(Errno::EAGAIN as i32) => Ok(()),
        // Linux before 5.19: a limit that is exceeded reclaims, too.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let high = cgroup::file("memory.high");
            let usual = fs::read_to_string(&high).machine(|| format!("cannot read {}", high.display()))?;
            let write = |value: &str| fs::write(&high, value).machine(|| format!("cannot write {}", high.display()));
            write("0")?;
            write(usual.trim())
        }
        other => other.machine(|| format!("cannot write {}", file.display())),
    }
}

/// Wakes kswapd and waits until it sleeps again. It is asked to keep a little less free than is free, so that nobody runs out of
/// memory. Having reclaimed nothing 16 times it gives up until somebody else reclaims something (`MAX_RECLAIM_RETRIES` in
/// mm/internal.h), so scenarios have a `reclaim` between two of these.
pub fn wake_kswapd() -> Result<()> {
    let kswapd = kswapd()?;
    let usual = fs::read_to_string(KEPT_FREE).machine(|| format!("cannot read {KEPT_FREE}"))?;
    let slept = sleeps(&kswapd)?;
    keep_free(&(free_kib()? * 5 / 6).to_string())?;
    let begin = Instant::now();
    let woken = loop {
        // Only who allocates wakes it.
        drop(vec![1_u8; 1 << 20]);
        std::thread::sleep(Duration::from_millis(2));
        if sleeps(&kswapd)? > slept {
            break Ok(());
        }
        if begin.elapsed() > KSWAPD_LIMIT {
            break Err(Error::kernel("kswapd does not reclaim although memory is short"));
        }
    };
    keep_free(usual.trim())?;
    woken
}

fn keep_free(kib: &str) -> Result<()> {
    fs::write(KEPT_FREE, kib).machine(|| format!("cannot write {kib} to {KEPT_FREE}"))
}

/// Directory of the first node's kswapd in /proc.
fn kswapd() -> Result<PathBuf> {
    let processes = fs::read_dir("/proc").machine(|| "cannot read /proc".into())?;
    let mut paths = processes.filter_map(|entry| Some(entry.ok()?.path()));
    let is_kswapd = |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == "kswapd0");
    paths.find(is_kswapd).ok_or_else(|| Error::kernel("this kernel has no kswapd"))
}

/// How often a process has gone to sleep by itself.
fn sleeps(process: &std::path::Path) -> Result<u64> {
    number(&process.join("status"), "voluntary_ctxt_switches:")
}

fn free_kib() -> Result<u64> {
    number(std::path::Path::new("/proc/meminfo"), "MemFree:")
}

/// The number behind `key` in a file of lines "`key` `number`".
fn number(file: &std::path::Path, key: &str) -> Result<u64> {
    let text = fs::read_to_string(file).machine(|| format!("cannot read {}", file.display()))?;
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    value.ok_or_else(|| Error::kernel(format!("{} has no number {key}", file.display())))
}
