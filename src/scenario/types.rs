//! What stands in a scenario file.

use super::cluster::Cluster;
use super::nfs_version::NfsVersion;
use super::step::Step;
use super::unit::Unit;
use nfs_fault_server::dirtree::spec::{Directory, Made};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What is served, made, mounted and listed, with everything pinned that changes a leak's rate.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The file's name without `.toml`; not a key of the file.
    #[serde(skip)]
    pub name: String,
    /// Where the files are that it names; not a key of the file.
    #[serde(skip)]
    pub beside: PathBuf,
    /// Why the scenario exists, in a sentence.
    pub summary: String,
    /// The commit that brought the bug which the scenario looks for.
    pub introduced_by: Option<String>,
    /// The commit that removed it.
    pub fixed_by: Option<String>,
    /// The named sets it belongs to.
    #[serde(default)]
    pub sets: Vec<String>,
    /// Who serves the directory.
    pub server: ServerKind,
    /// The file system that knfsd exports.
    #[serde(default)]
    pub export: Export,
    /// The directory that is listed.
    pub directory: Directory,
    /// How it is mounted.
    pub mount: Mount,
    /// How it is listed.
    pub listing: Listing,
    /// What is repeated.
    #[serde(default)]
    pub unit: Unit,
    /// The cgroup that the workload has to itself, if it has one.
    pub cgroup: Option<Cgroup>,
    /// The servers that share the directories, if there are several.
    pub cluster: Option<Cluster>,
    /// The machine that does it.
    pub guest: Guest,
    /// How many units the rounds make.
    pub rounds: Rounds,
}

impl Scenario {
    /// Returns whether the scenario itself makes or changes files through a mount; its programs may do so, too.
    pub fn writes(&self) -> bool {
        let by_mount =
            |step: &Step| matches!(step, Step::AddBy(_) | Step::RenameBy(_) | Step::RemoveBy(_) | Step::Files(_));
        self.directory.made == Made::Mount || self.unit.all_steps().any(by_mount)
    }
}

/// The two NFS servers, both in the guest over loopback.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ServerKind {
    /// The kernel's own, with real files on a tmpfs export.
    Knfsd,
    /// NFSv3 in userspace; the directory is a formula.
    Synthetic,
}

impl ServerKind {
    /// Returns the word of scenarios and results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Knfsd => "knfsd",
            Self::Synthetic => "synthetic",
        }
    }
}

/// The file system that knfsd exports.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Export {
    /// Its type.
    pub file_system: FileSystem,
}

/// Types of file systems that knfsd can export here.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// In memory; its files are inodes and dentries and nothing else.
    #[default]
    Tmpfs,
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    /// Returns what mount(8) calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// How the export is mounted.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// "3", "4.0", "4.1" or "4.2".
    #[schemars(with = "String")]
    pub version: NfsVersion,
    /// How often the export is mounted.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 8))]
    pub count: u32,
    /// Whether each of several mounts is a client of its own for the server, so that what one is granted another can have recalled.
    #[serde(default)]
    pub own_clients: bool,
    /// Largest reply the client asks for.
    pub rsize_bytes: u32,
    /// Further options, as mount(8) takes them.
    #[serde(default)]
    pub options: String,
}

fn one() -> u32 {
    1
}

/// How the directory is listed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Size of the buffer given to getdents64.
    pub getdents_buffer_bytes: usize,
}

/// The virtual machine.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Further words for the kernel's command line.
    #[serde(default)]
    pub kernel_arguments: String,
    /// Whether files have security labels, and NFS carries them.
    #[serde(default)]
    pub security_labels: bool,
    /// Whether the kernel is booted as distributions do, without the debugging that says who allocated what; call sites then come from
    /// tracepoints.
    #[serde(default)]
    pub stock: bool,
    /// Whether the guest's clock goes as the host's does, even where it could count instructions: for what asks the clock again and again, or is
    /// interrupted by it.
    #[serde(default)]
    pub real_time: bool,
    /// Files and directories from beside the scenario that programs of `run` steps need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Programs of the host that they start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
    /// Debian packages in which they are, unpacked and never installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
}

/// A cgroup (version 2) for the workload alone, taken away at the end.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroup {
    /// More than this is reclaimed (memory.high), in MiB; unlimited if it is not said.
    pub memory_high_mib: Option<u32>,
}

/// Returns the smallest that differ, by default.
fn scout_doses() -> [u64; 2] {
    [1, 2]
}

/// How many units the rounds make.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// The smaller and the larger dose of a round, in units (listings).
    pub doses: [u64; 2],
    /// The same for the short rounds before, which decide what is already clear.
    #[serde(default = "scout_doses")]
    pub scout_doses: [u64; 2],
}
