//! What this machine has and lacks, as `doctor` writes it.

use serde::Serialize;

/// What a verify would do.
#[derive(Clone, Debug, Serialize)]
pub struct CostEstimate {
    pub kernels: Vec<KernelCost>,
    pub scenarios: Vec<String>,
    pub download_bytes: u64,
    pub disk_bytes: u64,
    /// About how long it takes, with guests under TCG.
    pub seconds: f64,
    /// Memory of the largest guest and of its QEMU.
    pub largest_guest_mib: u64,
}

/// What one kernel takes.
#[derive(Clone, Debug, Serialize)]
pub struct KernelCost {
    pub spec: String,
    pub step: Step,
}

/// What is still to be done for a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Ready,
    /// Only what a patch touches is compiled.
    Patch,
    /// The source is here.
    Build,
    FetchAndBuild,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
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
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    Guests,
    Building,
    Fetching,
    OwnKernels,
    Trees,
    Exports,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    pub name: String,
    pub purpose: Purpose,
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
#[derive(Clone, Debug, Serialize)]
pub struct Checkup {
    pub schema: u32,
    pub dirleak: &'static str,
    pub checks: Vec<Check>,
    /// What a verify without arguments would do.
    pub verify: CostEstimate,
}
