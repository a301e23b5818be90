//! Which steps make sense together, and on which server.

use super::complaint::{Check, Complaint, complain, in_range};
use super::{files, passes};
use crate::scenario::pass::Position;
use crate::scenario::program::MOST_SECONDS;
use crate::scenario::step::Step;
use crate::scenario::types::{Scenario, ServerKind};

const KEY: &str = "unit";
/// A client gives up after a minute (timeo=600), and so does whoever waits for a unit.
const MAX_OUTAGE_MS: u32 = 30_000;

/// Refuses the first step that cannot be.
pub(crate) fn check(scenario: &Scenario) -> Check {
    let unit = &scenario.unit;
    if unit.name.is_empty() || unit.name.chars().any(char::is_control) {
        return complain(KEY, "`unit.name` must be a word for what is repeated, such as \"listing\"");
    }
    if unit.listings() == 0 && !unit.steps.contains(&Step::MountRefused) && !unit.works() {
        let message = "`unit.steps` neither lists nor mounts nor runs; add `list`, `mount-cycle`, `mount-refused`, `run` or `files`";
        return complain(KEY, message);
    }
    check_failing(scenario)?;
    let mut passes = 0;
    for step in &unit.steps {
        fits(step, scenario)?;
        let Step::List(pass) = step else { continue };
        if pass.from == Position::Middle && passes == 0 {
            return complain(
                KEY,
                "a `list` from the middle needs a `list` before it in the unit, which saves the cookie",
            );
        }
        passes::check(pass, scenario)?;
        for step in pass.middle.iter().chain(pass.every.iter().flat_map(|every| &every.steps)) {
            if !step.fits_within_listing() {
                return complain(KEY, "in the middle of a `list` nothing can be listed, mounted, run or made to fail");
            }
            fits(step, scenario)?;
        }
        passes += 1;
    }
    Ok(())
}

/// Refuses an allocation that is to fail where nothing of the unit would ask for it: what asks is the thread that makes the steps.
fn check_failing(scenario: &Scenario) -> Check {
    let unit = &scenario.unit;
    let mut failing = unit.steps.iter().skip_while(|step| !matches!(step, Step::FailNth(_)));
    if failing.next().is_none() {
        return Ok(());
    }
    let asks = |step: &Step| match step {
        Step::List(pass) => pass.processes <= 1 && pass.threads <= 1 && !pass.killed,
        other => *other == Step::MountCycle,
    };
    let behind: Vec<&Step> = failing.collect();
    if behind.iter().any(|step| matches!(step, Step::FailNth(_))) {
        return complain(KEY, "one allocation of a unit can fail, and `fail-nth` names a second one");
    }
    if !behind.iter().any(|step| asks(step)) {
        return complain(
            KEY,
            "behind `fail-nth` there is no step that asks for memory itself; put a `list` by one reader or a `mount-cycle` there",
        );
    }
    Ok(())
}

/// Refuses a step that the scenario or its server cannot do.
fn fits(step: &Step, scenario: &Scenario) -> Check {
    if let Step::Run(program) = step {
        program.words().map_err(|message| Complaint { key: KEY, message })?;
        in_range(KEY, program.timeout_seconds, 1, MOST_SECONDS)?;
    }
    if let Step::Files(steps) = step {
        files::check(steps, scenario)?;
    }
    match *step {
        Step::Reclaim if scenario.cgroup.is_none() => {
            return complain(KEY, "`reclaim` is done by the workload's cgroup; add an empty section `[cgroup]`");
        }
        Step::Fault(fault) => fault.check().or_else(|message| complain(KEY, message))?,
        Step::RestartServer(ms) | Step::CutLink(ms) => in_range(KEY, ms, 1, MAX_OUTAGE_MS)?,
        Step::AddBy(mount) | Step::RenameBy(mount) | Step::RemoveBy(mount) => {
            in_range(KEY, mount, 1, scenario.mount.count)?;
        }
        _ => {}
    }
    match (step, scenario.server) {
        (Step::Fail(_) | Step::Fault(_), ServerKind::Knfsd) => {
            complain(KEY, "`fail` and `fault` need a server that fails on purpose; use the server \"synthetic\"")
        }
        (Step::TouchInReply | Step::RemoveSeen | Step::Restore | Step::HideHandles, ServerKind::Knfsd) => complain(
            KEY,
            "`touch-in-reply`, `remove-seen`, `restore` and `hide-handles` need a server that does so on purpose; use the server \"synthetic\"",
        ),
        (Step::AddBy(_) | Step::RenameBy(_) | Step::RemoveBy(_), ServerKind::Synthetic) => complain(
            KEY,
            "`add-by`, `rename-by` and `remove-by` need a server that a client can write to; use the server \"knfsd\"",
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::load::parse;

    fn with(unit: &str) -> Result<(), String> {
        let text = include_str!("../../../scenarios/quick.toml");
        parse("x.toml", &format!("{text}\n[unit]\n{unit}\n")).map(|_| ()).map_err(|e| e.to_string())
    }

    #[test]
    fn steps_that_cannot_be_are_told() {
        let table = [
            ("steps = []", "neither lists nor mounts nor runs"),
            ("name = \"\"", "`unit.name` must be a word"),
            ("steps = [\"touch\"]", "neither lists nor mounts nor runs"),
            ("steps = [{ list = { from = \"middle\" } }]", "needs a `list` before it"),
            ("steps = [\"list\", { list = { from = \"middle\", to = \"middle\" } }]", "goes to the end"),
            ("steps = [{ list = { every = { entries = 5, steps = [\"list\"] } } }]", "nothing can be listed"),
            ("steps = [\"list\", { add-by = 1 }]", "use the server \"knfsd\""),
            ("steps = [\"list\", { restart-server = 0 }]", "must be between 1 and 30000"),
            ("steps = [\"list\", { cut-link = 40000 }]", "must be between 1 and 30000"),
            ("steps = [{ list = { middle = [\"list\"] } }]", "nothing can be listed"),
            ("steps = [\"list\", \"reclaim\"]", "add an empty section `[cgroup]`"),
            ("steps = [\"list\", \"toch\"]", "unknown step `toch`"),
            ("steps = [{ run = \"\" }]", "`run` names no program"),
            ("steps = [{ run = { command = \"a\", timeout_seconds = 0 } }]", "must be between 1 and 3600"),
            ("steps = [{ list = { middle = [{ run = \"a\" }] } }]", "nothing can be listed, mounted, run"),
            ("steps = [{ fail-nth = \"slab:0\" }, \"list\"]", "\"slab:0\" names no allocation"),
            ("steps = [\"list\", { fail-nth = \"slab:1\" }]", "no step that asks for memory itself"),
            ("steps = [{ fail-nth = \"slab:1\" }, { list = { threads = 2 } }]", "by one reader"),
            ("steps = [{ fail-nth = \"slab:1\" }, \"list\", { fail-nth = \"page:1\" }]", "names a second one"),
            ("steps = [{ list = { middle = [{ fail-nth = \"slab:1\" }] } }]", "made to fail"),
            ("stps = [\"list\"]", "unknown key `stps`"),
        ];
        for (unit, expected) in table {
            let error = with(unit).unwrap_err();
            assert!(error.contains(expected), "{unit}: {error}");
            assert!(!error.contains('\n') && error.starts_with("x.toml:"), "{error}");
        }
        with("steps = [\"touch\", { list = { to = \"middle\" } }, { list = { from = \"middle\" } }]").unwrap();
        with("steps = [\"list\", \"reclaim\"]\n[cgroup]").unwrap();
    }

    #[test]
    fn write_through_a_mount_goes_with_each_version() {
        let text = include_str!("../../../scenarios/changing-by-mount.toml");
        for version in ["3", "4.0", "4.1", "4.2"] {
            parse("x.toml", &text.replace("\"4.2\"", &format!("\"{version}\""))).unwrap();
        }
    }

    #[test]
    fn faults_are_refused_of_any_but_the_synthetic_server() {
        let text = include_str!("../../../scenarios/recipe-2019.toml");
        for step in [
            "{ fail = \"IO\" }",
            "{ fault = { what = \"empty\" } }",
            "\"touch-in-reply\"",
            "\"remove-seen\"",
            "\"restore\"",
            "\"hide-handles\"",
        ] {
            let text = format!("{text}\n[unit]\nsteps = [{step}, \"list\"]\n");
            let error = parse("x.toml", &text).unwrap_err().to_string();
            assert!(error.contains("use the server \"synthetic\""), "{step}: {error}");
        }
    }
}
