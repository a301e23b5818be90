//! What a leak does to the servers of a fleet, as `forecast` writes it.

use crate::stats::estimate::Estimate;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is written, which is no result of a measurement and says so by its field.
#[derive(JsonSchema, Serialize)]
pub struct ForecastFile<'a> {
    /// The version of this format.
    pub schema: u32,
    /// The version of dirleak that wrote it.
    pub dirleak: &'static str,
    /// As it was typed.
    pub command_line: Vec<String>,
    /// The forecast.
    pub forecast: &'a Forecast,
}

/// A leak, as a function of the number of entries.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Leak {
    /// The spec of the kernel that leaks.
    pub kernel: String,
    /// What loses so much: a listing, unless the scenario repeats something else.
    pub unit: String,
    /// How it grows with the entries of a directory.
    pub grows: GrowthModel,
    /// Smallest directory first.
    pub measured: Vec<Measured>,
    /// Counters that leak objects whose size is not known, which are not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<String>,
}

/// One size that was measured.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Measured {
    /// The scenario by its name.
    pub scenario: String,
    /// Entries of all directories that are meant.
    pub entries: u64,
    /// Objects per unit.
    pub objects_per_listing: f64,
    /// Bytes per unit.
    pub bytes_per_listing: Estimate,
}

/// What sizes that were not measured lose.
#[derive(Clone, Copy, Debug, Eq, PartialEq, JsonSchema, Serialize)]
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
#[allow(missing_docs)]
pub enum Per {
    Entry,
    Listing,
}

/// The answer, as `--json` writes it.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub struct Forecast {
    /// Of the ring.
    pub seed: u64,
    /// Points of each server on the ring.
    pub virtual_nodes: usize,
    /// Memory of each server, in bytes.
    pub memory_bytes: f64,
    /// The leak that was measured.
    pub leak: Leak,
    /// The one that dies first comes first.
    pub servers: Vec<Server>,
    /// In the order in which they were given.
    pub sites: Vec<PlacedSite>,
    /// Why one server dies first, in one sentence.
    pub why: String,
}

/// A server and what it loses.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct Server {
    /// The server by its name.
    pub server: String,
    /// How many sites it has.
    pub sites: usize,
    /// Entries of all directories that are meant.
    pub entries: u64,
    /// Listings a day.
    pub listings_per_day: f64,
    /// Bytes that it loses a day.
    pub bytes_per_day: Estimate,
    /// Days until its memory is gone; none if it loses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Estimate>,
}

/// A site and the server that has it.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
pub struct PlacedSite {
    /// The site.
    #[serde(flatten)]
    pub site: Site,
    /// The server by its name.
    pub server: String,
    /// Bytes that it loses a day.
    pub bytes_per_day: Estimate,
}

/// What listing one site means.
#[derive(Clone, Debug, Deserialize, PartialEq, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Site {
    /// Its name, by which the ring places it.
    pub site: String,
    /// Entries of its directory.
    pub entries: u64,
    /// Listings a day.
    pub listings_per_day: f64,
}
