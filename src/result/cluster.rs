//! A cluster in the result file: what each of its servers lost, and what was forecast for it.

use crate::stats::estimate::Estimate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The servers of one cluster on one kernel.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ClusterRecord {
    /// The scenario by its name.
    pub scenario: String,
    /// The kernel's spec.
    pub kernel: String,
    /// Of the ring, among others.
    pub seed: u64,
    /// Points of each server on the ring.
    pub virtual_nodes: u32,
    /// Sites of all servers.
    pub sites: u64,
    /// The one that lost most comes first.
    pub servers: Vec<ServerRecord>,
}

/// One server, which was a guest.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ServerRecord {
    /// The server by its name.
    pub server: String,
    /// What its record among the results is called; there is none of a server that has nothing to list.
    pub scenario: String,
    /// How many sites it has.
    pub sites: u64,
    /// Of all its sites.
    pub entries: u64,
    /// Entries of its largest site.
    pub largest_site_entries: u64,
    /// Of all its sites.
    pub listings_per_hour: u64,
    /// From directories that were listed alone; `null` if one of these was not decided.
    pub forecast_bytes_per_hour: Option<Estimate>,
    /// `null` if it was not decided.
    pub measured_bytes_per_hour: Option<Estimate>,
}

impl ServerRecord {
    /// Returns whether anything was asked of it.
    pub fn lists(&self) -> bool {
        self.listings_per_hour > 0
    }

    /// Returns the bytes an hour that it lost; 0 where that was not decided.
    pub fn lost(&self) -> f64 {
        self.measured_bytes_per_hour.map_or(0.0, |rate| rate.estimate)
    }
}

impl ClusterRecord {
    /// Returns the bytes an hour that all servers lost.
    pub fn lost(&self) -> f64 {
        self.servers.iter().map(ServerRecord::lost).sum()
    }

    /// Returns what all servers together should lose; `None` if that was not forecast.
    pub fn forecast(&self) -> Option<f64> {
        self.servers.iter().map(|server| server.forecast_bytes_per_hour.map(|rate| rate.estimate)).sum()
    }

    /// Returns whether a record of this name is of one of its guests.
    pub fn has(&self, scenario: &str) -> bool {
        scenario.strip_prefix(&self.scenario).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns whether a record of this name is of a directory that was listed alone.
    pub fn lists_alone(&self, scenario: &str) -> bool {
        self.has(scenario) && self.servers.iter().all(|server| server.scenario != scenario)
    }
}
