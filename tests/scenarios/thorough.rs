//! Which trials are left out of the usual run, because another one that is in it would fail of the same defect: together they take as long as
//! all others. `DIRLEAK_NIGHTLY=1` has all of them tried.

use crate::kernels::only_nightly;

/// Beginnings of their names. Each is of one trial at least.
const THOROUGH: [&str; 29] = [
    // Of each source a large leak is tried, which disturbs its control most, and of objects a small one.
    "a leak of 30 ",
    "a leak of 1 files ",
    "a leak of 1 pages ",
    "a leak of 1 areas ",
    "a leak of 1 percpu ",
    // Between the lengths that are tried.
    "quick with 128 entries on 6.1+spare-pages",
    "quick on 6.1+page-per-listing without debugging",
    // The other signals go the same way.
    "SIGQUIT ",
    "SIGHUP ",
    // Others of the same kind are tried.
    "a kernel that follows a NULL pointer",
    "a kernel that runs into BUG()",
    "a kernel that fails with EIO",
    "a kernel that is blind to vmallocinfo",
    "a kernel that is blind to percpu_stats",
    "6.1+honest-cache-1000-per-reply ",
    "6.1+names-on-reclaim ",
    "6.1+uncached-pages ",
    "growth that unmounting frees is a leak with --strict",
    // A live machine: each way to look is tried on one kernel that leaks and on one that does not.
    "host on 6.1 with slub_debug is clean",
    "host on 6.1+spare-pages with slub_debug names",
    "host where kptr_restrict=2 hides functions is clean",
    "host on Debian's 6.1 with nohz_full= and isolcpus= is clean",
    "host beside a busy neighbour tells the leak",
    "host on a stock 6.1 that merges caches",
    "host on a stock 6.1+spare-pages that merges caches traces",
    "host is clean though no cache is dropped where the kernel puts off",
    "host on a stock 6.1 accuses nothing beside others",
    "host on Debian's own 6.1:amd64",
    "host on Debian's own 6.1 has no disk read again",
];

/// Returns why a trial is left out, if it is.
pub fn left_out(name: &str) -> Option<String> {
    THOROUGH.iter().find(|beginning| name.starts_with(**beginning))?;
    only_nightly("another trial would fail of the same defect")
}

/// Returns a beginning of which there is no trial any more.
pub fn forgotten(names: &[String]) -> Option<&'static str> {
    THOROUGH.into_iter().find(|beginning| !names.iter().any(|name| name.starts_with(beginning)))
}
