//! What measuring this machine's own kernel takes: nothing is needed for a verify.

use crate::probe::access::{self, Limit, Takes};
use crate::result::doctor::{Check, Purpose};
use std::fs;

const FILE_SYSTEMS: &str = "/proc/filesystems";
const MOUNTS: &str = "/proc/self/mountinfo";

/// Checks what `dirleak host` would find here. Nothing is mounted, loaded or changed.
pub fn checks() -> Vec<Check> {
    let read = |file: &str| fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
    let mut checks: Vec<Check> = access::limits().iter().map(limited).collect();
    if checks.is_empty() {
        checks.push(Check::ok("access", Purpose::Host, "nothing is kept from dirleak host".into()));
    }
    checks.push(client(&read(FILE_SYSTEMS), &read(MOUNTS)));
    checks
}

fn limited(limit: &Limit) -> Check {
    let name = match limit.takes {
        Takes::Everything => "the kernel's memory",
        Takes::Measuring => "/sys",
        Takes::Pages => "/proc/sys",
        Takes::Functions => "names of functions",
        Takes::Processors => "processors",
        Takes::Mounting => "host --synthetic",
    };
    Check::lacking(name, Purpose::Host, false, limit.what.clone(), limit.mend.into())
}

/// Checks whether there is anything to list.
fn client(file_systems: &str, mounts: &str) -> Check {
    const NAME: &str = "NFS client";
    let is_there = file_systems.lines().any(|line| line.split_whitespace().next_back() == Some("nfs"));
    let is_nfs = |line: &&str| line.split_once(" - ").is_some_and(|(_, mount)| mount.starts_with("nfs"));
    match (mounts.lines().filter(is_nfs).count(), is_there) {
        (0, false) => {
            let mend = "modprobe nfs; --synthetic has the kernel do so";
            Check::lacking(NAME, Purpose::Host, false, "it is not loaded, and nothing is mounted".into(), mend.into())
        }
        (0, true) => Check::ok(NAME, Purpose::Host, "nothing is mounted; --synthetic needs no mount".into()),
        (1, _) => Check::ok(NAME, Purpose::Host, "one mount".into()),
        (mounts, _) => Check::ok(NAME, Purpose::Host, format!("{mounts} mounts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::doctor::State;

    #[test]
    fn client_is_there_where_the_kernel_knows_nfs_and_its_mounts_are_counted() {
        let mounts = "21 1 0:20 / / rw - overlay overlay rw\n40 21 0:45 / /srv rw shared:9 - nfs4 files:/ rw\n\
            41 21 0:46 / /mnt rw - nfs files:/ rw\n42 21 0:47 / /proc/fs/nfsd rw - tmpfs nfsd rw\n";
        let told = |file_systems, mounts| {
            let check = client(file_systems, mounts);
            (check.state, check.detail.unwrap())
        };
        assert_eq!(told("nodev\tnfs\n", mounts), (State::Ok, "2 mounts".into()));
        assert_eq!(told("nodev\tnfs\n", "").1, "nothing is mounted; --synthetic needs no mount");
        assert_eq!(told("nodev\tnfsd\n", "").0, State::Optional, "that is a server");
    }

    #[test]
    fn no_limit_of_host_keeps_a_verify_from_running() {
        for takes in [Takes::Everything, Takes::Measuring, Takes::Pages, Takes::Functions, Takes::Mounting] {
            let check = limited(&Limit { takes, what: "it is kept".into(), mend: "mend it" });
            assert_eq!((check.state, check.mend.as_deref()), (State::Optional, Some("mend it")));
        }
        assert!(checks().iter().all(|check| check.purpose == Purpose::Host && check.state != State::Missing));
    }
}
