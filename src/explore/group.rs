//! What a guest is booted for: scenarios of which it is the same can share one.

use super::lot::Lot;
use crate::scenario::types::{Cgroup, Guest};
use crate::scenario::{FileSystem, NfsVersion, Scenario, ServerKind};

/// What cannot change as long as a guest runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub server: ServerKind,
    pub version: NfsVersion,
    pub file_system: FileSystem,
    /// Whether the client's lockd runs, which needs rpcbind.
    pub has_lockd: bool,
    pub guest: Guest,
    pub cgroup: Option<Cgroup>,
}

/// Memory of a guest in MiB: scenarios that are drawn are small.
const MEMORY_MIB: u32 = 256;

impl Group {
    /// Returns the group of a scenario.
    pub fn of_scenario(scenario: &Scenario) -> Self {
        Self {
            server: scenario.server,
            version: scenario.mount.version,
            file_system: scenario.export.file_system,
            has_lockd: scenario.mount.has_lockd(),
            guest: scenario.guest.clone(),
            cgroup: scenario.cgroup.clone(),
        }
    }

    /// Draws one.
    pub fn draw(lot: &mut Lot) -> Self {
        let versions = [(3, NfsVersion::V3), (1, NfsVersion::V4_0), (2, NfsVersion::V4_1), (4, NfsVersion::V4_2)];
        let (server, version) = match lot.below(2) {
            0 => (ServerKind::Synthetic, NfsVersion::V3),
            _ => (ServerKind::Knfsd, *lot.weighted(&versions)),
        };
        let has_lockd = server == ServerKind::Knfsd && version == NfsVersion::V3 && lot.once_in(3);
        let guest = Guest {
            memory_mib: MEMORY_MIB,
            cpus: *lot.weighted(&[(11, 1), (1, 2)]),
            kernel_arguments: String::new(),
            security_labels: version == NfsVersion::V4_2 && lot.once_in(4),
            stock: false,
            real_time: false,
            files: Vec::new(),
            programs: Vec::new(),
            packages: Vec::new(),
        };
        let cgroup = lot.once_in(6).then_some(Cgroup { memory_high_mib: None });
        Self { server, version, file_system: FileSystem::Tmpfs, has_lockd, guest, cgroup }
    }
}

/// The group in a few words.
impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.server.as_str(), self.version)?;
        let more = [
            (self.has_lockd, " with lockd".to_owned()),
            (self.guest.security_labels, " with labels".to_owned()),
            (self.cgroup.is_some(), " in a cgroup".to_owned()),
            (self.guest.cpus > 1, format!(" on {} processors", self.guest.cpus)),
        ];
        more.iter().filter(|(is_so, _)| *is_so).try_for_each(|(_, words)| f.write_str(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    #[test]
    fn scenarios_share_a_guest_where_all_that_differs_can_be_set_up_anew() {
        let group = |name: &str| Group::of_scenario(&load(name).unwrap());
        assert_eq!(group("quick"), group("server-error"));
        assert_ne!(group("quick"), group("quick-v4"));
        assert_ne!(group("quick-v4"), group("labels"));
        assert_ne!(group("quick"), group("reclaim"));
        assert_ne!(group("files-lock-posix"), group("files-rename"));
    }

    #[test]
    fn groups_that_are_drawn_are_of_many_kinds() {
        let groups: Vec<Group> = (0..400).map(|batch| Group::draw(&mut Lot::new(1, batch, 0))).collect();
        let has = |is: &dyn Fn(&Group) -> bool| groups.iter().filter(|group| is(group)).count() > 10;
        assert!(has(&|group| group.server == ServerKind::Synthetic));
        assert!(
            [NfsVersion::V3, NfsVersion::V4_0, NfsVersion::V4_1, NfsVersion::V4_2]
                .iter()
                .all(|version| has(&|group| group.server == ServerKind::Knfsd && group.version == *version))
        );
        assert!(has(&|group| group.has_lockd) && has(&|group| group.guest.security_labels));
        assert!(has(&|group| group.cgroup.is_some()) && has(&|group| group.guest.cpus > 1));
        assert_eq!(Group::draw(&mut Lot::new(3, 5, 0)), Group::draw(&mut Lot::new(3, 5, 0)));
    }
}
