//! What host and guest say to each other over the second serial port: one JSON object a line, and what the guest says
//! packed ([`super::packed`]).

use super::timing::{CacheState, Footprint, TimedListing};
use crate::coverage::counters::FileCounters;
use crate::probe::control_allocs::ControlAllocs;
use crate::probe::counters::SiteSource;
use crate::probe::kmemleak::KmemleakReport;
use crate::probe::mountstats::Rpcs;
use crate::sample::{Sample, Site, SourceLine};
use crate::scenario::Scenario;
use crate::scenario::fail_nth::FailNth;
use nfs_fault_server::FaultCount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A plain listing shows no more entries of a directory that has more, so that a trace of it holds the names of all it shows.
pub const MOST_LISTED_PLAINLY: u64 = 20_000;

/// What the guest finds in its initramfs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// What to set up.
    pub scenario: Scenario,
    /// What the names are made from.
    pub seed: u64,
    /// Whether to tell each call.
    pub trace: bool,
    /// Whether the clock counts instructions, so that it goes far ahead while nobody works.
    pub clock_counts: bool,
    /// What to load, in this order.
    pub modules: Vec<ModuleFile>,
    /// What the units run.
    pub programs: Vec<ProgramWords>,
}

/// A program of the scenario, as the guest has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ProgramWords {
    /// As the scenario has it.
    pub command: String,
    /// Its path in the guest, and what it is given.
    pub words: Vec<String>,
}

/// A kernel module in the guest's file system.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ModuleFile {
    pub name: String,
    pub path: String,
    /// Whether nothing works without it.
    pub required: bool,
}

/// What the host asks for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Request {
    /// Make units: `listings` of the NFS mount and `fillers` of the local directory, mixed evenly, then wait until
    /// the whole has taken `at_least_seconds`, or, where that is not said, as long as it would take if the fillers
    /// were listings of the NFS mount, too.
    Work { listings: u64, fillers: u64, at_least_seconds: Option<f64> },
    /// Unmount, and put another scenario in the place of the one that is there; what a guest is booted for stays: the server and its version,
    /// the machine, the cgroup.
    SetUp { scenario: Box<Scenario>, seed: u64 },
    /// Have this allocation fail in each unit of the NFS mount from now on; none any more if there is none.
    FailInEachUnit { fail: Option<FailNth> },
    /// Set the counters of what the kernel's code executes to zero.
    ResetCoverage,
    /// Tell these counters.
    Coverage,
    /// Make one plain cold listing of the NFS mount, to [`MOST_LISTED_PLAINLY`] entries, whatever the scenario's unit is: its names
    /// are to be in the cache.
    ListPlainly,
    /// Make a listing in each of these states, one after the other, and time it.
    Time { states: Vec<CacheState> },
    /// Make a cold listing that is checked, tell what it leaves in the caches, and what timing adds to a listing.
    Footprint,
    /// Hold memory of every kind as a positive control.
    Hold,
    /// Let them go.
    Release,
    /// Read all counters after dropping caches once.
    Glance,
    /// Read all counters at rest.
    Settle,
    /// Tell who allocated what these counters count now.
    Sites { caches: Vec<String> },
    /// Say what is charged to the workload's cgroup.
    Charged,
    /// Take the workload's cgroup away.
    TakeCgroupAway,
    /// Begin to trace who allocates and frees what these counters count, with the stacks of allocations if `stacks`.
    TraceBegin { counters: Vec<String>, stacks: bool },
    /// Tell who has since allocated what is not freed yet.
    Traced,
    /// The same, and end tracing.
    TraceEnd,
    /// Keep in mind what each line of source has allocated, of which none has grown yet.
    AllocinfoBegin,
    /// Tell which lines have since allocated more than was freed.
    AllocinfoEnd,
    /// Read active objects by the plain recipe.
    Slabinfo,
    /// Have kmemleak scan and tell what it reports.
    Kmemleak,
    /// Run command lines of dirleak beside each other, as on a machine of its own; with `meanwhile` the guest makes units now and then as
    /// long as they run.
    Execute { commands: Vec<CommandLine>, meanwhile: bool },
    /// Unmount the NFS mount.
    Unmount,
    /// End.
    Finish,
}

/// What the guest says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Response {
    /// Process 1 runs.
    Hello { release: String },
    /// Work goes on.
    Alive,
    /// The calls that were made since this was said last, a line each.
    Called { lines: String },
    /// A sign of life, with what is being done.
    Step { name: String, seconds: f64 },
    /// The stage is set.
    Ready(Ready),
    /// What is charged to the workload's cgroup.
    Charged(CgroupUsage),
    /// A round is over.
    Worked(RoundStats),
    /// A listing that was timed.
    Timed(TimedListing),
    /// What a cold listing leaves in the caches.
    Footprint(Footprint),
    /// The controls are held.
    Held(ControlAllocs),
    /// How often code of the kernel was executed, by file of its source; files of which nothing was are left out.
    Coverage { files: Vec<FileCounters> },
    /// It is done.
    Done,
    /// Counters.
    Sample {
        sample: Sample,
        /// How long it took to come to rest; `None` after a glance, or if rest never came.
        settled_seconds: Option<f64>,
        /// When it was read, by the clock of who read it.
        #[serde(default)]
        clock_seconds: f64,
    },
    /// Call sites by counter; a counter that the kernel does not track is missing.
    Sites { sites: BTreeMap<String, Vec<Site>> },
    /// Call sites by counter of what was allocated since tracing began; `None` if that cannot be told.
    Traced { sites: Option<BTreeMap<String, Vec<Site>>> },
    /// Lines of source that have allocated more than was freed, most bytes first; `None` if the kernel does not tell it.
    Allocinfo { lines: Option<Vec<SourceLine>> },
    /// Active objects by cache.
    Slabinfo { objects: BTreeMap<String, i64> },
    /// What kmemleak reports; `None` if the kernel has none.
    Kmemleak { reported: Option<KmemleakReport> },
    /// How the command lines ended, in their order.
    Executed { ended: Vec<CommandOutput> },
    /// The guest cannot go on.
    Trouble { trouble: AgentFailure, message: String },
    /// The last word.
    Bye,
}

/// What there is when the stage is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ready {
    /// Bytes of an object of each slab cache, debugging data not counted.
    pub object_bytes: BTreeMap<String, u64>,
    /// The other names of each slab cache that the kernel has merged.
    #[serde(default)]
    pub shared_names: BTreeMap<String, Vec<String>>,
    /// Lengths of an allocation that holds a name, and how many names have it; `.` and `..` are not counted.
    pub name_allocations: Vec<(u64, u64)>,
    /// Sources that this kernel does not have.
    pub missing_sources: Vec<String>,
    /// What there was when everything but the mount was there.
    pub before_mount: Sample,
    /// Who had then allocated what a mount is made of, by cache.
    pub sites_before_mount: BTreeMap<String, Vec<Site>>,
    /// How the kernel tells who allocated an object.
    pub site_source: SiteSource,
    /// Why a trace would name no function, in a sentence; `None` if it would.
    #[serde(default)]
    pub untraceable: Option<String>,
}

/// A command line of dirleak.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct CommandLine {
    /// The words after "dirleak".
    pub arguments: Vec<String>,
    /// The user who runs it.
    pub user: u32,
    /// A signal that it gets after so many seconds.
    pub signal: Option<(f64, i32)>,
    /// The signal waits, too, until something is in this file; a part of its path may be `*`, which is any directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_file: Option<String>,
    /// Files to be told afterwards, and directories, of which it is the names.
    pub files: Vec<String>,
    /// What is kept from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confined: Vec<Confinement>,
}

/// What containers and policies keep from a process.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confinement {
    /// `/sys` can only be read.
    ReadOnlySys,
    /// `/proc/sys` can only be read.
    ReadOnlyProcSys,
    /// Nothing is mounted on `/sys/kernel/tracing`.
    WithoutTracefs,
    /// It has not, and never gets, CAP_SYS_ADMIN.
    WithoutSysAdmin,
    /// It may use the first processor alone.
    OneProcessor,
    /// It is in a memory cgroup of its own, of version 1.
    MemoryCgroupV1,
    /// The same, of version 2.
    MemoryCgroupV2,
    /// It is in a domain of SELinux that may neither mount nor make anything in a directory that is not of a tmpfs.
    SelinuxDomain,
}

/// How a command line ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct CommandOutput {
    /// `None` if a signal ended it.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// What is in the files that were asked for; those that are not there are missing.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What a round did.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct RoundStats {
    /// Units made on the NFS mount.
    pub listings: u64,
    /// Those of them that sent READDIR or READDIRPLUS.
    pub cold_listings: u64,
    /// Those in which each name was seen exactly once.
    pub complete_listings: u64,
    /// Mounts that the server refused, as it was to.
    pub refused_mounts: u64,
    /// Signals that interrupted who read the NFS mount, as they were to.
    pub signals: u64,
    /// getdents64 calls on the NFS mount.
    pub getdents_calls: u64,
    /// Programs that ran on the NFS mount.
    #[serde(default)]
    pub programs: u64,
    /// Processes that they left behind, which were ended.
    #[serde(default)]
    pub left_processes: u64,
    /// Operations on files of the NFS mount.
    #[serde(default)]
    pub operations: u64,
    /// Those that could not be done in the local directory.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// What the NFS mount sent.
    pub rpcs: Rpcs,
    /// Those of them that ended with an error.
    #[serde(default)]
    pub failed_rpcs: Rpcs,
    /// Time that the NFS listings took.
    pub listing_seconds: f64,
    /// Time that the round took, waiting included.
    pub seconds: f64,
    /// Time in which a processor had something to do while the NFS listings were made; no more than they took.
    #[serde(default)]
    pub busy_seconds: f64,
    /// When it ended, by the clock of who made it.
    #[serde(default)]
    pub clock_seconds: f64,
    /// What failed on purpose.
    #[serde(default)]
    pub failures: Box<FailureStats>,
    /// What was wrong with a listing, if one was.
    pub broken: Option<String>,
    /// The faults that the server was told, counted since it began.
    pub faults: Vec<FaultCount>,
}

/// The allocations that failed on purpose, and how it went on.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct FailureStats {
    /// Units in which one failed.
    pub units: u64,
    /// How passes ended in which one failed, by errno; those that went through are not among them.
    pub errors: BTreeMap<String, u64>,
    /// Who asked for the first that failed, from there outwards, each frame with its offset, where that is told.
    pub stack: Vec<String>,
}

impl FailureStats {
    /// Adds what failed later.
    pub fn add(&mut self, later: Self) {
        self.units += later.units;
        for (errno, times) in later.errors {
            *self.errors.entry(errno).or_default() += times;
        }
        if self.stack.is_empty() {
            self.stack = later.stack;
        }
    }
}

/// What is charged to a cgroup, in bytes (memory.current and memory.stat).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct CgroupUsage {
    /// All of it.
    pub bytes: u64,
    /// The most that it ever was, where the kernel tells.
    pub peak_bytes: Option<u64>,
    /// Of slab objects.
    pub slab_bytes: u64,
    /// Of page cache.
    pub file_bytes: u64,
    /// Of the processes' own memory.
    pub anonymous_bytes: u64,
}

/// Why the guest cannot go on.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum AgentFailure {
    /// The kernel lacks something.
    Unsupported,
    /// Something that should have worked did not.
    Failed,
    /// We are to blame.
    Bug,
}
