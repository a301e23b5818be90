//! The result file of a bench: what was measured, in fixed units, with nothing left out.

use super::read;
use crate::error::{Error, Result};
use crate::protocol::timing::{CacheState, Footprint, TimedListing};
use crate::scenario::Scenario;
use crate::stats::estimate::Estimate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

/// The number of the schema; fields are added without a new one.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct BenchFile {
    /// The schema.
    pub bench: u32,
    /// Version of the program.
    pub dirleak: String,
    /// As it was typed.
    pub command_line: Vec<String>,
    /// What it was measured on.
    pub machine: Machine,
    /// What executed the guests' instructions, and with it what a second is: see `docs/bench.md`.
    pub accelerator: String,
    /// One for each scenario, size and kernel.
    pub results: Vec<BenchRecord>,
    /// With `--vs` or `--reference`.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// With `--grow`.
    #[serde(default)]
    pub growth: Vec<Growth>,
    /// Percent by which a listing was to be slower at most, with `--fail-if-slower`.
    #[serde(default)]
    pub fail_if_slower: Option<f64>,
}

impl BenchFile {
    /// Returns whether this looks like a result of this kind.
    pub fn is(value: &Value) -> bool {
        value.get("bench").is_some()
    }

    /// Reads a result; what is none is said in one sentence.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        Self::from_value(&shown, read::value(&read::text(path)?).map_err(|e| none(&shown, &e))?)
    }

    /// Understands what the result file `shown` says.
    pub fn from_value(shown: &str, value: Value) -> Result<Self> {
        let wrong = |why: String| none(shown, &why);
        match value.get("bench").and_then(Value::as_u64) {
            Some(number) if number == u64::from(SCHEMA) => {}
            Some(number) => return Err(wrong(format!("its schema is {number}, and this dirleak reads {SCHEMA}"))),
            None => return Err(wrong("it has no field \"bench\"".into())),
        }
        serde_json::from_value(value).map_err(|e| none(shown, &e))
    }
}

fn none(shown: &str, why: &impl Display) -> Error {
    Error::usage(format!("{shown} is no result of dirleak bench: {why}"))
}

/// One scenario on one kernel.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct BenchRecord {
    /// The scenario by its name.
    pub scenario: String,
    /// The kernel that was booted, or its spec.
    pub kernel: KernelId,
    /// Entries of the directory.
    pub entries: u64,
    /// Of all that was drawn by lot.
    pub seed: u64,
    /// The scenario as it was timed.
    pub setup: Scenario,
    /// From starting the guest to the last listing.
    pub wall_seconds: f64,
    /// One for each state.
    pub states: Vec<StateRecord>,
    /// What a cold listing leaves in the caches.
    pub memory: Footprint,
    /// Every listing, in order.
    pub listings: Vec<Measured>,
    /// Where the guest's console is.
    #[serde(default)]
    pub console_log: Option<String>,
}

/// What was booted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct KernelId {
    /// The word of the command line that the kernel came from.
    pub spec: String,
    /// What `uname -r` says in the guest.
    pub release: String,
    /// SHA-256 of the image, in hexadecimal.
    pub image_sha256: String,
    /// Names of the patches applied, in order.
    pub patches: Vec<String>,
}

/// A listing, by the guest's clock and by the host's.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Measured {
    /// What the listing took.
    #[serde(flatten)]
    pub listing: TimedListing,
    /// Between hearing that it begins and hearing that it is over.
    pub wall_seconds: f64,
}

/// Medians over the listings in one state.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct StateRecord {
    /// How directory and attributes stood in the caches.
    pub state: CacheState,
    /// How many were measured.
    pub listings: u64,
    /// By name; the unit is in the name.
    pub medians: BTreeMap<String, f64>,
}

/// Two kernels, or one and what it was before.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Comparison {
    /// The scenario by its name.
    pub scenario: String,
    /// What the other is divided by.
    pub base: String,
    /// The spec of the kernel that is compared with it.
    pub other: String,
    /// How far apart two times may be and still be called the same.
    pub margin: f64,
    /// What it comes to.
    pub verdict: BenchVerdict,
    /// State by state.
    pub states: Vec<StateComparison>,
}

/// The same in one state.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct StateComparison {
    /// How directory and attributes stood in the caches.
    pub state: CacheState,
    /// Of the time of a listing.
    pub verdict: BenchVerdict,
    /// `other` divided by `base`, by name of what was measured.
    pub ratios: BTreeMap<String, Estimate>,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum BenchVerdict {
    /// All of the interval is below the margin.
    Faster,
    /// All of the interval is beyond the margin.
    Slower,
    /// All of the interval is within the margin.
    Same,
    /// The interval reaches over the margin.
    Undecided,
}

impl BenchVerdict {
    /// Returns what follows "is" or "are".
    pub fn as_predicate(self) -> &'static str {
        if self == Self::Same { "the same" } else { self.as_str() }
    }

    /// Returns its word in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Same => "same",
            Self::Undecided => "undecided",
        }
    }
}

/// How something grows with the number of entries.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Growth {
    /// The scenario by its name.
    pub scenario: String,
    /// The kernel that was booted, or its spec.
    pub kernel: String,
    /// What grows: the name of a median.
    pub what: String,
    /// Of a listing; nothing for memory.
    pub state: Option<CacheState>,
    /// Entries, and how much it was.
    pub points: Vec<(u64, f64)>,
    /// It grows by this power of the number of entries, by least squares between logarithms.
    pub exponent: Estimate,
    /// The same between the two largest directories, where what does not grow matters least.
    pub last_step: f64,
    /// What the unit is called.
    pub called: String,
}

/// A machine and what runs guests on it.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq, Eq)]
pub struct Machine {
    /// "model name" of `/proc/cpuinfo`.
    pub processor: String,
    /// Processors of the machine.
    pub processors: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// `uname -r` of the host.
    pub host_release: String,
    /// The first line of `qemu-system-x86_64 --version`.
    pub qemu: String,
    /// SHA-256 of this program, which is part of every guest.
    pub program_sha256: String,
}
