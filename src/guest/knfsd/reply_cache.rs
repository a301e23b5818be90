//! The replies that knfsd keeps for calls that may come again (fs/nfsd/nfscache.c): one for each call of version 3 or 4.0 that changes
//! something, for two minutes. Sessions of version 4.1 and later have slots in place of it.
//!
//! The shrinker of the cache, which dropping slab caches calls, frees those alone that are older or too many (nfsd_reply_cache_scan), so it
//! brings nothing to rest. Since f5f9d4a314da (6.4; in 6.1 by a stable update) the cache belongs to the running server: one that stops gives
//! all of it back (nfsd_shutdown_net in fs/nfsd/nfssvc.c).

use super::start::{start_again, stop};
use crate::error::{Error, Result};
use crate::scenario::NfsVersion;
use std::fs;

/// Where the kernel tells how many there are (nfsd_reply_cache_stats_show).
const STATS: &str = "/proc/fs/nfsd/reply_cache_stats";
const ENTRIES: &str = "num entries:";

/// Has the server forget the replies, by stopping and starting it, if it keeps any. A kernel whose server keeps them all the same is
/// unsupported.
pub fn forget(version: NfsVersion) -> Result<()> {
    if version.has_sessions() || entries() == Some(0) {
        return Ok(());
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
