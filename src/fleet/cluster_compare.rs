//! What each server lost beside what was forecast from directories that were listed alone.

use super::cluster::{HOURS_PER_DAY, Shared, name_of_server, name_of_size};
use super::forecast::{forecast, server_name};
use super::leak_model;
use crate::result::cluster::{ClusterRecord, ServerRecord};
use crate::result::forecast::{Forecast, Leak};
use crate::result::record::{RunRecord, Verdict};
use crate::scenario::Scenario;
use crate::stats::estimate::Estimate;

/// Compares what the records of all guests of a cluster on one kernel say; `None` of a scenario that is no cluster.
pub fn compare(scenario: &Scenario, seed: u64, kernel: &str, records: &[RunRecord]) -> Option<ClusterRecord> {
    let shared = Shared::from_scenario(scenario, seed)?;
    let alone: Vec<&RunRecord> =
        records.iter().filter(|record| record.scenario == name_of_size(scenario, record.entries)).collect();
    let forecast = Leak::through(&alone).map(|leak| forecast(&shared.forecast_input(), leak, shared.sites.clone()));
    let mut servers: Vec<ServerRecord> = (0..shared.forecast_input().servers)
        .map(|server| server_record(&shared, server, records, forecast.as_ref()))
        .collect();
    let lost = |server: &ServerRecord| server.measured_bytes_per_hour.map_or(-1.0, |rate| rate.estimate);
    servers.sort_by(|a, b| lost(b).total_cmp(&lost(a)));
    Some(ClusterRecord {
        scenario: scenario.name.clone(),
        kernel: kernel.to_owned(),
        seed,
        virtual_nodes: shared.cluster.virtual_nodes,
        sites: shared.sites.len() as u64,
        servers,
    })
}

fn server_record(shared: &Shared, server: usize, records: &[RunRecord], forecast: Option<&Forecast>) -> ServerRecord {
    let name = server_name(server);
    let ranks = shared.ranks_of(server);
    let scenario = name_of_server(shared.scenario, &name);
    let own: Vec<_> = ranks.iter().map(|rank| &shared.sites[*rank]).collect();
    let forecast = forecast.and_then(|forecast| forecast.servers.iter().find(|of| of.server == name));
    ServerRecord {
        sites: own.len() as u64,
        entries: own.iter().map(|site| site.entries).sum(),
        largest_site_entries: own.iter().map(|site| site.entries).max().unwrap_or(0),
        listings_per_hour: ranks.iter().map(|rank| u64::from(shared.cluster.listings_per_hour.for_rank(*rank))).sum(),
        forecast_bytes_per_hour: forecast.and_then(|of| of.bytes_per_day.per(HOURS_PER_DAY)),
        measured_bytes_per_hour: records.iter().find(|record| record.scenario == scenario).and_then(measured),
        server: name,
        scenario,
    }
}

/// Returns what the listings of an hour kept; `None` if that was not decided.
fn measured(record: &RunRecord) -> Option<Estimate> {
    matches!(record.verdict, Verdict::Leak | Verdict::Clean).then(|| leak_model::bytes(record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::cluster_guests::guests;
    use crate::result::example;
    use crate::scenario::load;
    use nfs_fault_server::dirtree::spec::Shape;

    /// Makes records of guests that lose one object of 32 bytes for each entry that is listed, `factor` times as much
    /// on servers.
    fn records(scenario: &Scenario, factor: f64) -> Vec<RunRecord> {
        let record = |guest: Scenario| {
            let is_server = !matches!(guest.directory.shape, Shape::Flat);
            let times = if is_server { 2.0 * factor } else { 1.0 };
            let objects = guest.directory.entries as f64 * times;
            let mut record = RunRecord { scenario: guest.name, entries: guest.directory.entries, ..example::leak() };
            record.findings[0].objects_per_listing =
                Estimate { estimate: objects, low: 0.9 * objects, high: 1.1 * objects };
            record.findings[0].bytes_per_listing = 32.0 * objects;
            record
        };
        guests(scenario, 42).into_iter().map(record).collect()
    }

    #[test]
    fn leak_in_proportion_is_forecast_exactly() {
        let scenario = load("cluster").unwrap();
        let record = compare(&scenario, 42, "6.1+x", &records(&scenario, 1.0)).unwrap();
        assert_eq!(record.servers.iter().map(|server| server.sites).sum::<u64>(), 40);
        for server in &record.servers {
            let (forecast, measured) =
                (server.forecast_bytes_per_hour.unwrap(), server.measured_bytes_per_hour.unwrap());
            assert!((measured.estimate / forecast.estimate - 1.0).abs() < 1e-9, "{server:?}");
            assert!((measured.estimate - 64.0 * server.entries as f64).abs() < 1e-6, "{server:?}");
        }
        let largest = record.servers.iter().map(|server| server.largest_site_entries).max();
        assert_eq!(
            Some(record.servers[0].largest_site_entries),
            largest,
            "the server with the largest site comes first"
        );
    }

    #[test]
    fn listing_that_was_not_decided_is_no_number() {
        let scenario = load("cluster").unwrap();
        let mut records = records(&scenario, 1.0);
        records.last_mut().unwrap().verdict = Verdict::Crash;
        let last = records.last().unwrap().scenario.clone();
        let record = compare(&scenario, 42, "6.1+x", &records).unwrap();
        let server = record.servers.iter().find(|server| server.scenario == last).unwrap();
        assert_eq!(server.measured_bytes_per_hour, None);
        assert!(server.forecast_bytes_per_hour.is_some());
        records[0].verdict = Verdict::Undecided;
        let record = compare(&scenario, 42, "6.1+x", &records).unwrap();
        assert!(record.servers.iter().all(|server| server.forecast_bytes_per_hour.is_none()));
        assert!(compare(&load("quick").unwrap(), 42, "6.1", &[]).is_none());
    }
}
