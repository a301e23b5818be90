//! A whole result file.

use super::bisection::BisectionRecord;
use super::branch::BranchRecord;
use super::cluster::ClusterRecord;
use super::explore::ExploreRecord;
use super::proof::Proof;
use super::record::RunRecord;
use super::shard::ShardRecord;
use super::sweep::SweepRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema that this program writes, and the newest that it reads.
pub const SCHEMA: u32 = 1;

/// A whole result file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ResultFile {
    /// Changes when a field changes its meaning.
    pub schema: u32,
    /// The version of dirleak that wrote it.
    pub dirleak: String,
    /// As it was typed.
    pub command_line: Vec<String>,
    /// One record per scenario and kernel, in the order of the table on the terminal.
    pub results: Vec<RunRecord>,
    /// Only of `verify`: what the records mean together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// Only of `verify --branch`: what became of the fix on each branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<BranchRecord>,
    /// Only of `bisect`: what was found, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bisection: Option<BisectionRecord>,
    /// Only of scenarios with a cluster: what each of its servers lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterRecord>,
    /// Only of `sweep`: what was made to fail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sweeps: Vec<SweepRecord>,
    /// Only of `explore`: what was tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explorations: Vec<ExploreRecord>,
    /// Only of `run --shard`: which part of all runs these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<ShardRecord>,
}

impl ResultFile {
    /// Makes a file without records yet, for this program and its command line.
    pub fn new() -> Self {
        let command_line = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
        Self {
            schema: SCHEMA,
            dirleak: env!("CARGO_PKG_VERSION").into(),
            command_line,
            results: Vec::new(),
            proof: None,
            branches: Vec::new(),
            bisection: None,
            clusters: Vec::new(),
            sweeps: Vec::new(),
            explorations: Vec::new(),
            shard: None,
        }
    }
}

impl Default for ResultFile {
    fn default() -> Self {
        Self::new()
    }
}
