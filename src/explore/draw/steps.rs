//! Steps, each as often as its weight says, and what is done in the middle of a pass.

use super::{fault, file_steps};
use crate::explore::lot::Lot;
use crate::scenario::fail_nth::{AllocationKind, FailNth};
use crate::scenario::step::{Every, Pass};
use crate::scenario::{DirSelector, Position, ReadCall, Scenario, ServerKind, Step};
use nfs_fault_server::Nfs3Error;
use nfs_fault_server::dirtree::spec::Shape;

/// What is drawn before it is known with what.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Word(&'static Step),
    List,
    Fail,
    Fault,
    AddBy,
    RenameBy,
    RemoveBy,
    Restart,
    Cut,
    FailNth,
    Files,
}

use Kind::{AddBy, Cut, Fail, Fault, Files, List, RemoveBy, RenameBy, Restart, Word};

/// Steps of every scenario.
const ANY: [(u32, Kind); 15] = [
    (40, List),
    (6, Word(&Step::Touch)),
    (3, Word(&Step::DropPages)),
    (3, Word(&Step::DropDentries)),
    (4, Word(&Step::DropAll)),
    (4, Word(&Step::Evict)),
    (3, Word(&Step::Add)),
    (3, Word(&Step::Miss)),
    (2, Word(&Step::Rename)),
    (3, Word(&Step::Remove)),
    (3, Word(&Step::MountCycle)),
    (1, Word(&Step::MountRefused)),
    (1, Restart),
    (1, Cut),
    (2, Word(&Step::Reclaim)),
];
const OF_SYNTHETIC: [(u32, Kind); 6] = [
    (5, Fail),
    (9, Fault),
    (4, Word(&Step::TouchInReply)),
    (4, Word(&Step::RemoveSeen)),
    (2, Word(&Step::Restore)),
    (3, Word(&Step::HideHandles)),
];
const OF_KNFSD: [(u32, Kind); 4] = [(22, Files), (3, AddBy), (3, RenameBy), (3, RemoveBy)];
const FAILING: (u32, Kind) = (6, Kind::FailNth);
const ERRORS: [Nfs3Error; 9] = [
    Nfs3Error::Noent,
    Nfs3Error::Io,
    Nfs3Error::Acces,
    Nfs3Error::Stale,
    Nfs3Error::BadCookie,
    Nfs3Error::Notsupp,
    Nfs3Error::Toosmall,
    Nfs3Error::Serverfault,
    Nfs3Error::Jukebox,
];
const MOST_NTH: [(u32, u64); 3] = [(4, 12), (3, 40), (1, 200)];
const OUTAGE_MS: (u64, u64) = (1, 200);
/// In the middle of a pass.
const MOST_WITHIN: u64 = 3;

/// Sizes of buffers: the smallest that every name fits, some pages, and more than any directory here has.
const BUFFERS: [usize; 5] = [280, 600, 1024, 4096, 1 << 20];
const MOST_READERS: u64 = 3;

fn kinds(server: ServerKind, can_fail: bool) -> Vec<(u32, Kind)> {
    let of_server: &[(u32, Kind)] = match server {
        ServerKind::Synthetic => &OF_SYNTHETIC,
        ServerKind::Knfsd => &OF_KNFSD,
    };
    ANY.iter().chain(of_server).chain(can_fail.then_some(&FAILING)).copied().collect()
}

/// Draws a step of a unit of this scenario.
pub(crate) fn draw(lot: &mut Lot, scenario: &Scenario, can_fail: bool) -> Step {
    let mut kind = *lot.weighted(&kinds(scenario.server, can_fail));
    if matches!(kind, Word(Step::Reclaim)) && scenario.cgroup.is_none() {
        kind = List;
    }
    let mount = |lot: &mut Lot| lot.between(1, scenario.mount.count.into()) as u32;
    let ms = |lot: &mut Lot| lot.between(OUTAGE_MS.0, OUTAGE_MS.1) as u32;
    match kind {
        Word(step) => step.clone(),
        List => Step::List(draw_pass(lot, scenario)),
        Fail => Step::Fail(*lot.pick(&ERRORS)),
        Fault => Step::Fault(fault::draw(lot, scenario)),
        AddBy => Step::AddBy(mount(lot)),
        RenameBy => Step::RenameBy(mount(lot)),
        RemoveBy => Step::RemoveBy(mount(lot)),
        Restart => Step::RestartServer(ms(lot)),
        Cut => Step::CutLink(ms(lot)),
        Kind::FailNth => Step::FailNth(failing(lot)),
        Files => Step::Files(file_steps::draw(lot, scenario)),
    }
}

/// Draws a step and what goes before it: most listings are of a directory that changed, so that the client asks the server.
pub(crate) fn draw_with_touch(lot: &mut Lot, scenario: &Scenario, can_fail: bool) -> Vec<Step> {
    match draw(lot, scenario, can_fail) {
        Step::List(pass) if !lot.once_in(3) => vec![Step::Touch, Step::List(pass)],
        step => vec![step],
    }
}

/// Draws an allocation that is to fail.
pub(crate) fn failing(lot: &mut Lot) -> FailNth {
    let kind = *lot.weighted(&[(4, AllocationKind::Slab), (1, AllocationKind::Page)]);
    let most = *lot.weighted(&MOST_NTH);
    FailNth { kind, nth: lot.between(1, most) as u32 }
}

/// Draws what is done with the directory open.
pub(crate) fn within(lot: &mut Lot, scenario: &Scenario) -> Vec<Step> {
    let count = lot.between(1, MOST_WITHIN) as usize;
    let mut steps = Vec::new();
    while steps.len() < count {
        let step = draw(lot, scenario, false);
        if goes_within(&step) {
            steps.push(step);
        } else if matches!(step, Step::List(_)) {
            // As often as passes are drawn: it has the client look anew.
            steps.push(Step::Touch);
        }
    }
    steps
}

/// Draws a pass over the directory of this scenario.
pub(crate) fn draw_pass(lot: &mut Lot, scenario: &Scenario) -> Pass {
    let mut pass = Pass { stat: lot.once_in(4), ..Pass::default() };
    if lot.once_in(4) {
        pass.getdents_buffer_bytes = Some(*lot.pick(&BUFFERS));
    }
    pass.mount = lot.between(1, scenario.mount.count.into()) as u32;
    if scenario.directory.shape != Shape::Flat {
        pass.of = directories(lot, &scenario.directory.shape);
    }
    for _ in 0..*lot.weighted(&[(5, 0), (6, 1), (2, 2)]) {
        do_more(lot, scenario, &mut pass);
    }
    pass
}

fn directories(lot: &mut Lot, shape: &Shape) -> DirSelector {
    let last = shape.directories();
    match lot.below(4) {
        0 => DirSelector::First,
        1 => DirSelector::Drawn,
        2 => DirSelector::Directories((0..lot.between(1, 3)).map(|_| lot.between(0, last) as usize).collect()),
        _ => DirSelector::All,
    }
}

/// Has a pass do one thing more, or something else.
pub(crate) fn do_more(lot: &mut Lot, scenario: &Scenario, pass: &mut Pass) {
    let entries = scenario.directory.entries;
    match lot.below(14) {
        0 | 1 => pass.from = Position::Middle,
        2 | 3 => pass.to = Position::Middle,
        4 => pass.to = Position::After(lot.between(0, entries + 4)),
        5 | 6 => pass.middle = within(lot, scenario),
        7 => {
            pass.every = Some(Every {
                entries: Some(lot.between(entries / 5 + 20, entries + 40)),
                milliseconds: None,
                steps: within(lot, scenario),
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

/// Returns whether a step is drawn for the middle of a listing.
pub(crate) fn goes_within(step: &Step) -> bool {
    step.fits_within_listing() && !matches!(step, Step::Miss)
}
