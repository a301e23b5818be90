//! One pass over the directory, with what is done in the middle of it.

use super::steps;
use crate::explore::lot::Lot;
use crate::scenario::step::{Every, Pass};
use crate::scenario::{DirSelector, Position, ReadCall, Scenario, Step};
use nfs_fault_server::dirtree::spec::Shape;

/// Sizes of buffers: the smallest that every name fits, some pages, and more than any directory here has.
const BUFFERS: [usize; 5] = [280, 600, 1024, 4096, 1 << 20];
const MOST_READERS: u64 = 3;

/// Draws a pass over the directory of this scenario.
pub(crate) fn draw(lot: &mut Lot, scenario: &Scenario) -> Pass {
    let mut pass = Pass { stat: lot.once_in(4), ..Pass::default() };
    if lot.once_in(4) {
        pass.getdents_buffer_bytes = Some(*lot.pick(&BUFFERS));
    }
    pass.mount = lot.between(1, scenario.mount.count.into()) as u32;
    if scenario.directory.shape != Shape::Flat {
        pass.of = of(lot, &scenario.directory.shape);
    }
    for _ in 0..*lot.weighted(&[(5, 0), (6, 1), (2, 2)]) {
        more(lot, scenario, &mut pass);
    }
    pass
}

fn of(lot: &mut Lot, shape: &Shape) -> DirSelector {
    let directories = shape.directories();
    match lot.below(4) {
        0 => DirSelector::First,
        1 => DirSelector::Drawn,
        2 => DirSelector::Directories((0..lot.between(1, 3)).map(|_| lot.between(0, directories) as usize).collect()),
        _ => DirSelector::All,
    }
}

/// Has a pass do one thing more, or something else.
pub(crate) fn more(lot: &mut Lot, scenario: &Scenario, pass: &mut Pass) {
    let entries = scenario.directory.entries;
    match lot.below(14) {
        0 | 1 => pass.from = Position::Middle,
        2 | 3 => pass.to = Position::Middle,
        4 => pass.to = Position::After(lot.between(0, entries + 4)),
        5 | 6 => pass.middle = steps::within(lot, scenario),
        7 => {
            pass.every = Some(Every {
                entries: Some(lot.between(entries / 5 + 20, entries + 40)),
                milliseconds: None,
                steps: steps::within(lot, scenario),
            });
        }
        8 | 9 => pass.seeks = lot.between(1, 8) as u32,
        10 => pass.rewinds = lot.between(1, 3) as u32,
        11 => pass.by = ReadCall::Readdir,
        12 => match lot.below(3) {
            0 => pass.threads = lot.between(2, MOST_READERS) as u32,
            1 => pass.processes = lot.between(2, MOST_READERS) as u32,
            _ => pass.killed = true,
        },
        // They make a pass many times as long.
        _ if lot.once_in(3) => pass.signals_every_us = lot.between(500, 5000) as u32,
        _ => pass.stat = true,
    }
}

/// Returns whether a step may be done with the directory open.
pub(crate) fn goes_within(step: &Step) -> bool {
    use Step::{FailNth, Files, List, Miss, MountCycle, MountRefused, Run};
    !matches!(step, List(_) | MountCycle | MountRefused | Run(_) | Files(_) | FailNth(_) | Miss)
}
