//! The cursed server as an experiment: a guest for each server of a cluster with the sites that the ring gave it, and directories of a few
//! of their sizes, listed alone, which say what each server should lose.

use super::forecast::ForecastInput;
use super::hash_ring::Ring;
use crate::error::{Error, Result};
use crate::result::forecast::Site;
use crate::scenario::{self, Scenario};
use nfs_fault_server::dirtree::tree::Tree;

pub(super) const HOURS_PER_DAY: f64 = 24.0;
const MIB: f64 = 1024.0 * 1024.0;

/// The sites of a cluster and who has them.
pub(super) struct Shared<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) cluster: &'a scenario::Cluster,
    pub(super) seed: u64,
    /// The largest first.
    pub(super) sites: Vec<Site>,
    /// The number of each site's server, counted from 0.
    pub(super) server: Vec<usize>,
}

impl<'a> Shared<'a> {
    /// Shares the sites among the servers; `None` of a scenario that is no cluster. The seed says which site has which
    /// server.
    pub(super) fn from_scenario(scenario: &'a Scenario, seed: u64) -> Option<Self> {
        let cluster = scenario.cluster.as_ref()?;
        let tree = Tree::new(&scenario.directory, seed);
        let mut sizes: Vec<u64> = tree.nodes()[1..].iter().map(|node| node.entries()).collect();
        sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        let site = |(rank, entries): (usize, u64)| Site {
            site: format!("site-{}", rank + 1),
            entries,
            listings_per_day: f64::from(cluster.listings_per_hour.for_rank(rank)) * HOURS_PER_DAY,
        };
        let sites: Vec<Site> = sizes.into_iter().enumerate().map(site).collect();
        let ring = Ring::new(cluster.servers as usize, cluster.virtual_nodes as usize, seed);
        let server = sites.iter().map(|site| ring.server_of(&site.site)).collect();
        Some(Self { scenario, cluster, seed, sites, server })
    }

    /// Returns the ranks of the sites that a server has, counted from 0.
    pub(super) fn ranks_of(&self, server: usize) -> Vec<usize> {
        (0..self.sites.len()).filter(|rank| self.server[*rank] == server).collect()
    }

    /// Returns what is asked of the forecast: the memory of a server is that of its guest.
    pub(super) fn forecast_input(&self) -> ForecastInput {
        ForecastInput {
            servers: self.cluster.servers as usize,
            virtual_nodes: self.cluster.virtual_nodes as usize,
            seed: self.seed,
            memory_bytes: f64::from(self.scenario.guest.memory_mib) * MIB,
        }
    }
}

/// Returns what the record of a server is called.
pub(super) fn name_of_server(scenario: &Scenario, server: &str) -> String {
    format!("{}/{server}", scenario.name)
}

/// Returns what the record of a directory that is listed alone is called.
pub(super) fn name_of_size(scenario: &Scenario, entries: u64) -> String {
    format!("{}/{entries}", scenario.name)
}

/// Refuses scenarios that take several guests where a scenario is one guest.
pub fn none_of(scenarios: &[Scenario], command: &str) -> Result<()> {
    match scenarios.iter().find_map(|scenario| Some((&scenario.name, scenario.cluster.as_ref()?.servers))) {
        Some((name, servers)) => Err(Error::usage(format!(
            "{name} is a cluster of {servers} servers, each a guest of its own, which {command} cannot take; run it with \
             dirleak run, or name another scenario"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_has_one_server_and_the_largest_comes_first() {
        let scenario = scenario::load("cluster").unwrap();
        let shared = Shared::from_scenario(&scenario, 42).unwrap();
        assert_eq!(shared.sites.iter().map(|site| site.entries).sum::<u64>(), scenario.directory.entries);
        assert!(shared.sites.is_sorted_by(|a, b| a.entries >= b.entries));
        let mut ranks: Vec<usize> = (0..4).flat_map(|server| shared.ranks_of(server)).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, (0..40).collect::<Vec<_>>());
        assert!(Shared::from_scenario(&scenario::load("quick").unwrap(), 42).is_none());
    }

    #[test]
    fn cluster_is_refused_where_a_scenario_is_one_guest() {
        let scenarios = [scenario::load("quick").unwrap(), scenario::load("cluster").unwrap()];
        none_of(&scenarios[..1], "verify").unwrap();
        let error = none_of(&scenarios, "verify").unwrap_err().to_string();
        assert!(
            error.starts_with("cluster is a cluster of 4 servers, each a guest of its own, which verify"),
            "{error}"
        );
    }
}
