//! Operations on files that make sense one after the other, by the model that says what they leave.

use super::mount::has;
use crate::explore::lot::Lot;
use crate::scenario::files::{Draw, Each, FileOp, FileSteps};
use crate::scenario::{NfsVersion, Scenario};
use crate::workload::file_ops::action::{AclKind, Action, LockKind, NodeKind};
use crate::workload::file_ops::expect::Expected;
use crate::workload::file_ops::model::Model;
use nix::errno::Errno;

const MOST_OPERATIONS: u64 = 10;
const MOST_OPEN: usize = 4;
/// Names beside the name itself.
const PLACES: [(u32, &str); 5] = [(10, ""), (3, "b"), (2, "d"), (1, "d/x"), (1, "s")];
const TARGETS: [(u32, &str); 4] = [(4, "b"), (1, "c"), (1, "d/x"), (1, "d")];
const BYTES: [(u32, u64); 5] = [(4, 100), (4, 4096), (2, 5000), (1, 0), (1, 65536)];

const ATTRIBUTES: [Action; 5] =
    [Action::Stat, Action::Statfs, Action::Chmod(0o600), Action::Chown(7), Action::Utimens(1_000_000_000)];

/// Draws a step of operations for the mounts of this scenario.
pub(crate) fn draw(lot: &mut Lot, scenario: &Scenario) -> FileSteps {
    let mut steps = FileSteps {
        count: *lot.weighted(&[(6, 1), (2, 2), (1, 4)]),
        name_bytes: *lot.weighted(&[(5, 24), (1, 8), (2, 200)]),
        mount: lot.between(1, scenario.mount.count.into()) as u32,
        operations: Vec::new(),
        each: if lot.once_in(4) { Each::Operation } else { Each::Name },
        draw: None,
    };
    if scenario.mount.own_clients && lot.once_in(2) {
        steps.operations = recalled(lot, scenario.mount.count);
        return steps;
    }
    if lot.once_in(8) {
        let count = lot.between(3, 12);
        let of = (0..count).map(|_| FileOp { at: place(lot), ..FileOp::new(action(lot, scenario)) }).collect();
        steps.draw = Some(Draw { operations: lot.between(5, 30) as u32, of });
        return steps;
    }
    let mut model = Model::new(0);
    for _ in 0..lot.between(2, MOST_OPERATIONS) {
        if let Some(op) = next(lot, scenario, &mut model) {
            steps.operations.push(op);
        }
    }
    steps
}

/// Draws an operation that makes sense after the others, if the lot gives one soon.
pub(crate) fn next(lot: &mut Lot, scenario: &Scenario, model: &mut Model) -> Option<FileOp> {
    for _ in 0..20 {
        let op = FileOp { at: place(lot), ..FileOp::new(action(lot, scenario)) };
        match model.expect(&op.action, &op.at) {
            Expected::Success | Expected::Either if op.action.opens() && model.open.len() >= MOST_OPEN => {}
            Expected::Success | Expected::Either => {
                model.apply(&op.action, &op.at);
                return Some(op);
            }
            // A lock that one process has already is refused to none of its own.
            Expected::Failure(errno) if errno != Errno::EAGAIN && lot.once_in(3) => {
                return Some(FileOp { fails: Some(errno), ..op });
            }
            _ => {}
        }
    }
    None
}

fn place(lot: &mut Lot) -> String {
    (*lot.weighted(&PLACES)).to_owned()
}

/// Draws an operation that this mount can do.
fn action(lot: &mut Lot, scenario: &Scenario) -> Action {
    let version = scenario.mount.version;
    let target = |lot: &mut Lot| (*lot.weighted(&TARGETS)).to_owned();
    loop {
        let action = match lot.below(44) {
            0..=5 => Action::Create,
            6 => Action::CreateExclusive,
            7 | 8 => Action::OpenRead,
            9 => Action::OpenWrite,
            10 | 11 => Action::OpenReadWrite,
            12 => Action::OpenAppend,
            13 => Action::OpenTruncate,
            14..=18 => Action::Close,
            19 => Action::Read(*lot.weighted(&BYTES)),
            20 | 21 => Action::Write(*lot.weighted(&BYTES)),
            22 => Action::Append(100),
            23 => Action::MmapWrite(100),
            24 => Action::Fsync,
            25 => Action::Truncate(*lot.weighted(&BYTES)),
            26 => Action::Ftruncate(*lot.weighted(&BYTES)),
            27..=29 => Action::Unlink,
            30..=32 => Action::Rename(target(lot)),
            33 => Action::Link(target(lot)),
            34 => Action::Symlink("some/where".into()),
            35 => Action::Readlink,
            36 => Action::Mkdir,
            37 => Action::Rmdir,
            38 => Action::Mknod(*lot.pick(&[NodeKind::Fifo, NodeKind::Socket, NodeKind::Char, NodeKind::Block])),
            39 => lot.pick(&ATTRIBUTES).clone(),
            40 if version == NfsVersion::V4_2 => special(lot, scenario),
            41 if !has(&scenario.mount, "noacl") => acl(lot, version),
            42 | 43 if version.is_4() || scenario.mount.has_lockd() => lock(lot, version),
            _ => continue,
        };
        return action;
    }
}

/// Draws what version 4.2 alone does.
fn special(lot: &mut Lot, scenario: &Scenario) -> Action {
    let label = || "security.selinux".to_owned();
    match lot.below(6) {
        0 => Action::Fallocate(8192),
        1 => Action::Punch(4096),
        2 => Action::SeekData,
        3 => Action::CopyRange("b".into()),
        4 if scenario.guest.security_labels => Action::Setxattr(label()),
        5 if scenario.guest.security_labels => Action::Getxattr(label()),
        _ => Action::SeekHole,
    }
}

fn acl(lot: &mut Lot, version: NfsVersion) -> Action {
    let kind = if version.is_4() { AclKind::V4 } else { AclKind::Posix };
    if lot.once_in(2) { Action::GetAcl(kind) } else { Action::SetAcl(kind) }
}

fn lock(lot: &mut Lot, version: NfsVersion) -> Action {
    let kind =
        if version.is_4() { *lot.pick(&[LockKind::Posix, LockKind::Ofd, LockKind::Flock]) } else { LockKind::Posix };
    match lot.below(4) {
        0 => Action::LockShared(kind),
        1 => Action::Unlock(kind),
        2 if kind != LockKind::Flock => Action::TestLock(kind),
        _ => Action::Lock(kind),
    }
}

/// Has another client come for a file of which the first may have a delegation.
fn recalled(lot: &mut Lot, mounts: u32) -> Vec<FileOp> {
    let by = |action: Action, mount: u32| FileOp { mount: Some(mount), ..FileOp::new(action) };
    let first = lot.between(1, u64::from(mounts)) as u32;
    let second = first % mounts + 1;
    let comes = lot.pick(&[Action::OpenWrite, Action::OpenReadWrite]).clone();
    vec![
        by(Action::Create, first),
        by(Action::Write(100), first),
        by(Action::Close, first),
        by(Action::OpenRead, first),
        by(Action::Read(100), first),
        by(Action::Close, first),
        by(comes, second),
        by(Action::Write(200), second),
        by(Action::Close, second),
        by(Action::Unlink, second),
    ]
}
