//! Several servers that share the directories of a scenario, its sites, by consistent hashing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) const MAX_SERVERS: u32 = 64;
pub(super) const MAX_VIRTUAL_NODES: u32 = 10_000;
/// All listings of an hour are one unit.
pub(super) const MAX_LISTINGS_PER_HOUR: u32 = 1000;

/// Each server is a guest of its own, with the sites that the ring gives it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// How many servers there are.
    #[schemars(range(min = 1, max = 64))]
    pub servers: u32,
    /// Points that each server has on the ring.
    #[serde(default = "virtual_nodes")]
    #[schemars(range(min = 1, max = 10000))]
    pub virtual_nodes: u32,
    /// How often each site is listed.
    pub listings_per_hour: PerSite,
}

/// A number for every site, or one for each of them, the largest site first.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PerSite {
    Every(u32),
    Each(Vec<u32>),
}

fn virtual_nodes() -> u32 {
    160
}

impl PerSite {
    /// Returns the number for the site with this rank, counted from 0.
    pub fn for_rank(&self, rank: usize) -> u32 {
        match self {
            Self::Every(number) => *number,
            Self::Each(numbers) => numbers.get(rank).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;

    fn with(old: &str, new: &str) -> String {
        let text = include_str!("../../scenarios/cluster.toml");
        assert!(text.contains(old), "{old} is not in the example");
        parse("x.toml", &text.replace(old, new)).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    }

    #[test]
    fn scenario_that_cannot_be_a_cluster_is_told() {
        assert_eq!(with("servers = 4", "servers = 64"), "");
        for (old, new, expected) in [
            ("servers = 4", "servers = 0", "`cluster.servers` is 0; it must be between 1 and 64"),
            ("servers = 4", "servers = 4\nvirtual_nodes = 0", "`cluster.virtual_nodes` is 0"),
            (
                "listings_per_hour = 2",
                "listings_per_hour = 0",
                "`cluster.listings_per_hour` is 0; it must be between 1",
            ),
            ("listings_per_hour = 2", "listings_per_hour = [1, 2]", "has 2 numbers and there are 40 sites"),
            ("[cluster]", "[unit]\nname = \"walk\"\n[cluster]", "the unit of a cluster is an hour of listings"),
            ("shape = { web-site", "shape = \"flat\" # ", "a cluster shares directories that stand side by side"),
        ] {
            let error = with(old, new);
            assert!(error.contains(expected), "{new}: {error}");
        }
    }
}
