//! About how long a scenario takes, from a table of measured times, or from its entries and doses where it is not in the table.

use crate::scenario::{Scenario, load};
use crate::vm::machine::USUAL_WHOLE;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

/// Seconds by scenario.
static MEASURED: LazyLock<BTreeMap<String, f64>> =
    LazyLock::new(|| toml::from_str(include_str!("seconds.toml")).expect("the table is embedded and tested"));

/// Boot, controls, rest after each round, unmount: the shortest that was measured.
const LEAST_SECONDS: f64 = 16.0;
/// What an entry more takes in each unit: huge-flat made 1.1 million of them in its two shortest blocks, and took 70 s longer than the
/// smallest.
const ENTRY_SECONDS: f64 = 60e-6;

/// How many times as long a guest may take as was measured. On 5.10 a listing of `huge-flat` takes 23 s, because the client asks for the
/// attributes of each entry: ten blocks of rounds with 7 of them, and their control rounds, take 36 times what 7.2 needs for two.
const LIMIT_TIMES: f64 = 40.0;

const ANY_SEED: u64 = 42;

/// Returns how many seconds a run takes on a kernel that does not leak. Only their ratios mean something: a machine
/// with KVM is faster by far.
pub fn seconds(scenario: &Scenario) -> f64 {
    if scenario.cluster.is_some() {
        // Which site is where changes little.
        return crate::fleet::cluster_guests::guests(scenario, ANY_SEED).iter().map(seconds).sum();
    }
    let by_formula = formula(scenario);
    let shelved = MEASURED.get(&scenario.name).and_then(|seconds| Some((seconds, load(&scenario.name).ok()?)));
    match shelved {
        // With -n a scenario is another one than the one that was measured.
        Some((seconds, original)) => seconds * by_formula / formula(&original),
        None => by_formula,
    }
}

/// Returns how long a guest of the scenario may take before it is thought to hang, unless the user says otherwise.
pub fn limit(scenario: &Scenario) -> Duration {
    Duration::from_secs_f64(LIMIT_TIMES * seconds(scenario)).max(USUAL_WHOLE)
}

fn formula(scenario: &Scenario) -> f64 {
    let rounds = &scenario.rounds;
    let units: u64 = rounds.doses.iter().chain(&rounds.scout_doses).sum();
    LEAST_SECONDS + ENTRY_SECONDS * scenario.directory.entries as f64 * units as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::names;

    #[test]
    fn every_scenario_of_the_table_is_there_and_takes_some_time() {
        let names = names();
        for (name, seconds) in MEASURED.iter() {
            assert!(names.contains(name), "there is no scenario {name} any more");
            assert!((5.0..1000.0).contains(seconds), "{name}: {seconds}");
        }
        assert!(MEASURED.len() > 60);
    }

    #[test]
    fn limit_of_a_scenario_follows_what_it_takes_where_it_is_slowest() {
        let limit = |name: &str| limit(&load(name).unwrap()).as_secs_f64();
        assert_eq!(limit("quick"), 900.0);
        // Ten blocks of two rounds with 7 listings of 23 s each, on 5.10 under TCG.
        assert!(limit("huge-flat") > 10.0 * 2.0 * 7.0 * 23.0, "{}", limit("huge-flat"));
    }

    #[test]
    fn scenario_takes_as_long_as_was_measured_and_more_with_more_entries() {
        let mut huge = load("huge-flat").unwrap();
        assert_eq!(seconds(&huge), MEASURED["huge-flat"]);
        huge.directory.entries *= 2;
        assert!(seconds(&huge) > 1.5 * MEASURED["huge-flat"], "{}", seconds(&huge));
        let cluster = load("cluster").unwrap();
        assert!(seconds(&cluster) > 15.0 * LEAST_SECONDS, "each of its guests takes its time");
        huge.name = "mine".into();
        assert!(seconds(&huge) > LEAST_SECONDS, "what is not in the table is estimated");
    }

    #[test]
    fn scenario_without_entries_takes_as_long_as_a_guest_itself() {
        let mut quick = load("quick").unwrap();
        quick.directory.entries = 0;
        assert_eq!(formula(&quick), LEAST_SECONDS);
    }
}
