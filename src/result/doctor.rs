//! What this machine has and lacks, as `doctor` writes it.

use schemars::JsonSchema;
use serde::Serialize;

/// What a verify would do.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct CostEstimate {
    /// What each kernel takes.
    pub kernels: Vec<KernelCost>,
    /// The scenarios by their names.
    pub scenarios: Vec<String>,
    /// Bytes that are fetched.
    pub download_bytes: u64,
    /// Bytes that the cache grows by.
    pub disk_bytes: u64,
    /// About how long it takes, with guests under TCG; the parts of it follow.
    pub seconds: f64,
    /// Fetching what is fetched.
    pub fetch_seconds: f64,
    /// Unpacking and building what is built.
    pub build_seconds: f64,
    /// Judging.
    pub run_seconds: f64,
    /// Memory of the largest guest and of its QEMU.
    pub largest_guest_mib: u64,
}

/// What one kernel takes.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct KernelCost {
    /// The word of the command line that the kernel came from.
    pub spec: String,
    /// What must be done until it can be booted.
    pub step: Step,
}

/// What is still to be done for a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Nothing: it is in the cache.
    Ready,
    /// Only what a patch touches is compiled.
    Patch,
    /// The source is here.
    Build,
    /// Its source is fetched, and it is built.
    FetchAndBuild,
    /// A distribution's package of it is fetched.
    Fetch,
    /// Modules of a distribution's kernel are built with a patch.
    BuildModules,
    /// Sources and headers of a distribution's kernel are fetched, and modules of it are built with a patch.
    FetchAndBuildModules,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is.
    Ok,
    /// It is not, and a verify needs it.
    Missing,
    /// It is not, and a verify does without.
    Optional,
}

/// What something is needed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Running guests.
    Guests,
    /// Building kernels.
    Building,
    /// Fetching sources and programs.
    Fetching,
    /// Kernels of the user's: packages and images.
    OwnKernels,
    /// Source trees of the user's.
    Trees,
    /// Exports on file systems other than tmpfs.
    Exports,
    /// Measuring this machine's own kernel.
    Host,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Check {
    /// What it is called.
    pub name: String,
    /// What it is needed for.
    pub purpose: Purpose,
    /// Whether it is there.
    pub state: State,
    /// What is to be known of it, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Debian's package that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<&'static str>,
    /// The command, or what else is to be done, that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// All that was looked at.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Checkup {
    /// The version of this format.
    pub schema: u32,
    /// The version of dirleak that wrote it.
    pub dirleak: &'static str,
    /// Each thing that was looked at.
    pub checks: Vec<Check>,
    /// What a verify without arguments would do.
    pub verify: CostEstimate,
}
