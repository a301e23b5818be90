//! The guests that a scenario takes: one, or of a cluster one for each server and for each size of directory that is listed alone.

use super::cluster::{Shared, name_of_server, name_of_size};
use super::forecast::server_name;
use crate::scenario::step::Pass;
use crate::scenario::{DirSelector, Scenario, Step, Unit};
use nfs_fault_server::dirtree::spec::{Directory, Shape};
use std::collections::BTreeSet;

/// How many sizes are listed alone, beside the smallest.
const LARGEST: usize = 10;

/// Returns the scenarios of one guest each.
pub fn guests(scenario: &Scenario, seed: u64) -> Vec<Scenario> {
    let Some(shared) = Shared::from_scenario(scenario, seed) else { return vec![scenario.clone()] };
    let alone = sizes(&shared).into_iter().map(|entries| alone(scenario, entries));
    let servers = (0..shared.forecast_input().servers).filter_map(|server| with_its_sites(&shared, server));
    alone.chain(servers).collect()
}

/// Returns the entries of the largest sites, which lose most, and the smallest. What a site between two of them loses
/// is drawn, and leaks are seldom in proportion: how many replies a directory takes matters more.
fn sizes(shared: &Shared) -> BTreeSet<u64> {
    let listed = shared.sites.iter().filter(|site| site.entries > 0 && site.listings_per_day > 0.0);
    let all: BTreeSet<u64> = listed.map(|site| site.entries).collect();
    let smallest = all.first().copied();
    all.into_iter().rev().take(LARGEST).chain(smallest).collect()
}

/// Returns one directory of this size, and nothing else.
fn alone(scenario: &Scenario, entries: u64) -> Scenario {
    Scenario {
        name: name_of_size(scenario, entries),
        directory: Directory { entries, shape: Shape::Flat, ..scenario.directory.clone() },
        cluster: None,
        ..scenario.clone()
    }
}

/// Returns the sites of a server; `None` if there is none to list.
fn with_its_sites(shared: &Shared, server: usize) -> Option<Scenario> {
    let Shared { scenario, cluster, sites, .. } = shared;
    let ranks = shared.ranks_of(server);
    let sizes: Vec<u64> = ranks.iter().map(|rank| sites[*rank].entries).collect();
    let per_hour: Vec<u32> = ranks.iter().map(|rank| cluster.listings_per_hour.for_rank(*rank)).collect();
    let steps = hour(&per_hour);
    (!steps.is_empty()).then(|| Scenario {
        name: name_of_server(scenario, &server_name(server)),
        directory: Directory { entries: sizes.iter().sum(), shape: Shape::Sizes(sizes), ..scenario.directory.clone() },
        unit: Unit { name: "hour".into(), steps },
        cluster: None,
        ..(*scenario).clone()
    })
}

/// Returns every directory as often as it is to be listed, each time cold.
fn hour(per_hour: &[u32]) -> Vec<Step> {
    let most = per_hour.iter().copied().max().unwrap_or(0);
    let pass = |time: u32| {
        // Number 0 is the directory that holds the sites.
        let numbers = (1..).zip(per_hour).filter(|(_, listings)| **listings > time).map(|(number, _)| number);
        Step::List(Pass { of: DirSelector::Directories(numbers.collect()), ..Pass::default() })
    };
    (0..most).flat_map(|time| [Step::Touch, pass(time)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::cluster::PerSite;
    use crate::scenario::load;

    #[test]
    fn cluster_is_its_servers_and_some_sizes_and_others_are_themselves() {
        let quick = load("quick").unwrap();
        assert_eq!(guests(&quick, 42), [quick]);
        let scenario = load("cluster").unwrap();
        let guests = guests(&scenario, 42);
        let servers: Vec<&Scenario> = guests.iter().filter(|guest| guest.unit.name == "hour").collect();
        assert_eq!(servers.len(), 4);
        assert_eq!(servers.iter().map(|server| server.directory.entries).sum::<u64>(), 6000);
        assert_eq!(guests.len() - servers.len(), LARGEST + 1);
        let largest = guests[LARGEST].directory.entries;
        assert_eq!(guests[LARGEST].name, format!("cluster/{largest}"));
        let of_sites =
            |guest: &&Scenario| matches!(&guest.directory.shape, Shape::Sizes(sizes) if sizes.contains(&largest));
        assert_eq!(servers.into_iter().filter(of_sites).count(), 1, "one server has the largest site");
        for guest in &guests {
            crate::scenario::Overrides::default().apply(&mut guest.clone()).unwrap();
        }
    }

    #[test]
    fn hour_lists_each_site_as_often_as_the_scenario_says() {
        let numbers = |step: &Step| match step {
            Step::List(Pass { of: DirSelector::Directories(numbers), .. }) => numbers.clone(),
            _ => Vec::new(),
        };
        let listed: Vec<Vec<usize>> = hour(&[3, 0, 1]).iter().map(numbers).collect();
        assert_eq!(listed, [vec![], vec![1, 3], vec![], vec![1], vec![], vec![1]]);
        assert_eq!(hour(&[0, 0]), []);
    }

    #[test]
    fn server_without_anything_to_list_is_no_guest() {
        let mut scenario = load("cluster").unwrap();
        let cluster = scenario.cluster.as_mut().unwrap();
        cluster.listings_per_hour = PerSite::Each((0..40).map(|rank| u32::from(rank == 0)).collect());
        let guests = guests(&scenario, 42);
        let kinds: Vec<&str> = guests.iter().map(|guest| guest.unit.name.as_str()).collect();
        assert_eq!(kinds, ["listing", "hour"]);
    }
}
