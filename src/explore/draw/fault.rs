//! What the synthetic server does wrong.

use super::mount::{SOFT, has};
use crate::explore::lot::Lot;
use crate::scenario::Scenario;
use crate::scenario::mount_options::split;
use nfs_fault_server::{Fault, FaultAction, FaultScope, FaultTrigger, Garbage, Moment, Nfs3Error, OldVerifiers};

const SCOPES: [(u32, FaultScope); 11] = [
    (12, FaultScope::Readdir),
    (2, FaultScope::PlainReaddir),
    (4, FaultScope::Readdirplus),
    (3, FaultScope::Getattr),
    (3, FaultScope::Lookup),
    (3, FaultScope::Access),
    (1, FaultScope::Readlink),
    (1, FaultScope::Fsstat),
    (1, FaultScope::Fsinfo),
    (1, FaultScope::Pathconf),
    (1, FaultScope::Mnt),
];
const ACTIONS: [(u32, FaultAction); 23] = [
    (3, FaultAction::Error(Nfs3Error::Io)),
    (2, FaultAction::Error(Nfs3Error::Acces)),
    (2, FaultAction::Error(Nfs3Error::Stale)),
    (2, FaultAction::Error(Nfs3Error::Noent)),
    (2, FaultAction::Error(Nfs3Error::BadCookie)),
    (2, FaultAction::Error(Nfs3Error::Toosmall)),
    (1, FaultAction::Error(Nfs3Error::Jukebox)),
    (2, FaultAction::DelayMs(20)),
    (3, FaultAction::Short(7)),
    (2, FaultAction::Empty),
    (2, FaultAction::EarlyEof),
    (2, FaultAction::LateEof),
    (2, FaultAction::DuplicateCookie),
    (1, FaultAction::BackwardCookies),
    (1, FaultAction::IgnoreCookie),
    (1, FaultAction::HardLinkCookies),
    (2, FaultAction::NewVerifier(OldVerifiers::Accept)),
    (2, FaultAction::NewVerifier(OldVerifiers::Refuse)),
    (4, FaultAction::NewerChangeTime),
    (2, FaultAction::NoHandles),
    (4, FaultAction::Garbage(Garbage::Cut)),
    (3, FaultAction::Disconnect(Moment::BeforeReply)),
    (2, FaultAction::NoReply),
];

/// Draws a fault that happens a few times at most, so that no unit waits for ever.
pub(super) fn draw(lot: &mut Lot, scenario: &Scenario) -> Fault {
    loop {
        let fault = any(lot, scenario.directory.entries);
        let waits_in_vain = matches!(fault.what, FaultAction::NoReply | FaultAction::HalfOpen);
        if fault.check().is_ok() && (!waits_in_vain || split(SOFT).all(|option| has(&scenario.mount, option))) {
            return fault;
        }
    }
}

fn any(lot: &mut Lot, entries: u64) -> Fault {
    let when = match lot.below(4) {
        0 | 1 => FaultTrigger::Reply(lot.between(1, 3)),
        2 => FaultTrigger::Entry(lot.between(1, entries.max(1))),
        _ => FaultTrigger::Reply(1),
    };
    let what = match *lot.weighted(&ACTIONS) {
        FaultAction::Short(_) => FaultAction::Short(lot.between(1, 130)),
        FaultAction::Garbage(_) => FaultAction::Garbage(*lot.pick(&[Garbage::Cut, Garbage::Random, Garbage::LongName])),
        FaultAction::Disconnect(_) => FaultAction::Disconnect(*lot.pick(&[Moment::BeforeReply, Moment::InReply])),
        FaultAction::NoReply => *lot.pick(&[FaultAction::NoReply, FaultAction::HalfOpen]),
        other => other,
    };
    Fault { on: *lot.weighted(&SCOPES), when, what, times: lot.once_in(4).then_some(2) }
}
