//! A whole scenario, drawn by lot.

use super::mend::mend;
use super::{directory, mount, steps};
use crate::explore::group::Group;
use crate::explore::lot::Lot;
use crate::scenario::check::check;
use crate::scenario::types::{Export, Listing};
use crate::scenario::{Rounds, Scenario, Unit};

/// Tries until one is valid. One in three is not, as what goes with what is the business of the check.
const TRIES: usize = 200;
/// Of what is not drawn.
const BUFFER_BYTES: usize = 32768;
pub(crate) const NAME: &str = "explored";

/// Draws a scenario for the guests of a group; allocations fail in some if `can_fail`.
pub fn fresh(lot: &mut Lot, group: &Group, can_fail: bool) -> Scenario {
    for _ in 0..TRIES {
        let scenario = draw(lot, group, can_fail);
        if is_usable(&scenario, group) {
            return scenario;
        }
    }
    plain(group)
}

/// Returns whether a scenario can be done at all, by the check that users' files go through, and in a guest of this group.
pub fn is_usable(scenario: &Scenario, group: &Group) -> bool {
    check(scenario).is_ok() && scenario.memory_shortfall().is_none() && Group::of_scenario(scenario) == *group
}

fn draw(lot: &mut Lot, group: &Group, can_fail: bool) -> Scenario {
    let mut scenario = plain(group);
    scenario.directory = directory::draw(lot, group.server);
    scenario.mount = mount::draw(lot, group);
    scenario.listing.getdents_buffer_bytes =
        *lot.weighted(&[(6, BUFFER_BYTES), (2, 4096), (2, 1024), (1, 280), (1, 1 << 20)]);
    scenario.unit.steps.clear();
    // Few steps more often than many.
    let count = lot.between(1, 4) + if lot.once_in(3) { lot.between(0, 4) } else { 0 };
    for _ in 0..count {
        let drawn = steps::draw_with_touch(lot, &scenario, can_fail);
        scenario.unit.steps.extend(drawn);
    }
    mend(&mut scenario);
    scenario
}

/// Returns the plainest scenario of a group.
pub(crate) fn plain(group: &Group) -> Scenario {
    Scenario {
        name: NAME.into(),
        beside: std::path::PathBuf::new(),
        summary: "Drawn by lot.".into(),
        introduced_by: None,
        fixed_by: None,
        sets: Vec::new(),
        server: group.server,
        export: Export { file_system: group.file_system },
        directory: directory::plain(),
        mount: mount::plain(group),
        listing: Listing { getdents_buffer_bytes: BUFFER_BYTES },
        unit: Unit { name: "unit".into(), ..Unit::default() },
        cgroup: group.cgroup.clone(),
        cluster: None,
        guest: group.guest.clone(),
        rounds: Rounds { doses: [4, 12], scout_doses: [2, 6] },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Step;
    use std::collections::{BTreeMap, BTreeSet};

    fn drawn(count: u64) -> impl Iterator<Item = (Scenario, Group)> {
        (0..count).map(|batch| {
            let mut lot = Lot::new(7, batch, 0);
            let group = Group::draw(&mut lot);
            (fresh(&mut lot, &group, true), group)
        })
    }

    #[test]
    fn scenarios_that_are_drawn_are_always_valid_and_of_their_group() {
        for (scenario, group) in drawn(3000) {
            assert!(is_usable(&scenario, &group), "{scenario:?}");
        }
    }

    #[test]
    fn scenarios_are_the_same_for_the_same_seed() {
        let (one, other): (Vec<_>, Vec<_>) = (drawn(200).collect(), drawn(200).collect());
        assert_eq!(one, other);
        let different: BTreeSet<String> = one.iter().map(|(s, _)| serde_json::to_string(s).unwrap()).collect();
        assert!(different.len() > 190, "{} of 200 differ", different.len());
    }

    #[test]
    fn every_kind_of_step_is_drawn_but_programs() {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for (scenario, _) in drawn(4000) {
            for step in scenario.unit.all_steps() {
                let value = serde_json::to_value(step).unwrap();
                let word = value.as_object().map(|table| table.keys().next().unwrap().clone());
                *seen.entry(word.unwrap_or_else(|| value.as_str().unwrap().to_owned())).or_default() += 1;
            }
        }
        for word in Step::words().filter(|word| *word != "run") {
            let times = seen.get(word).copied().unwrap_or(0);
            assert!(times >= 5, "{word} was drawn {times} times: {seen:?}");
        }
    }

    #[test]
    fn few_scenarios_are_the_plainest_because_none_other_was_valid() {
        let plain = drawn(2000).filter(|(scenario, _)| scenario.unit.steps == Unit::default().steps).count();
        assert!(plain < 400, "{plain}");
    }
}
