//! What a cluster must be.

use super::complaint::{Check, complain, in_range};
use crate::scenario::cluster::{Cluster, MAX_LISTINGS_PER_HOUR, MAX_SERVERS, MAX_VIRTUAL_NODES, PerSite};
use crate::scenario::types::Scenario;
use crate::scenario::unit::Unit;
use nfs_fault_server::dirtree::spec::Shape;

/// Refuses the first value that cannot be.
pub(crate) fn check(cluster: &Cluster, scenario: &Scenario) -> Check {
    in_range("cluster.servers", cluster.servers, 1, MAX_SERVERS)?;
    in_range("cluster.virtual_nodes", cluster.virtual_nodes, 1, MAX_VIRTUAL_NODES)?;
    let shape = &scenario.directory.shape;
    if matches!(shape, Shape::Flat | Shape::Tree { .. }) {
        let message = "a cluster shares directories that stand side by side; make `directory.shape` \"web-site\", \"many\" or \"sizes\"";
        return complain("directory.shape", message);
    }
    if scenario.unit != Unit::default() {
        return complain("unit", "the unit of a cluster is an hour of listings; leave `unit` out");
    }
    let key = "cluster.listings_per_hour";
    let sites = shape.directories();
    match &cluster.listings_per_hour {
        PerSite::Each(numbers) if numbers.len() as u64 != sites => {
            let message = format!("`{key}` has {} numbers and there are {sites} sites; make them equal", numbers.len());
            return complain(key, message);
        }
        _ => {}
    }
    let numbers =
        (0..usize::try_from(sites).unwrap_or(usize::MAX)).map(|rank| cluster.listings_per_hour.for_rank(rank));
    let most = numbers.max().unwrap_or(0);
    in_range(key, most, 1, MAX_LISTINGS_PER_HOUR)
}
