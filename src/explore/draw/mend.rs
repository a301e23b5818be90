//! Makes of steps that were put together by lot a unit of which it is known how it must end: what would be wrong by the scenario's own doing is
//! taken out, or the pass is told that it does not matter.

use super::mount::{has, without};
use super::steps::goes_within;
use crate::scenario::mount_options::split;
use crate::scenario::step::Pass;
use crate::scenario::{Position, Scenario, ServerKind, Step};
use nfs_fault_server::dirtree::spec::{Made, Shape};

/// Whether the file is there that `add` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    No,
    Yes,
    Perhaps,
}

/// Mends a scenario; what is still wrong then the check refuses.
pub(crate) fn mend(scenario: &mut Scenario) {
    let mut steps = std::mem::take(&mut scenario.unit.steps);
    let has_faults = all(&steps).any(|step| matches!(step, Step::Fail(_) | Step::Fault(_)));
    let is_interrupted = all(&steps).any(|step| matches!(step, Step::RestartServer(_) | Step::CutLink(_)));
    if is_interrupted {
        // A soft mount would end what has to go on.
        split(super::mount::SOFT).for_each(|option| without(&mut scenario.mount, option));
    }
    if scenario.server == ServerKind::Knfsd && scenario.mount.version.is_4() {
        // What is open is claimed again within a grace period, of which nobody here waits for the end.
        let has_files = steps.iter().any(|step| matches!(step, Step::Files(_)));
        retain(&mut steps, |step| !(has_files && matches!(step, Step::RestartServer(_) | Step::CutLink(_))));
    }
    if has_faults {
        // They would be hit, too, and must succeed.
        retain(&mut steps, |step| !matches!(step, Step::MountCycle | Step::Miss));
    }
    one_failure(&mut steps);
    let is_fresh = has(&scenario.mount, "actimeo=0") && scenario.mount.count == 1;
    let shape_is_flat = scenario.directory.shape == Shape::Flat;
    scenario.unit.steps = in_order(steps, scenario.server, is_fresh);
    for step in &mut scenario.unit.steps {
        if let Step::List(pass) = step {
            mend_pass(pass, scenario.server, has_faults);
        }
    }
    halves(&mut scenario.unit.steps, shape_is_flat);
    if scenario.writes() {
        without(&mut scenario.mount, "ro");
    }
    if scenario.unit.works() || scenario.directory.made == Made::Mount {
        // What a soft mount gives up on would be missing afterwards.
        split(super::mount::SOFT).for_each(|option| without(&mut scenario.mount, option));
    }
}

fn all(steps: &[Step]) -> impl Iterator<Item = &Step> {
    steps.iter().flat_map(|step| std::iter::once(step).chain(within(step)))
}

fn within(step: &Step) -> Vec<&Step> {
    match step {
        Step::List(pass) => pass.middle.iter().chain(pass.every.iter().flat_map(|every| &every.steps)).collect(),
        _ => Vec::new(),
    }
}

/// Keeps the steps that may stay, those within passes, too; a pass with nothing to do within goes on without.
fn retain(steps: &mut Vec<Step>, may_stay: impl Fn(&Step) -> bool + Copy) {
    steps.retain(may_stay);
    for step in steps {
        let Step::List(pass) = step else { continue };
        pass.middle.retain(may_stay);
        if let Some(every) = &mut pass.every {
            every.steps.retain(may_stay);
        }
        pass.every = pass.every.take().filter(|every| !every.steps.is_empty());
    }
}

/// Leaves one allocation of a unit to fail.
fn one_failure(steps: &mut Vec<Step>) {
    let mut seen = false;
    steps.retain(|step| !matches!(step, Step::FailNth(_)) || !std::mem::replace(&mut seen, true));
}

/// Leaves out what cannot be done because of what was done before, and has the unit end as it began.
fn in_order(steps: Vec<Step>, server: ServerKind, is_fresh: bool) -> Vec<Step> {
    let (mut added, mut is_aside) = (Added::No, false);
    let mut kept = Vec::new();
    for mut step in steps {
        match &mut step {
            Step::Add | Step::AddBy(_) if server == ServerKind::Synthetic && added != Added::No => continue,
            Step::Miss if added != Added::No || !is_fresh => continue,
            Step::Add | Step::AddBy(_) => added = Added::Yes,
            Step::Remove | Step::RemoveBy(_) => added = Added::No,
            Step::RemoveSeen => is_aside = true,
            Step::Restore => is_aside = false,
            Step::List(pass) => {
                if std::mem::take(&mut is_aside) {
                    kept.push(Step::Restore);
                }
                for within in std::iter::once(&mut pass.middle).chain(pass.every.as_mut().map(|every| &mut every.steps))
                {
                    within.retain(goes_within);
                    let has = |wanted: fn(&Step) -> bool| within.iter().any(wanted);
                    if has(|step| matches!(step, Step::Add | Step::AddBy(_))) {
                        // It may come to it again and again, or not at all.
                        if !matches!(within[0], Step::Remove) {
                            within.insert(0, Step::Remove);
                        }
                        one_added(within);
                        added = Added::Perhaps;
                    }
                    is_aside |= within.contains(&Step::RemoveSeen);
                }
                pass.every = pass.every.take().filter(|every| !every.steps.is_empty());
            }
            _ => {}
        }
        kept.push(step);
    }
    if is_aside {
        kept.push(Step::Restore);
    }
    if added != Added::No {
        kept.push(Step::Remove);
    }
    kept
}

/// Leaves the first of the steps that make the file, of those that are done while a directory is open.
fn one_added(steps: &mut Vec<Step>) {
    let mut seen = false;
    steps.retain(|step| !matches!(step, Step::Add | Step::AddBy(_)) || !std::mem::replace(&mut seen, true));
}

/// Has a pass not matter that may show what is not there any more, or end with an error.
fn mend_pass(pass: &mut Pass, server: ServerKind, has_faults: bool) {
    let steps: Vec<&Step> = pass.middle.iter().chain(pass.every.iter().flat_map(|every| &every.steps)).collect();
    let has = |wanted: fn(&Step) -> bool| steps.iter().any(|step| wanted(step));
    // A tmpfs has the number of an entry for its cookie, which another one that comes or goes changes.
    let shifts = server == ServerKind::Knfsd && has(|step| step.changes_directory() && *step != Step::Touch);
    let is_seen_again =
        has(|step| *step == Step::RemoveSeen) && (pass.seeks > 0 || pass.rewinds > 0 || pass.every.is_some());
    pass.server_lies |= has_faults || shifts || is_seen_again;
    if pass.server_lies {
        pass.expected_error = None;
    }
}

/// Lets no pass begin in the middle but right behind one that has been there.
fn halves(steps: &mut [Step], is_flat: bool) {
    let mut before: Option<Pass> = None;
    for step in steps {
        match step {
            Step::List(pass) => {
                let is_second = before.as_ref().is_some_and(|before| {
                    let is_plain = before.threads == 1
                        && before.processes == 1
                        && !before.killed
                        && before.rewinds == 0
                        && before.seeks == 0;
                    is_plain && is_flat && before.mount == pass.mount && matches!(before.to, Position::Middle)
                });
                if pass.from == Position::Middle && !is_second {
                    pass.from = Position::Outside;
                }
                let lies = before.as_ref().is_some_and(|before| before.server_lies);
                pass.server_lies |= pass.from == Position::Middle && lies;
                before = Some(pass.clone());
            }
            // The directory is another one than it was in the half before.
            Step::Touch | Step::Evict | Step::DropAll | Step::DropPages | Step::DropDentries | Step::Reclaim => {}
            _ => before = None,
        }
    }
}
