//! How many RPCs of which kind a mount has sent, how large they were and how long their replies took: from `/proc/self/mountstats`.

use super::kernel_files::KernelFiles;
use super::procfs::{number, read_all};
use crate::error::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;

/// How the first line of each mount begins.
const DEVICE: &str = "device ";

/// Calls by procedure, for instance READDIRPLUS.
pub type Rpcs = BTreeMap<String, u64>;

/// What the calls of one procedure were (rpc_print_iostats in net/sunrpc/stats.c).
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
pub struct Operation {
    /// Calls.
    pub calls: u64,
    /// With the headers of RPC.
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// From sending calls to having their replies, added up.
    pub reply_ms: u64,
    /// Calls that ended with an error; 0 where the kernel does not count them (before 5.3).
    #[serde(default)]
    pub errors: u64,
}

/// By procedure.
pub type Operations = BTreeMap<String, Operation>;

/// Where the kernel tells a process of its mounts.
const FILE: &str = "/proc/self/mountstats";

/// The file, kept open: each opening uses the dentries of `/proc/PID` and of the file again, and what was used often outlives the dropping of
/// caches, so that two dentries and their inodes come and go with the units.
pub struct MountStats(File);

impl MountStats {
    /// Opens it.
    pub fn open(files: &KernelFiles) -> Result<Self> {
        files.open(FILE).map(Self).machine(|| format!("cannot read {FILE}"))
    }

    /// Returns the one of this process, which is opened once.
    pub fn own() -> Result<&'static Self> {
        static OPENED: OnceLock<MountStats> = OnceLock::new();
        Ok(match OPENED.get() {
            Some(opened) => opened,
            None => {
                let opened = Self::open(&KernelFiles::of_this_machine())?;
                OPENED.get_or_init(|| opened)
            }
        })
    }

    /// Reads what is told of all mounts; of bytes that are no text U+FFFD stands there.
    pub fn text(&self) -> Result<String> {
        read_all(&self.0).machine(|| format!("cannot read {FILE}"))
    }

    /// Returns the counts of the NFS mount at `mount_point`; empty if there is none.
    pub fn rpcs(&self, mount_point: &Path) -> Result<Rpcs> {
        Ok(calls(self.operations(mount_point)?))
    }

    /// Returns how many calls of each kind ended with an error.
    pub fn failed_rpcs(&self, mount_point: &Path) -> Result<Rpcs> {
        let failed = self.operations(mount_point)?.into_iter().map(|(name, operation)| (name, operation.errors));
        Ok(failed.filter(|(_, errors)| *errors > 0).collect())
    }

    /// Returns what the mount at `mount_point` has sent and received; empty if there is none.
    pub fn operations(&self, mount_point: &Path) -> Result<Operations> {
        Ok(parse(&self.text()?, &mount_point.to_string_lossy()))
    }

    /// Returns the options of the mount at `mount_point` as the kernel has them, defaults included.
    pub fn options(&self, mount_point: &Path) -> Result<String> {
        Ok(parse_options(&self.text()?, &mount_point.to_string_lossy()).to_owned())
    }

    /// Returns all that the kernel tells of the mount at `mount_point`; empty if there is none.
    pub fn section(&self, mount_point: &Path) -> Result<String> {
        let text = self.text()?;
        Ok(mount_lines(&text, &mount_point.to_string_lossy()).map(|line| format!("{line}\n")).collect())
    }
}

pub(super) fn calls(operations: Operations) -> Rpcs {
    operations.into_iter().map(|(name, operation)| (name, operation.calls)).collect()
}

/// Returns what was sent and received between two readings.
pub fn operations_since(before: &Operations, after: &Operations) -> Operations {
    let grown = |(name, now): (&String, &Operation)| {
        let then = before.get(name).copied().unwrap_or_default();
        // Where the mount is another one by now, its counts began anew.
        let grown = Operation {
            calls: now.calls.saturating_sub(then.calls),
            sent_bytes: now.sent_bytes.saturating_sub(then.sent_bytes),
            received_bytes: now.received_bytes.saturating_sub(then.received_bytes),
            reply_ms: now.reply_ms.saturating_sub(then.reply_ms),
            errors: now.errors.saturating_sub(then.errors),
        };
        (name.clone(), grown)
    };
    after.iter().map(grown).filter(|(_, grown)| grown.calls > 0).collect()
}

/// Returns how many READDIR and READDIRPLUS calls there were.
pub fn readdirs(rpcs: &Rpcs) -> u64 {
    ["READDIR", "READDIRPLUS"].iter().filter_map(|name| rpcs.get(*name)).sum()
}

/// Returns what grew between two readings.
pub fn since(before: &Rpcs, after: &Rpcs) -> Rpcs {
    let grown = |(name, n): (&String, &u64)| (name.clone(), n.saturating_sub(*before.get(name).unwrap_or(&0)));
    after.iter().map(grown).filter(|(_, n)| *n > 0).collect()
}

/// Returns the lines of one mount. Of several at one mount point it is the last: that is the one mounted over the others, and what people
/// see there (m_show in fs/proc_namespace.c goes through the mounts in the order in which they were made).
fn mount_lines<'a>(text: &'a str, mount_point: &str) -> impl Iterator<Item = &'a str> {
    let header = format!(" mounted on {mount_point} with fstype nfs");
    let is_header = |line: &&str| line.starts_with(DEVICE) && line.contains(&header);
    let begins = text.lines().enumerate().filter(|(_, line)| is_header(line)).last();
    let mut lines = text.lines().skip(begins.map_or(usize::MAX, |(number, _)| number));
    lines.next().into_iter().chain(lines.take_while(|line| !line.starts_with(DEVICE)))
}

pub(super) fn parse(text: &str, mount_point: &str) -> Operations {
    let operations = mount_lines(text, mount_point).skip_while(|line| line.trim() != "per-op statistics").skip(1);
    operations
        .filter_map(|line| {
            let (name, counts) = line.trim().split_once(": ")?;
            // Calls, transmissions, time-outs, bytes sent, bytes received, ms in the queue, until the reply, and in all, and errors.
            let counts: Vec<u64> = counts.split(' ').map_while(|count| number(count)?.try_into().ok()).collect();
            let at = |place: usize| counts.get(place).copied().unwrap_or(0);
            let operation = Operation {
                calls: *counts.first()?,
                sent_bytes: at(3),
                received_bytes: at(4),
                reply_ms: at(6),
                errors: at(8),
            };
            Some((name.to_owned(), operation))
        })
        .filter(|(_, operation)| operation.calls > 0)
        .collect()
}

pub(super) fn parse_options<'a>(text: &'a str, mount_point: &str) -> &'a str {
    mount_lines(text, mount_point).find_map(|line| line.trim().strip_prefix("opts:")).unwrap_or_default().trim()
}

/// Adds calls to calls.
pub(crate) fn add(sum: &mut Rpcs, more: &Rpcs) {
    for (name, calls) in more {
        *sum.entry(name.clone()).or_default() += calls;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    const TEXT: &str = "device tmpfs mounted on / with fstype tmpfs\n\
        device 127.0.0.1:/ mounted on /mnt with fstype nfs statvers=1.1\n\
        \topts:\trw,vers=3\n\
        \tper-op statistics\n\
        \t        NULL: 1 1 0 44 24 0 0 0 0\n\
        \t     READDIR: 3 3 0 44 24 0 0 0 0\n\
        \t READDIRPLUS: 126 126 0 4400 2400 5 60 70 2\n\
        \t      ACCESS: 0 0 0 0 0 0 0 0 0\n\
        \n\
        device 127.0.0.1:/ mounted on /other with fstype nfs statvers=1.1\n\
        \tper-op statistics\n\
        \t     READDIR: 99 3 0 44 24 0 0 0 0\n";

    #[test]
    fn counts_are_those_of_the_mount_asked_for() {
        let rpcs = calls(parse(TEXT, "/mnt"));
        assert_eq!(rpcs, [("NULL", 1), ("READDIR", 3), ("READDIRPLUS", 126)].map(|(n, c)| (n.into(), c)).into());
        assert_eq!(parse(TEXT, "/other")["READDIR"].calls, 99);
        assert!(parse(TEXT, "/nowhere").is_empty());
        let lines: Vec<&str> = mount_lines(TEXT, "/mnt").collect();
        assert_eq!(lines.first(), Some(&"device 127.0.0.1:/ mounted on /mnt with fstype nfs statvers=1.1"));
        assert!(lines.iter().all(|line| !line.contains("/other")));
    }

    #[test]
    fn mount_over_another_is_the_one_that_is_seen() {
        let over = "device 127.0.0.1:/ mounted on /mnt with fstype nfs4 statvers=1.1\n\topts:\trw,vers=4.2\n\
            \tper-op statistics\n\t     READDIR: 7 7 0 44 24 0 0 0 0\n";
        let text = format!("{TEXT}{over}device tmpfs mounted on /mnt/deeper with fstype tmpfs\n");
        assert_eq!(parse(&text, "/mnt")["READDIR"].calls, 7);
        assert!(!parse(&text, "/mnt").contains_key("READDIRPLUS"));
        assert_eq!(parse_options(&text, "/mnt"), "rw,vers=4.2");
        assert_eq!(parse(&text, "/other")["READDIR"].calls, 99);
    }

    #[test]
    fn differences_leave_out_what_did_not_grow() {
        let before = calls(parse(TEXT, "/mnt"));
        let mut after = before.clone();
        after.insert("READDIR".into(), 7);
        assert_eq!(since(&before, &after), [("READDIR".to_owned(), 4)].into());
    }

    #[test]
    fn bytes_and_times_are_told_apart() {
        let operations = parse(TEXT, "/mnt");
        let plus = Operation { calls: 126, sent_bytes: 4400, received_bytes: 2400, reply_ms: 60, errors: 2 };
        assert_eq!(operations["READDIRPLUS"], plus);
        let mut after = operations.clone();
        after.insert("READDIRPLUS".into(), Operation { calls: 128, received_bytes: 2500, ..plus });
        let grown = Operation { calls: 2, sent_bytes: 0, received_bytes: 100, reply_ms: 0, errors: 0 };
        assert_eq!(operations_since(&operations, &after), [("READDIRPLUS".to_owned(), grown)].into());
        assert_eq!(parse_options(TEXT, "/mnt"), "rw,vers=3");
        assert_eq!(parse_options(TEXT, "/nowhere"), "");
    }

    #[test]
    fn counts_that_began_anew_are_no_growth() {
        let before = parse(TEXT, "/mnt");
        let after = parse(&TEXT.replace("126 126 0 4400", "1 1 0 40"), "/mnt");
        assert!(operations_since(&before, &after).is_empty());
        assert!(since(&calls(before), &calls(after)).is_empty());
    }

    #[test]
    fn calls_that_list_are_those_with_attributes_and_those_without() {
        let of = |calls: &[(&str, u64)]| -> Rpcs { calls.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect() };
        let mut sum = of(&[("READDIR", 3), ("GETATTR", 9)]);
        assert_eq!(readdirs(&sum), 3);
        add(&mut sum, &of(&[("READDIRPLUS", 4), ("GETATTR", 2)]));
        assert_eq!((readdirs(&sum), sum["GETATTR"]), (7, 11));
    }

    #[test]
    fn mount_is_asked_by_its_point_and_others_say_nothing() {
        let made = MadeFiles::new(&[(FILE, TEXT)]);
        let stats = MountStats::open(&made.files).unwrap();
        let (mnt, nowhere) = (Path::new("/mnt"), Path::new("/nowhere"));
        assert_eq!(stats.rpcs(mnt).unwrap()["READDIRPLUS"], 126);
        assert_eq!(stats.operations(mnt).unwrap()["READDIRPLUS"].reply_ms, 60);
        assert_eq!(stats.failed_rpcs(mnt).unwrap(), [("READDIRPLUS".to_owned(), 2)].into());
        assert_eq!(stats.options(mnt).unwrap(), "rw,vers=3");
        let section = stats.section(mnt).unwrap();
        assert!(section.starts_with("device 127.0.0.1:/ mounted on /mnt with") && section.contains("READDIR: 3 3 0"));
        assert!(!section.contains("/other"), "{section}");
        assert!(stats.rpcs(nowhere).unwrap().is_empty() && stats.section(nowhere).unwrap().is_empty());
        let error = MountStats::open(&MadeFiles::new(&[]).files).err().unwrap();
        assert!(error.to_string().starts_with("cannot read /proc/self/mountstats"), "{error}");
        // This machine has some file system, too.
        assert!(MountStats::own().unwrap().text().unwrap().contains(" with fstype "));
    }
}
