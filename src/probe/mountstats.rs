//! How many RPCs of which kind a mount has sent: from `/proc/self/mountstats`.

use crate::error::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Calls by procedure, for instance READDIRPLUS.
pub type Rpcs = BTreeMap<String, u64>;

/// The counts of the NFS mount at `mount_point`; empty if there is none.
pub fn read(mount_point: &Path) -> Result<Rpcs> {
    let text = fs::read_to_string("/proc/self/mountstats").machine(|| "cannot read /proc/self/mountstats".into())?;
    Ok(parse(&text, &mount_point.to_string_lossy()))
}

/// What grew between two readings.
pub fn since(before: &Rpcs, after: &Rpcs) -> Rpcs {
    let grown = |(name, n): (&String, &u64)| (name.clone(), n - before.get(name).unwrap_or(&0));
    after.iter().map(grown).filter(|(_, n)| *n > 0).collect()
}

fn parse(text: &str, mount_point: &str) -> Rpcs {
    let header = format!(" mounted on {mount_point} with fstype nfs");
    let mut lines = text.lines().skip_while(|line| !line.contains(&header)).skip(1);
    let ours = lines.by_ref().take_while(|line| !line.starts_with("device "));
    let operations = ours.skip_while(|line| line.trim() != "per-op statistics").skip(1);
    operations
        .filter_map(|line| {
            let (name, counts) = line.trim().split_once(": ")?;
            Some((name.to_owned(), counts.split(' ').next()?.parse().ok()?))
        })
        .filter(|(_, calls)| *calls > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "device tmpfs mounted on / with fstype tmpfs\n\
        device 127.0.0.1:/ mounted on /mnt with fstype nfs statvers=1.1\n\
        \topts:\trw,vers=3\n\
        \tper-op statistics\n\
        \t        NULL: 1 1 0 44 24 0 0 0 0\n\
        \t     READDIR: 3 3 0 44 24 0 0 0 0\n\
        \t READDIRPLUS: 126 126 0 44 24 0 0 0 0\n\
        \t      ACCESS: 0 0 0 0 0 0 0 0 0\n\
        \n\
        device 127.0.0.1:/ mounted on /other with fstype nfs statvers=1.1\n\
        \tper-op statistics\n\
        \t     READDIR: 99 3 0 44 24 0 0 0 0\n";

    #[test]
    fn only_the_mount_asked_for_counts() {
        let rpcs = parse(TEXT, "/mnt");
        assert_eq!(rpcs, [("NULL", 1), ("READDIR", 3), ("READDIRPLUS", 126)].map(|(n, c)| (n.into(), c)).into());
        assert_eq!(parse(TEXT, "/other")["READDIR"], 99);
        assert!(parse(TEXT, "/nowhere").is_empty());
    }

    #[test]
    fn differences_leave_out_what_did_not_grow() {
        let before = parse(TEXT, "/mnt");
        let mut after = before.clone();
        after.insert("READDIR".into(), 7);
        assert_eq!(since(&before, &after), [("READDIR".to_owned(), 4)].into());
    }
}
