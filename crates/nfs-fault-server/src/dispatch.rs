//! From a call to what happens: the reply as it should be, and what faults make of it.

use super::export::Export;
use super::fault::{FaultAction, Garbage, Moment, Nfs3Error};
use super::nfs3::{self, Answered};
use super::procedure::Procedure;
use super::readdir::{Mark, ReplyTweaks};
use super::rpc::{self, Call, LENGTH_BYTES};
use super::xdr::{Reader, put};
use super::{file_handle, mount3};
use crate::dirtree::names::scatter;
use nfs3_types::rpc::{RPC_VERSION_2, accept_stat_data};
use std::time::{Duration, Instant};

/// A name said to be so long is longer than any reply.
const LONG_NAME_BYTES: u32 = 1 << 24;

/// What is done about a call.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Disposition {
    /// It is done so much later.
    pub delay: Duration,
    pub fate: Delivery,
}

/// What becomes of the reply.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Delivery {
    /// It is sent.
    #[default]
    Sent,
    /// Nothing is sent.
    Swallowed,
    /// Nothing is sent, and the connection closed.
    Closed,
    /// Half of it is sent, and the connection closed.
    Halved,
    /// Nothing is sent, now or later.
    HalfOpen,
}

/// Answers one call into `reply`, a whole record. `None` if it is no call.
pub fn dispatch(record: &[u8], export: &Export, reply: &mut Vec<u8>) -> Option<Disposition> {
    let call = Call::read(record)?;
    let outcome = if call.rpc_version == RPC_VERSION_2 {
        accept(&call, export, reply)
    } else {
        rpc::begin_reply(call.xid, rpc::mismatch(), reply);
        Disposition::default()
    };
    rpc::end_reply(reply);
    Some(outcome)
}

fn accept(call: &Call, export: &Export, reply: &mut Vec<u8>) -> Disposition {
    rpc::begin_reply(call.xid, rpc::accepted(accept_stat_data::SUCCESS), reply);
    match find(call).and_then(|procedure| with_faults(procedure, call, export, reply)) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            rpc::begin_reply(call.xid, rpc::accepted(refusal), reply);
            Disposition::default()
        }
    }
}

/// Returns which procedure is called.
fn find(call: &Call) -> Result<Procedure, accept_stat_data> {
    use nfs3_types::{mount, nfs3};
    let wanted = match call.program {
        nfs3::PROGRAM => nfs3::VERSION,
        mount::PROGRAM => mount::VERSION,
        _ => return Err(accept_stat_data::PROG_UNAVAIL),
    };
    if call.version != wanted {
        return Err(accept_stat_data::PROG_MISMATCH { low: wanted, high: wanted });
    }
    Procedure::find(call.program, call.procedure).ok_or(accept_stat_data::PROC_UNAVAIL)
}

/// Answers as it should be; then, if faults hit the reply, once more with them.
fn with_faults(
    procedure: Procedure,
    call: &Call,
    export: &Export,
    reply: &mut Vec<u8>,
) -> Result<Disposition, accept_stat_data> {
    export.count(procedure);
    let begin = reply.len();
    let shown = body(procedure, call, export, ReplyTweaks::default(), reply)?;
    let faults = export.schedule().hit(procedure, shown.as_ref(), Instant::now());
    if faults.is_empty() {
        return Ok(Disposition::default());
    }
    let mut outcome = Disposition::default();
    let mut twist = ReplyTweaks::default();
    let mut error = None;
    for what in &faults {
        match *what {
            FaultAction::Error(wanted) => error = Some(wanted),
            FaultAction::DelayMs(ms) => outcome.delay = Duration::from_millis(ms),
            FaultAction::NoReply => outcome.fate = Delivery::Swallowed,
            FaultAction::HalfOpen => outcome.fate = Delivery::HalfOpen,
            FaultAction::Disconnect(Moment::BeforeReply) => outcome.fate = Delivery::Closed,
            FaultAction::Disconnect(Moment::InReply) => outcome.fate = Delivery::Halved,
            FaultAction::NewVerifier(old) => export.renew_verifier(old),
            FaultAction::NewerChangeTime => touch(call, export),
            other => twist.apply(other),
        }
    }
    reply.truncate(begin);
    if let Some(error) = error {
        put_error(procedure, error, reply);
        return Ok(outcome);
    }
    let shown = body(procedure, call, export, twist, reply)?;
    let marks = shown.map(|shown| shown.marks).unwrap_or_default();
    for what in &faults {
        corrupt(*what, &marks, begin, export.seed ^ scatter(u64::from(call.xid)), reply);
    }
    Ok(outcome)
}

fn body(procedure: Procedure, call: &Call, export: &Export, twist: ReplyTweaks, reply: &mut Vec<u8>) -> Answered {
    if call.program == nfs3_types::mount::PROGRAM {
        return mount3::mount(procedure, call.arguments, reply);
    }
    nfs3::nfs(procedure, call.arguments, export, twist, reply)
}

/// Gives what the call's handle stands for a newer change time.
fn touch(call: &Call, export: &Export) {
    if let Some(fileid) = Reader(call.arguments).opaque().and_then(file_handle::fileid) {
        export.files_mut().touch(fileid);
    }
}

/// Appends an error as the reply: its status, and no attributes where there is a place for them.
fn put_error(procedure: Procedure, error: Nfs3Error, reply: &mut Vec<u8>) {
    put(&error.status(), reply);
    if !matches!(procedure, Procedure::Getattr | Procedure::Mnt) {
        put(&false, reply);
    }
}

impl ReplyTweaks {
    /// Adds one fault more to what the reply is to show.
    fn apply(&mut self, what: FaultAction) {
        match what {
            FaultAction::Short(most) => self.most = Some(most),
            FaultAction::Empty => self.most = Some(0),
            FaultAction::EarlyEof => self.eof = Some(true),
            FaultAction::LateEof => self.eof = Some(false),
            FaultAction::NoHandles => self.no_handles = true,
            FaultAction::IgnoreCookie => self.from_the_first = true,
            FaultAction::HardLinkCookies => self.share_cookies = true,
            FaultAction::DuplicateCookie | FaultAction::BackwardCookies | FaultAction::Garbage(Garbage::LongName) => {
                self.mark = true
            }
            _ => {}
        }
    }
}

/// Changes bytes of a reply whose body begins at `begin`.
fn corrupt(what: FaultAction, marks: &[Mark], begin: usize, seed: u64, reply: &mut Vec<u8>) {
    let cookies: Vec<[u8; 8]> = marks.iter().filter_map(|mark| reply[mark.cookie..][..8].try_into().ok()).collect();
    let mut put_cookie = |mark: &Mark, cookie: &[u8; 8]| reply[mark.cookie..][..8].copy_from_slice(cookie);
    match what {
        FaultAction::DuplicateCookie => {
            if let [.., before, _] = cookies.as_slice() {
                put_cookie(&marks[marks.len() - 1], before);
            }
        }
        FaultAction::BackwardCookies => {
            let but_last = marks.len().saturating_sub(1);
            for (mark, cookie) in marks[..but_last].iter().zip(cookies[..but_last].iter().rev()) {
                put_cookie(mark, cookie);
            }
        }
        FaultAction::Garbage(Garbage::LongName) => {
            if let Some(mark) = marks.get(marks.len() / 2) {
                reply[mark.name_length..][..4].copy_from_slice(&LONG_NAME_BYTES.to_be_bytes());
            }
        }
        FaultAction::Garbage(Garbage::Cut) => reply.truncate(begin + (reply.len() - begin) / 8 * 4),
        FaultAction::Garbage(Garbage::Random) => randomize(&mut reply[begin..], seed),
        _ => {}
    }
}

/// Fills all but the status with random bytes. The first bit is set, so that what follows the status (whether there are
/// attributes, a length) is never a value that it can have.
fn randomize(body: &mut [u8], seed: u64) {
    let Some((_, rest)) = body.split_at_mut_checked(4) else { return };
    let mut state = seed;
    for piece in rest.chunks_mut(8) {
        state = scatter(state);
        piece.copy_from_slice(&state.to_be_bytes()[..piece.len()]);
    }
    if let Some(first) = rest.first_mut() {
        *first |= 0x80;
    }
}

impl Delivery {
    /// Returns how much of a reply of so many bytes is sent.
    pub fn bytes_to_send(self, bytes: usize) -> usize {
        match self {
            Self::Sent => bytes,
            Self::Halved => LENGTH_BYTES + (bytes - LENGTH_BYTES) / 2,
            Self::Swallowed | Self::Closed | Self::HalfOpen => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_never_begin_with_something_that_can_be_decoded() {
        let mut seen = std::collections::HashSet::new();
        for seed in 0..1000 {
            let mut body = vec![0; 30];
            randomize(&mut body, seed);
            assert_eq!(body[..4], [0; 4], "the status stays");
            assert!(body[4] >= 0x80, "neither of the two values of \"follows\", and no length");
            seen.insert(body);
        }
        assert_eq!(seen.len(), 1000);
        for short in 0..=4 {
            let mut body = vec![0; short];
            randomize(&mut body, 1);
            assert_eq!(body, vec![0; short]);
        }
    }
}
