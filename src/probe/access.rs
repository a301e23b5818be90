//! What a machine, a container on it or a policy keeps from who measures a live kernel: what that is, what can be said all the same, and what
//! mends it.

use super::kernel_files::KernelFiles;
use super::{ftrace, privileges, processors};
use nix::unistd::geteuid;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// What a limit takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Whatever there is.
    Everything,
    /// Exact counts, so that only watching is left.
    Measuring,
    /// Pages that belong to no cache, and dropping caches.
    Pages,
    /// Who allocated what stays.
    Functions,
    /// Rest: some processors cannot be visited.
    Processors,
    /// A mount of our own.
    Mounting,
}

/// Something that is kept from us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub takes: Takes,
    /// What is missing, and what can be said all the same.
    pub what: String,
    /// What mends it.
    pub mend: &'static str,
}

impl Limit {
    fn new(takes: Takes, what: impl Into<String>, mend: &'static str) -> Self {
        Self { takes, what: what.into(), mend }
    }

    /// Returns all of it as one sentence.
    pub fn sentence(&self) -> String {
        format!("{}; {}", self.what, self.mend)
    }

    /// Returns whether nothing can be measured because of it.
    pub fn stops_measuring(&self) -> bool {
        matches!(self.takes, Takes::Everything | Takes::Measuring)
    }
}

/// Looks at this machine; nothing is changed.
pub fn limits() -> Vec<Limit> {
    Facts::of_this_machine().limits()
}

/// What was looked at.
#[derive(Clone, Debug)]
struct Facts {
    is_root: bool,
    may_mount: bool,
    /// Whether slab caches are counted, and may be asked to give back what lies free.
    counts: bool,
    shrinks: bool,
    /// Whether what is below `/proc/sys` may be written; `None` if the kernel does not have the file that is.
    refreshes: Option<bool>,
    is_locked_down: bool,
    has_tracefs: bool,
    /// Those that may be used, and all.
    processors: [usize; 2],
}

const SLABS: &str = "/sys/kernel/slab";
/// Caches of which one is looked at that may be.
const SOME_CACHES: usize = 16;
const REFRESH: &str = "/proc/sys/vm/stat_refresh";
const LOCKDOWN: &str = "/sys/kernel/security/lockdown";
const LOCKED_DOWN: &str = "lockdown=confidentiality";
const TRACED: &str = "/sys/kernel/tracing/events";

impl Facts {
    fn of_this_machine() -> Self {
        // One of them may be about to go.
        let caches = fs::read_dir(SLABS).into_iter().flatten().flatten().take(SOME_CACHES);
        let caches: Vec<PathBuf> = caches.map(|cache| cache.path()).collect();
        let lockdown = fs::read_to_string(LOCKDOWN).unwrap_or_default();
        let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let ours = processors::allowed().map_or(0, |numbers| numbers.len());
        Self {
            is_root: geteuid().is_root(),
            may_mount: privileges::has_sys_admin() && privileges::owns_the_machine(),
            counts: caches.iter().any(|cache| File::open(cache.join("objects")).is_ok()),
            shrinks: caches.iter().any(|cache| can_be_written(&cache.join("shrink"))),
            refreshes: Path::new(REFRESH).exists().then(|| can_be_written(Path::new(REFRESH))),
            // Where nobody has mounted securityfs the command line tells what it was booted with.
            is_locked_down: ftrace::chosen(&lockdown) == "confidentiality" || command_line.contains(LOCKED_DOWN),
            has_tracefs: Path::new(TRACED).is_dir(),
            processors: [ours, processors::online(&KernelFiles::of_this_machine()).unwrap_or(ours)],
        }
    }

    fn limits(&self) -> Vec<Limit> {
        let stopping = match () {
            () if !self.is_root => Some(Limit::new(
                Takes::Everything,
                "the kernel tells what its memory holds to root alone, so that dirleak host says nothing to others",
                "use sudo",
            )),
            () if !self.counts => Some(Limit::new(
                Takes::Everything,
                "there is no /sys/kernel/slab to be read, so that objects cannot be counted and nothing can be said here",
                "mount -t sysfs sysfs /sys, or run dirleak on the machine itself, whose kernel is the same",
            )),
            () if !self.shrinks => Some(Limit::new(
                Takes::Measuring,
                "/sys is read-only here, as in most containers, so that objects which lie free in a processor's lists count as in use; \
                 --passive and --watch work all the same",
                "mount -o remount,rw /sys, or run dirleak on the machine itself, whose kernel is the same",
            )),
            () => None,
        };
        let [ours, all] = self.processors;
        let pages = (self.is_root && self.refreshes == Some(false)).then(|| {
            Limit::new(
                Takes::Pages,
                "/proc/sys is read-only here, as in most containers, so that pages are not looked for and caches are never dropped; slab caches, \
                 vmalloc and per-CPU memory are judged all the same",
                "mount -o remount,rw /proc/sys, or run dirleak on the machine itself, whose kernel is the same",
            )
        });
        let processors = (ours < all).then(|| {
            Limit::new(
                Takes::Processors,
                format!(
                    "of {all} processors this process may use {ours}, so that what the others keep for themselves moves by itself and makes \
                     rounds longer; the verdict is as good"
                ),
                "run it outside of that cpuset or without that taskset",
            )
        });
        let limits = [stopping, pages, self.functions(), processors, self.mounting()];
        limits.into_iter().flatten().collect()
    }

    /// Returns what keeps functions from being named where the kernel does not keep them.
    fn functions(&self) -> Option<Limit> {
        match () {
            () if self.is_locked_down => Some(Limit::new(
                Takes::Functions,
                "lockdown=confidentiality closes tracefs and debugfs, so that no function is named; verdict, counters and rates are the same",
                "boot with lockdown=integrity, or have a guest name it: dirleak run --kernel and this kernel's package",
            )),
            () if self.is_root && !self.has_tracefs && !self.may_mount => Some(Limit::new(
                Takes::Functions,
                "tracefs is not mounted here and this process may not mount it, so that no function is named; verdict, counters and rates are \
                 the same",
                "mount -t tracefs tracefs /sys/kernel/tracing on the machine itself",
            )),
            () => None,
        }
    }

    fn mounting(&self) -> Option<Limit> {
        (self.is_root && !self.may_mount).then(|| {
            Limit::new(
                Takes::Mounting,
                "this process lacks CAP_SYS_ADMIN of the machine, as in most containers, so that --synthetic cannot mount; a directory of a \
                 mount that there is can be measured",
                "run it on the machine itself, whose kernel is the same, or in a container that was started with --privileged",
            )
        })
    }
}

fn can_be_written(path: &Path) -> bool {
    File::options().write(true).open(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> Facts {
        Facts {
            is_root: true,
            may_mount: true,
            counts: true,
            shrinks: true,
            refreshes: Some(true),
            is_locked_down: false,
            has_tracefs: true,
            processors: [4, 4],
        }
    }

    fn takes(facts: &Facts) -> Vec<Takes> {
        facts.limits().iter().map(|limit| limit.takes).collect()
    }

    #[test]
    fn machine_that_keeps_nothing_back_has_no_limits() {
        assert_eq!(takes(&free()), []);
        assert_eq!(takes(&Facts { refreshes: None, ..free() }), [], "the kernel has no such file");
        assert_eq!(takes(&Facts { has_tracefs: false, ..free() }), [], "it is mounted meanwhile");
    }

    #[test]
    fn what_is_kept_back_is_told_with_what_is_left_and_what_mends_it() {
        for (facts, expected, words) in [
            (Facts { is_root: false, may_mount: false, ..free() }, vec![Takes::Everything], "use sudo"),
            (Facts { counts: false, shrinks: false, ..free() }, vec![Takes::Everything], "mount -t sysfs"),
            (Facts { shrinks: false, ..free() }, vec![Takes::Measuring], "--passive and --watch work"),
            (Facts { refreshes: Some(false), ..free() }, vec![Takes::Pages], "remount,rw /proc/sys"),
            (Facts { is_locked_down: true, ..free() }, vec![Takes::Functions], "lockdown=integrity"),
            (Facts { processors: [2, 8], ..free() }, vec![Takes::Processors], "of 8 processors this process may use 2"),
            (Facts { may_mount: false, ..free() }, vec![Takes::Mounting], "--privileged"),
            (
                Facts { may_mount: false, has_tracefs: false, ..free() },
                vec![Takes::Functions, Takes::Mounting],
                "mount -t tracefs",
            ),
        ] {
            assert_eq!(takes(&facts), expected, "{facts:?}");
            let limit = &facts.limits()[0];
            assert!(limit.sentence().contains(words) && !limit.sentence().contains('\n'), "{}", limit.sentence());
            let stops = matches!(expected[0], Takes::Everything | Takes::Measuring);
            assert_eq!(limit.stops_measuring(), stops, "{facts:?}");
        }
    }

    #[test]
    fn processors_that_may_be_used_are_among_those_that_work() {
        let facts = Facts::of_this_machine();
        assert!(facts.processors[0] >= 1 && facts.processors[0] <= facts.processors[1], "{facts:?}");
    }
}
