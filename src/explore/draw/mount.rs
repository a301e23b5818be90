//! Mounts and their options.

use crate::explore::group::Group;
use crate::explore::lot::Lot;
use crate::scenario::mount_options::split;
use crate::scenario::types::Mount;
use crate::scenario::{NfsVersion, ServerKind};

/// Most listings are to be cold.
const COLD: &str = "actimeo=0";
/// With which a call that is never answered ends after about a second.
pub(super) const SOFT: &str = "soft,timeo=6,retrans=1";
/// What may stand beside the others; contradictions are the kernel's business, of which the last one wins.
const MORE: [(u32, &str); 14] = [
    (4, "nordirplus"),
    (3, "rdirplus"),
    (3, "lookupcache=none"),
    (2, "lookupcache=positive"),
    (4, "nosharecache"),
    (2, "noac"),
    (2, SOFT),
    (2, "nconnect=2"),
    (1, "wsize=4096"),
    (1, "noatime"),
    (1, "sync"),
    (1, "nodiratime"),
    (1, "hard"),
    (1, "ro"),
];

/// Returns the plainest mount of a group.
pub(super) fn plain(group: &Group) -> Mount {
    let options = if group.has_lockd { format!("{COLD},lock") } else { COLD.to_owned() };
    Mount { version: group.version, count: 1, own_clients: false, rsize_bytes: 1 << 20, options }
}

/// Draws one.
pub(crate) fn draw(lot: &mut Lot, group: &Group) -> Mount {
    let rsize_bytes = *lot.weighted(&[(5, 1 << 20), (2, 65536), (2, 32768), (1, 8192), (2, 4096)]);
    let count = *lot.weighted(&[(10, 1), (3, 2), (1, 3)]);
    let own_clients = count > 1 && group.server == ServerKind::Knfsd && lot.once_in(3);
    Mount { count, own_clients, rsize_bytes, options: options(lot, group), ..plain(group) }
}

/// Draws what stands in `mount.options`.
pub(crate) fn options(lot: &mut Lot, group: &Group) -> String {
    let mut options = vec![*lot.weighted(&[(8, COLD), (1, ""), (1, "actimeo=60"), (1, "acdirmin=1,acdirmax=2")])];
    for _ in 0..*lot.weighted(&[(3, 0), (3, 1), (1, 2)]) {
        let more = *lot.weighted(&MORE);
        if !options.contains(&more) {
            options.push(more);
        }
    }
    if group.version == NfsVersion::V3 && lot.once_in(10) {
        options.push("noacl");
    }
    if group.has_lockd {
        options.push("lock");
    }
    options.retain(|option| !option.is_empty());
    options.join(",")
}

/// Returns whether the options of a mount have this one among them.
pub(crate) fn has(mount: &Mount, option: &str) -> bool {
    split(&mount.options).any(|other| other == option)
}

/// Takes an option away.
pub(crate) fn without(mount: &mut Mount, option: &str) {
    let left: Vec<&str> = split(&mount.options).filter(|other| *other != option).collect();
    mount.options = left.join(",");
}
