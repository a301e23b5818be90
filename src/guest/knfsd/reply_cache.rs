//! The replies that knfsd keeps for calls that may come again (fs/nfsd/nfscache.c): one for each call of version 3 or 4.0 that changes
//! something, for two minutes. Sessions of version 4.1 and later have slots in place of it.
//!
//! The shrinker of the cache, which dropping slab caches calls, frees those alone that are older or too many (nfsd_reply_cache_scan), so it
//! brings nothing to rest at once. Where the guest's clock counts instructions two minutes without work cost next to nothing, and are waited
//! for. Elsewhere the server is stopped: since f5f9d4a314da (6.4; in 6.1 by a stable update) the cache belongs to the running server, and one
//! that stops gives all of it back (nfsd_shutdown_net in fs/nfsd/nfssvc.c). That is noise: its threads, and the files in sysfs of the client that it
//! registers by, have new numbers from then on, and the kernel keeps numbers in leaves of 64 (idr_alloc_cyclic of alloc_pid and of
//! __kernfs_new_node), so that a restart takes or gives some `radix_tree_node`; and 6.1 forgets two entries of debugfs at each.

use super::start::{start_again, stop};
use crate::error::{Context, Error, Result};
use crate::scenario::NfsVersion;
use crate::workload::progress;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Where the kernel tells how many there are (nfsd_reply_cache_stats_show).
const STATS: &str = "/proc/fs/nfsd/reply_cache_stats";
const ENTRIES: &str = "num entries:";

/// How long a reply is kept (RC_EXPIRE in fs/nfsd/cache.h, seen in Linux 5.2 to 7.3).
const KEPT: Duration = Duration::from_secs(120);
/// Between two signs of life while replies expire.
const SLICE: Duration = Duration::from_secs(5);
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// What has dropping call the shrinkers of slab caches, and leave pages alone.
const SLAB: &str = "2";

static MAY_EXPIRE: AtomicBool = AtomicBool::new(false);

/// Hears that time without work is free: replies are waited out.
pub fn may_expire() {
    MAY_EXPIRE.store(true, Ordering::Relaxed);
}

/// Has the server forget the replies if it keeps any: by waiting where that costs nothing, else by stopping and starting it. A kernel whose
/// server keeps them all the same is unsupported.
pub fn forget(version: NfsVersion) -> Result<()> {
    if version.has_sessions() || entries() == Some(0) {
        return Ok(());
    }
    if MAY_EXPIRE.load(Ordering::Relaxed) {
        expire()?;
        if entries() == Some(0) {
            return Ok(());
        }
    }
    stop()?;
    start_again(version)?;
    match entries() {
        Some(0) | None => Ok(()),
        Some(left) => Err(Error::kernel(format!(
            "knfsd keeps {left} replies of version {version} for two minutes, also when it is stopped, which is growth and no leak (before \
             Linux 6.4); use version 4.1 or 4.2"
        ))),
    }
}

/// Waits until all replies are too old, and has the shrinker free them.
fn expire() -> Result<()> {
    let slices = KEPT.as_secs().div_ceil(SLICE.as_secs()) + 1;
    for _ in 0..slices {
        thread::sleep(SLICE);
        progress::made();
    }
    fs::write(DROP_CACHES, SLAB).machine(|| format!("cannot write to {DROP_CACHES} in the guest"))
}

/// Returns how many replies are kept; `None` if the kernel does not tell.
fn entries() -> Option<u64> {
    count(&fs::read_to_string(STATS).ok()?)
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(ENTRIES))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_those_that_are_kept_now() {
        let text = "max entries:           8192\nnum entries:           12\nhash buckets:          128\n";
        assert_eq!(count(text), Some(12));
        assert_eq!(count("max entries: 3\n"), None);
    }
}
