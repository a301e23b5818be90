//! Memory that runs short, so that the kernel reclaims what it holds without being told to drop it.

use super::cgroup;
use crate::error::{Context, Result};
use nix::errno::Errno;
use std::fs;

/// More than a cgroup ever has.
const EVERYTHING: &str = "1000000000000";

/// Has the workload's cgroup reclaim all that it can. This is direct reclaim: the writing process does it.
pub fn reclaim() -> Result<()> {
    let file = cgroup::file("memory.reclaim");
    match fs::write(&file, EVERYTHING) {
        // There was less than asked for, as was to be expected.
        Err(e) if e.raw_os_error() == Some(Errno::EAGAIN as i32) => Ok(()),
        // Linux before 5.19 has no such file: a limit that is exceeded reclaims, too.
        Err(_) if !file.exists() => {
            let high = cgroup::file("memory.high");
            let usual = fs::read_to_string(&high).machine(|| format!("cannot read {}", high.display()))?;
            let write = |value: &str| fs::write(&high, value).machine(|| format!("cannot write {}", high.display()));
            write("0")?;
            write(usual.trim())
        }
        other => other.machine(|| format!("cannot write {}", file.display())),
    }
}
