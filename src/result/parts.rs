//! The parts of a record: controls, rounds, bounds, and what else was seen of a run.

use crate::sample::CounterKind;
use crate::stats::estimate::{Estimate, finite};
use nfs_fault_server::Fault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Whether the probe and the workload did what they are there for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Controls {
    /// Open files that the guest held on purpose for one round.
    pub held: i64,
    /// Those of them that the probe saw.
    pub seen: i64,
    /// Those of them that were still there after their release.
    #[serde(default)]
    pub left: i64,
    /// Names of the listing in the client's cache before the caches were dropped.
    #[serde(default)]
    pub names_cached: i64,
    /// Those of them that dropping the caches removed.
    #[serde(default)]
    pub names_removed: i64,
    /// One or more for each source that there is.
    #[serde(default)]
    pub sources: Vec<SourceControl>,
}

/// Something that the guest held on purpose, to show that a source sees it come and go.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct SourceControl {
    /// Where the counter is read.
    pub source: CounterKind,
    /// Where it was looked for: a counter, a function that must be named as a call site, or the console.
    pub name: String,
    /// How much of it there was.
    pub held: i64,
    /// How much of it was seen to come and to go again.
    pub seen: i64,
    /// How much of it was seen after it had been let go.
    pub left: i64,
    /// How much the counter moved because of what else the machine did; 0 in a guest, which does nothing else.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub noise: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// One reading of all counters at rest, and what was done before it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Round {
    /// Units made since the reading before.
    pub dose: u64,
    /// Counters by name, zeros and counters that never moved left out.
    pub samples: BTreeMap<String, i64>,
    /// What the round was for.
    #[serde(default)]
    pub kind: RoundKind,
    /// From the reading before to this one.
    #[serde(default, serialize_with = "finite")]
    pub seconds: f64,
}

/// What a round was for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoundKind {
    /// The first readings, before anything counts.
    Warmup,
    /// Listings of the NFS directory.
    #[default]
    Dose,
    /// As long, on a local directory.
    Control,
    /// The guest holds kernel objects on purpose, or has just released them.
    Held,
    /// A further round of what leaks, to see whether it goes on.
    Proof,
    /// After the workload's cgroup was taken away.
    Cgroup,
    /// After unmounting.
    Unmount,
    /// The machine was left alone, and others listed or did not.
    Watched,
}

/// What was pinned because it changes the rate of a leak.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Setup {
    /// The server: `knfsd` or `synthetic`.
    pub server: String,
    /// The version of NFS: `3`, `4.0`, `4.1` or `4.2`.
    pub nfs_version: String,
    /// Options of the mount beyond version and size.
    pub mount_options: String,
    /// The `rsize` of the mount; 0 where the kernel chose it.
    pub rsize_bytes: u64,
    /// The buffer that getdents64 gets.
    pub getdents_buffer_bytes: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Processors of the guest.
    pub cpus: u64,
    /// Whether the kernel was booted without the debugging that says who allocated what.
    #[serde(default)]
    pub stock: bool,
    /// What kept QEMU from doing more than a guest needs: `seccomp`, its own filter of system calls; `landlock`, the kernel's rules about
    /// files; and `no-sockets`, our filter, which leaves it no socket and no look at other processes. It can read files in any case.
    #[serde(default)]
    pub sandbox: Vec<String>,
    /// Whether all caches of the machine were dropped before each reading: not by `dirleak host` without `--drop-caches`.
    #[serde(default = "yes")]
    pub caches_dropped: bool,
}

/// Returns what was so before it was told.
fn yes() -> bool {
    true
}

/// What the verdict excludes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Bounds {
    /// Probability that all bounds hold together.
    #[serde(serialize_with = "finite")]
    pub confidence: f64,
    /// The smallest rate that counts as a leak, in objects or pages per unit.
    #[serde(serialize_with = "finite")]
    pub min_rate: f64,
    /// Counters that were judged.
    pub counters: u64,
    /// The counters with the highest upper bounds, highest first.
    pub highest: Vec<CounterBound>,
    /// What may leak in lumps, whatever the slopes say: the counters with the highest bounds, highest first.
    #[serde(default)]
    pub highest_net: Vec<NetBound>,
    /// A leak that comes in fewer than one of so many units is not excluded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rarest_listings: Option<u64>,
    /// Growth is called a leak when it has gone past what a cache of so many objects holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_cache_objects: Option<u64>,
}

impl Bounds {
    /// Makes the bounds before any counter is named.
    pub fn begin(confidence: f64, min_rate: f64, counters: u64) -> Self {
        Self {
            confidence,
            min_rate,
            counters,
            highest: Vec::new(),
            highest_net: Vec::new(),
            rarest_listings: None,
            largest_cache_objects: None,
        }
    }
}

/// What a counter grew by over the whole run, and what may leak in lumps because of that.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct NetBound {
    /// Where the counter is read.
    pub source: CounterKind,
    /// What it is called.
    pub name: String,
    /// Growth, less what control rounds grow by.
    pub net_objects: i64,
    /// The most that came in one block or further round.
    pub lump_objects: i64,
    /// Objects per unit, at most.
    #[serde(serialize_with = "finite")]
    pub high: f64,
}

/// The bounds of one counter.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CounterBound {
    /// Where the counter is read.
    pub source: CounterKind,
    /// What it is called.
    pub name: String,
    /// Objects per unit.
    pub objects_per_listing: Estimate,
}

/// How long one part of the work took.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Timing {
    /// What took so long.
    pub phase: String,
    /// How long it took.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
}

/// What stood on the account of the workload's cgroup when the kernel was at rest after the rounds, in bytes, and what
/// taking the cgroup away freed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CgroupRecord {
    /// All of it at most, since the cgroup was made (memory.peak, Linux 5.19 and later).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// All of it (memory.current).
    pub charged_bytes: u64,
    /// Of slab objects, of page cache, and of the processes' own memory (memory.stat).
    pub slab_bytes: u64,
    /// Page cache that is charged to it.
    pub file_bytes: u64,
    /// Processes' memory that is charged to it.
    pub anonymous_bytes: u64,
    /// By how much `slab_bytes` grew in the rounds, both times at rest.
    #[serde(default)]
    pub slab_growth_bytes: i64,
    /// Objects that went when the cgroup was taken away, by cache.
    pub freed_by_removal: BTreeMap<String, i64>,
}

/// What kmemleak reported of the same run.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct KmemleakRecord {
    /// Whether this kernel has it.
    pub available: bool,
    /// Objects that nothing points at.
    pub objects: u64,
    /// The same by the function that allocated them.
    pub objects_by_function: BTreeMap<String, u64>,
}

/// A fault that the scenario told the server, and that it happened.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FaultRecord {
    /// As the scenario has it.
    pub fault: Fault,
    /// How often it was to happen.
    pub armed: u64,
    /// How many replies it has hit.
    pub happened: u64,
}

/// The fault as a scenario would have it.
impl fmt::Display for FaultRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fault {}", serde_json::to_string(&self.fault).unwrap_or_default())
    }
}
