//! Candidates made of others: a step more or less, two in the other order, another number, the beginning of one and the end of another.

use super::draw::fresh::{self, fresh};
use super::draw::mend::mend;
use super::draw::{directory, file_steps, mount, steps};
use super::group::Group;
use super::lot::Lot;
use crate::scenario::files::FileSteps;
use crate::scenario::step::Pass;
use crate::scenario::{Position, Scenario, Step};
use crate::workload::file_ops::model::Model;

/// Tries until one is valid and another than its parent.
const TRIES: usize = 30;
/// More steps would make units long.
const MOST_STEPS: usize = 12;

/// Makes a candidate of one or two others of the same group; a fresh one if nothing valid comes of them.
pub fn mutate(lot: &mut Lot, parents: [&Scenario; 2], group: &Group, can_fail: bool) -> Scenario {
    for _ in 0..TRIES {
        let mut child = parents[0].clone();
        child.name = fresh::NAME.into();
        for _ in 0..lot.between(1, 3) {
            change(lot, &mut child, parents[1], group, can_fail);
        }
        child.unit.steps.truncate(MOST_STEPS);
        mend(&mut child);
        let parent = parents[0];
        let is_new = (&child.unit, &child.directory, &child.mount) != (&parent.unit, &parent.directory, &parent.mount);
        if is_new && fresh::is_usable(&child, group) {
            return child;
        }
    }
    fresh(lot, group, can_fail)
}

fn change(lot: &mut Lot, child: &mut Scenario, other: &Scenario, group: &Group, can_fail: bool) {
    let count = child.unit.steps.len();
    match lot.below(15) {
        0..=2 => {
            let at = lot.below(count + 1);
            child.unit.steps.splice(at..at, steps::draw_with_touch(lot, child, can_fail));
        }
        3 | 4 if count > 1 => drop(child.unit.steps.remove(lot.below(count))),
        5 if count > 1 => child.unit.steps.swap(lot.below(count), lot.below(count)),
        6 if count > 0 => {
            let again = child.unit.steps[lot.below(count)].clone();
            child.unit.steps.insert(lot.below(count + 1), again);
        }
        7 => {
            let (head, tail) = (lot.below(count + 1), lot.below(other.unit.steps.len() + 1));
            child.unit.steps.truncate(head);
            child.unit.steps.extend_from_slice(&other.unit.steps[tail..]);
        }
        8 => child.mount.options = mount::options(lot, group),
        9 => child.mount = mount::draw(lot, group),
        10 => child.directory = directory::draw(lot, group.server),
        11 => child.listing.getdents_buffer_bytes = *lot.pick(&[280, 1024, 4096, 32768, 1 << 20]),
        _ if count > 0 => {
            let at = lot.below(count);
            let mut step = child.unit.steps[at].clone();
            change_step(lot, &mut step, child);
            child.unit.steps[at] = step;
        }
        _ => {}
    }
}

/// Changes what a step is told.
fn change_step(lot: &mut Lot, step: &mut Step, scenario: &Scenario) {
    match step {
        Step::List(pass) if lot.once_in(2) => change_pass(lot, pass),
        Step::List(pass) => steps::do_more(lot, scenario, pass),
        Step::Files(files) => change_files(lot, files, scenario),
        Step::FailNth(fail) if lot.once_in(2) => {
            fail.nth = (fail.nth + lot.between(0, 4) as u32).saturating_sub(2).max(1)
        }
        Step::FailNth(fail) => *fail = steps::failing(lot),
        Step::RestartServer(ms) | Step::CutLink(ms) => *ms = lot.between(1, 300) as u32,
        Step::AddBy(mount) | Step::RenameBy(mount) | Step::RemoveBy(mount) => {
            *mount = lot.between(1, scenario.mount.count.into()) as u32
        }
        other => *other = steps::draw(lot, scenario, false),
    }
}

fn change_pass(lot: &mut Lot, pass: &mut Pass) {
    match lot.below(7) {
        0 => pass.stat = !pass.stat,
        1 => pass.seeks = lot.between(0, 9) as u32,
        2 => pass.rewinds = lot.between(0, 3) as u32,
        3 => pass.middle.clear(),
        4 => pass.every = None,
        5 => pass.to = Position::Outside,
        _ => (pass.threads, pass.processes, pass.killed, pass.signals_every_us) = (1, 1, false, 0),
    }
}

fn change_files(lot: &mut Lot, files: &mut FileSteps, scenario: &Scenario) {
    let count = files.operations.len();
    match lot.below(5) {
        0 if count > 1 => drop(files.operations.remove(lot.below(count))),
        1 if count > 1 => files.operations.swap(lot.below(count), lot.below(count)),
        2 => files.count = *lot.pick(&[1, 2, 4]),
        _ => {
            let mut model = Model::new(0);
            files.operations.iter().filter(|op| op.fails.is_none()).for_each(|op| model.apply(&op.action, &op.at));
            files.operations.extend(file_steps::next(lot, scenario, &mut model));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_made_of_others_are_valid_the_same_for_the_same_seed_and_mostly_new() {
        let made = || -> Vec<(Scenario, bool)> {
            let of = |batch| {
                let mut lot = Lot::new(11, batch, 0);
                let group = Group::draw(&mut lot);
                let parents = [fresh(&mut lot, &group, true), fresh(&mut lot, &group, true)];
                let child = mutate(&mut lot, [&parents[0], &parents[1]], &group, true);
                assert!(fresh::is_usable(&child, &group), "{child:?}");
                (child.clone(), child.unit != parents[0].unit)
            };
            (0..1500).map(of).collect()
        };
        let children = made();
        assert_eq!(children, made());
        let has_other_steps = children.iter().filter(|(_, has_other_steps)| *has_other_steps).count();
        assert!(has_other_steps > 800, "{has_other_steps}");
        assert!(children.iter().any(|(child, has_other_steps)| !has_other_steps && child.unit.steps.len() > 1));
    }
}
