//! The caches that cgroups have of others, from Linux 4.5 to 5.8.

use super::place::Place;
use crate::error::{Context, Result};
use crate::probe::kernel_files::entries;
use crate::probe::version::Version;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Below a cache the caches that cgroups have of it, from Linux 4.5 to 5.8 (sysfs_slab_add in mm/slub.c of 5.2): what a process in a cgroup allocates
/// is in those, and not in the `objects` of the cache.
pub(super) const CHILDREN: &str = "cgroup";

/// Versions of which cgroups have caches of their own.
const WITH_CHILDREN: [Version; 2] = [Version { major: 4, minor: 5 }, Version { major: 5, minor: 8 }];
/// What is said of a kernel that does not show them (slub_memcg_sysfs in mm/slub.c of 5.2, which is off by default).
pub(super) const CHILDREN_ARE_HIDDEN: &str = "on Linux 4.5 to 5.8 processes in a cgroup may have slab caches of their own, and this kernel shows none: what they \
    allocate there, open files for instance, is not counted; boot with slub_memcg_sysfs=1, which shows them, or with cgroup.memory=nokmem";

/// Returns whether the kernel with this `uname -r` counts what cgroups allocate in caches of their own, given its command line and
/// `/proc/cgroups`, whose lines are "`controller` `hierarchy` `cgroups` `enabled`".
pub(super) fn has_caches_of_cgroups(release: &str, command_line: &str, cgroups: &str) -> bool {
    let [first, last] = WITH_CHILDREN;
    let is_off =
        |word: &str| word.strip_prefix("cgroup.memory=").is_some_and(|how| how.split(',').any(|w| w == "nokmem"));
    let is_enabled = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some("memory") && words.nth(2) == Some("1")
    };
    release.parse::<Version>().is_ok_and(|version| (first..=last).contains(&version))
        && !command_line.split_whitespace().any(is_off)
        && cgroups.lines().any(is_enabled)
}

/// Returns the cache of which a cgroup has one of its own by this name, "`cache`(`number`:`cgroup`)" (memcg_create_kmem_cache in
/// mm/slab_common.c of Linux 5.2); `None` if it is none of those.
pub(super) fn parent_of(child: &str) -> Option<&str> {
    let (parent, rest) = child.split_once('(')?;
    let (number, _) = rest.strip_suffix(')')?.split_once(':')?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (is_number && !parent.is_empty()).then_some(parent)
}

/// The caches that cgroups have of one: they come with the first object that a process there allocates, and go after the cgroup.
pub(super) struct Children {
    dir: PathBuf,
    known: RefCell<BTreeMap<OsString, Place>>,
}

impl Children {
    /// Finds those of a cache; `None` if the kernel has none of any. Where there are some a process needs two open files for each.
    pub(super) fn find(cache: &Path) -> Result<Option<Self>> {
        let dir = cache.join(CHILDREN);
        if !dir.is_dir() {
            return Ok(None);
        }
        let limit = || "cannot open more files for the caches of cgroups".into();
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).machine(limit)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).machine(limit)?;
        let children = Self { dir, known: RefCell::default() };
        children.look()?;
        Ok(Some(children))
    }

    /// Returns how many objects are in use in those that are there now.
    pub(super) fn count(&self) -> Result<i64> {
        self.look()?;
        let counts: Result<Vec<i64>> = self.known.borrow().values().map(Place::count).collect();
        Ok(counts?.iter().sum())
    }

    /// Asks each to give back what lies free.
    pub(super) fn shrink(&self) {
        self.known.borrow().values().for_each(Place::shrink);
    }

    /// Opens those that have come since, and forgets those that have gone.
    fn look(&self) -> Result<()> {
        let there: BTreeSet<OsString> = entries(&self.dir)
            .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
            .map(|entry| entry.file_name())
            .collect();
        let mut known = self.known.borrow_mut();
        known.retain(|name, _| there.contains(name));
        for name in there {
            let dir = self.dir.join(&name);
            if let Entry::Vacant(vacant) = known.entry(name) {
                match Place::open(&dir) {
                    Ok(place) => drop(vacant.insert(place)),
                    // It may have gone since it was listed.
                    Err(_) if !dir.is_dir() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_that_hide_the_caches_of_cgroups_are_told_by_version_and_settings() {
        let cgroups = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t9\t1\t1\nmemory\t4\t131\t1\n";
        let has = |release: &str| has_caches_of_cgroups(release, "ro quiet", cgroups);
        let with = ["4.5", "4.15.0-213-generic", "4.18.0-193.el8.x86_64", "5.4.0-150-generic", "5.8.18"];
        assert_eq!(with.map(has), [true; 5]);
        assert_eq!(["3.10.0-1160.el7.x86_64", "4.4.302", "5.9", "5.10.262", "6.1.192", "next"].map(has), [false; 6]);
        let booted = |command_line: &str| has_caches_of_cgroups("5.4.0", command_line, cgroups);
        assert!(booted("cgroup.memory=nosocket") && booted("nokmem"));
        assert!(!booted("ro cgroup.memory=nokmem") && !booted("cgroup.memory=nosocket,nokmem quiet"));
        let disabled = cgroups.replace("131\t1", "1\t0");
        assert!(!has_caches_of_cgroups("5.4.0", "cgroup_disable=memory", &disabled));
        assert!(!has_caches_of_cgroups("5.4.0", "", ""));
    }
}
