//! What a leak does to the servers of a fleet, as `forecast` writes it.

use crate::stats::estimate::Estimate;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What is written, which is no result of a measurement and says so by its field.
#[derive(Serialize)]
pub struct ForecastFile<'a> {
    pub schema: u32,
    pub dirleak: &'static str,
    pub command_line: Vec<String>,
    pub forecast: &'a Forecast,
}

/// A leak, as a function of the number of entries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Leak {
    pub kernel: String,
    /// What loses so much: a listing, unless the scenario repeats something else.
    pub unit: String,
    pub grows: GrowthModel,
    /// Smallest directory first.
    pub measured: Vec<Measured>,
    /// Counters that leak objects whose size is not known, which are not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<String>,
}

/// One size that was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    pub scenario: String,
    pub entries: u64,
    pub objects_per_listing: f64,
    pub bytes_per_listing: Estimate,
}

/// What sizes that were not measured lose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrowthModel {
    /// Several sizes were measured: straight lines through them, the outer ones drawn on.
    ThroughMeasured,
    /// One was: as much more as there are more entries.
    PerEntry,
    /// One was: as much as the one.
    PerListing,
}

/// What the user says that the leak grows with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Per {
    Entry,
    Listing,
}

/// The answer, as `--json` writes it.
#[derive(Clone, Debug, Serialize)]
pub struct Forecast {
    pub seed: u64,
    pub virtual_nodes: usize,
    pub memory_bytes: f64,
    pub leak: Leak,
    /// The one that dies first comes first.
    pub servers: Vec<Server>,
    /// In the order in which they were given.
    pub sites: Vec<PlacedSite>,
    /// Why one server dies first, in one sentence.
    pub why: String,
}

/// A server and what it loses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Server {
    pub server: String,
    pub sites: usize,
    pub entries: u64,
    pub listings_per_day: f64,
    pub bytes_per_day: Estimate,
    /// Days until its memory is gone; none if it loses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Estimate>,
}

/// A site and the server that has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlacedSite {
    #[serde(flatten)]
    pub site: Site,
    pub server: String,
    pub bytes_per_day: Estimate,
}

/// What listing one site means.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name, by which the ring places it.
    pub site: String,
    /// Entries of its directory.
    pub entries: u64,
    pub listings_per_day: f64,
}
