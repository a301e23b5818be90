//! What is said of a listing that is timed: in which state the caches are before it, and what it took.

use crate::probe::mountstats::Operations;
use crate::probe::procfs::Busy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a cold listing leaves in the caches.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Footprint {
    /// What was wrong with the listing, if something was.
    pub broken: Option<String>,
    /// Bytes of the objects that were there after the listing and not before it, and of those that were left when caches had been dropped.
    pub slab_held_bytes: i64,
    pub slab_left_bytes: i64,
    /// The same of page cache.
    pub page_held_bytes: i64,
    pub page_left_bytes: i64,
    /// Of each cache that grew.
    pub caches: BTreeMap<String, i64>,
    /// A warm listing whose calls are timed, and a bare loop around getdents64, where the scenario does no more than that.
    pub timed_seconds: Option<f64>,
    pub bare_seconds: Option<f64>,
}

/// What the host hears when the clock of a listing is about to run.
pub const BEGINS: &str = "the listing begins";

/// How directory and attributes stand in the client's caches when a listing begins.
#[derive(
    Clone, Copy, Debug, Deserialize, JsonSchema, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum CacheState {
    /// Nothing is cached: page cache, dentries and inodes were dropped, the server's as well.
    Cold,
    /// The directory was just listed, and the attributes are good.
    Warm,
    /// The directory is cached, and all attributes have timed out.
    Expired,
    /// The same, and the directory was changed since and changes while it is listed.
    Changing,
}

impl CacheState {
    /// In the order in which each leaves behind what the next one needs.
    pub const ALL: [Self; 4] = [Self::Cold, Self::Warm, Self::Expired, Self::Changing];

    /// Returns the word in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Expired => "expired",
            Self::Changing => "changing",
        }
    }
}

/// What one listing took, by the guest's clock.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct TimedListing {
    pub state: CacheState,
    pub seconds: f64,
    pub first_entry_seconds: f64,
    /// `.` and `..` not counted.
    pub entries: u64,
    pub directories: u64,
    /// Of the records that getdents64 brought.
    pub getdents_bytes: u64,
    pub getdents: Latencies,
    /// What the mount sent and received.
    pub operations: Operations,
    /// Processor time that the listing thread spent in the kernel.
    pub thread_system_seconds: f64,
    /// Processor time of the whole guest, in ticks of 10 ms.
    pub guest: Busy,
    /// How often the directory was changed meanwhile.
    pub changes: u64,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Latencies {
    pub calls: u64,
    pub median_seconds: f64,
    pub p99_seconds: f64,
    pub max_seconds: f64,
}

impl Latencies {
    pub fn from_calls(mut calls: Vec<Duration>) -> Self {
        calls.sort_unstable();
        let at = |share: f64| {
            let place = (share * calls.len() as f64).ceil() as usize;
            calls.get(place.clamp(1, calls.len().max(1)) - 1).map_or(0.0, Duration::as_secs_f64)
        };
        Self { calls: calls.len() as u64, median_seconds: at(0.5), p99_seconds: at(0.99), max_seconds: at(1.0) }
    }
}
