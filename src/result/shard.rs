//! Which part of all runs a result file has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which part of all runs a result file has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ShardRecord {
    /// From 1 to `of`.
    pub number: u32,
    /// How many shards there are.
    pub of: u32,
    /// Runs of all shards together: scenarios times kernels.
    pub runs: u64,
}
