//! What this process may do, and why not more; and that others come first.

use std::fs;

const STATUS: &str = "/proc/self/status";
const USERS: &str = "/proc/self/uid_map";
/// CAP_SYS_ADMIN in include/uapi/linux/capability.h.
pub const SYS_ADMIN: u32 = 21;

/// How much we stand back behind others who want the processor.
const NICENESS: libc::c_int = 10;

/// Lets whoever wants the processor have it before this thread and those that it starts.
pub fn stand_back() {
    // SAFETY: setpriority touches no memory of ours. If it fails we are only less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// Returns whether this process has CAP_SYS_ADMIN, which mounting takes, in whatever user namespace it is.
pub fn has_sys_admin() -> bool {
    fs::read_to_string(STATUS).ok().and_then(|text| effective(&text)).is_some_and(|bits| bits & (1 << SYS_ADMIN) != 0)
}

/// Returns whether it is the machine's own root that this process may be, and not one that a user namespace made.
pub fn owns_the_machine() -> bool {
    // A kernel without user namespaces has no such file.
    fs::read_to_string(USERS).map_or(true, |text| maps_everybody(&text))
}

/// Returns why this process may not mount, and what would mend it, as the end of a sentence about it.
pub fn why_it_may_not_mount() -> &'static str {
    match () {
        () if !owns_the_machine() => {
            "must be root of the machine, while in this user namespace (a rootless container) it has no CAP_SYS_ADMIN of the machine's; run \
             it on the machine itself, whose kernel is the same"
        }
        () if !has_sys_admin() => {
            "lacks CAP_SYS_ADMIN, as most containers do; run it on the machine itself, whose kernel is the same, or in a container that \
             was started with --privileged"
        }
        () => {
            "has CAP_SYS_ADMIN and is refused nevertheless, by seccomp or another policy of this container or machine; run it outside of \
             it"
        }
    }
}

/// Reads the effective capabilities of a status file: `CapEff: 000001ffffffffff`.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Returns whether a map of users is that of the first user namespace: everybody is who they are (user_namespaces(7)).
fn maps_everybody(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_that_are_in_effect() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n";
        assert_eq!(effective(status), Some(0x01ff_feff_ffff));
        assert_eq!(effective("CapPrm:\t0000000000000000\n"), None);
        assert_eq!(effective("CapEff:\tnone\n"), None);
    }

    #[test]
    fn machine_is_owned_where_every_user_is_who_they_are() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody("0 1000 1\n1 100000 65536\n") && !maps_everybody(""));
    }

    #[test]
    fn others_who_want_the_processor_have_it_first() {
        let nice = std::thread::spawn(|| {
            stand_back();
            // SAFETY: getpriority touches no memory of ours.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        });
        assert!(nice.join().unwrap() >= NICENESS);
    }
}
