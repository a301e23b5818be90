//! Which scenarios can be timed, and what is changed in them before they are.

use crate::error::{Error, Result};
use crate::scenario::step::Pass;
use crate::scenario::{Position, Scenario, Step};

/// What a leak scenario mounts with so that every listing is cold. With it nothing is ever warm, so that it is replaced.
const NEVER_GOOD: &str = "actimeo=0";
/// How long attributes are good instead: longer than a warm listing takes, and short enough to wait for.
const GOOD_SECONDS: u32 = 10;
/// Memory beyond what the scenario needs at least, in per cent, and what every guest gets: none is to reclaim while it is timed.
const SPARE_PERCENT: u64 = 25;
const LEAST_MEMORY_MIB: u64 = 512;

/// Returns the scenario as it is timed: with one processor, attributes that are good for a while unless the user said
/// otherwise, and memory for its directory. One that does something else than read a directory is refused.
pub fn make_eligible(scenario: &Scenario, users_options: Option<&str>) -> Result<Scenario> {
    if let Some(what) = what_else(scenario) {
        let name = &scenario.name;
        return Err(Error::usage(format!(
            "the scenario {name} cannot be timed, because it has {what}; take one whose unit is a plain `list`"
        )));
    }
    let mut fitted = scenario.clone();
    let is_users = users_options.is_some_and(|options| options.contains("actimeo"));
    if !is_users {
        let options = scenario.mount.options.split(',').map(|option| match option {
            NEVER_GOOD => format!("actimeo={GOOD_SECONDS}"),
            other => other.to_owned(),
        });
        fitted.mount.options = options.collect::<Vec<_>>().join(",");
    }
    fitted.guest.cpus = 1;
    let needed = (fitted.memory_needed_mib() * (100 + SPARE_PERCENT) / 100).max(LEAST_MEMORY_MIB);
    fitted.guest.memory_mib = fitted.guest.memory_mib.max(needed.min(u64::from(u32::MAX)) as u32);
    Ok(fitted)
}

/// Returns what makes the scenario more than reading a directory; `None` if nothing does.
fn what_else(scenario: &Scenario) -> Option<&'static str> {
    let Some(pass) = scenario.unit.passes().next() else { return Some("no `list`") };
    let drops = |step: &Step| matches!(step, Step::DropPages | Step::DropDentries | Step::DropAll | Step::Evict);
    let plain = |step: &Step| step.changes_directory() || drops(step);
    if !scenario.unit.steps.iter().all(|step| matches!(step, Step::List(_) | Step::Miss) || plain(step)) {
        return Some("steps that are no part of a listing");
    }
    if pass.every.as_ref().is_some_and(|every| !every.steps.iter().all(plain)) {
        return Some("an `every` with steps that disturb more than the directory");
    }
    if scenario.cgroup.is_some() {
        return Some("a `cgroup`");
    }
    pass_refusal(pass)
}

fn pass_refusal(pass: &Pass) -> Option<&'static str> {
    let asked = [
        (pass.threads > 1, "`threads`"),
        (pass.processes > 1 || pass.killed, "`processes`"),
        (pass.from != Position::Outside || pass.to != Position::Outside, "a `list` of a part of the directory"),
        (pass.seeks > 0 || pass.rewinds > 0, "a `list` that goes back"),
        (!pass.middle.is_empty(), "steps in the `middle` of a `list`"),
        (pass.signals_every_us > 0, "signals that interrupt it"),
        (pass.server_lies || pass.expected_error.is_some(), "a `list` that goes wrong"),
    ];
    asked.into_iter().find(|(is_asked, _)| *is_asked).map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    #[test]
    fn leak_scenario_gets_attributes_that_are_good_for_a_while() {
        let scenario = load("huge-flat").unwrap();
        let fitted = make_eligible(&scenario, None).unwrap();
        assert_eq!(fitted.mount.options, "rdirplus,actimeo=10");
        assert_eq!(make_eligible(&scenario, Some("actimeo=0")).unwrap().mount.options, scenario.mount.options);
        assert_eq!(fitted.guest.cpus, 1);
    }

    #[test]
    fn memory_is_enough_for_the_directory() {
        let mut scenario = load("huge-flat").unwrap();
        scenario.directory.entries = 3_000_000;
        assert!(scenario.memory_shortfall().is_some());
        assert_eq!(make_eligible(&scenario, None).unwrap().memory_shortfall(), None);
    }

    #[test]
    fn scenario_that_is_more_than_a_listing_is_refused_by_name() {
        for (name, expected) in [
            ("mount-cycle", "the scenario mount-cycle cannot be timed, because it has no `list`"),
            ("threads", "`threads`"),
            ("evict-during", "in the `middle`"),
            ("server-error", "no part of a listing"),
            ("cgroup", "`cgroup`"),
        ] {
            let error = make_eligible(&load(name).unwrap(), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
