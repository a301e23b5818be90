//! Which of the armed faults hit a reply, and how often each has happened.

use super::fault::{Fault, FaultAction, FaultTrigger, Garbage, Moment, OldVerifiers};
use super::procedure::Procedure;
use super::readdir::Shown;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// How often a fault was armed, and how often it has happened since.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FaultCount {
    /// The fault.
    pub fault: Fault,
    /// How often it was armed.
    pub armed: u64,
    /// How many replies it has hit.
    pub happened: u64,
}

/// A fault that is still to come.
struct Armed {
    fault: Fault,
    since: Instant,
    replies: u64,
    fired: u64,
}

/// What a fault takes hold of. Of the faults that hit one reply only the first may take hold of the same.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Hold {
    ChangeTime,
    Time,
    Verifier,
    /// There is no such reply, or another one in its place.
    Reply,
    Entries,
    Handles,
    Bytes,
}

/// All faults.
#[derive(Default)]
pub struct Schedule {
    armed: Vec<Armed>,
    tallies: Vec<FaultCount>,
}

impl Schedule {
    /// Counts replies for `fault` from now on.
    pub fn arm(&mut self, fault: Fault) {
        self.armed.retain(|armed| armed.fault != fault);
        self.armed.push(Armed { fault, since: Instant::now(), replies: 0, fired: 0 });
        match self.tallies.iter_mut().find(|tally| tally.fault == fault) {
            Some(tally) => tally.armed += 1,
            None => self.tallies.push(FaultCount { fault, armed: 1, happened: 0 }),
        }
    }

    /// Arms nothing any more.
    pub fn disarm(&mut self) {
        self.armed.clear();
    }

    pub fn tallies(&self) -> &[FaultCount] {
        &self.tallies
    }

    /// Returns what happens to the reply to this call, which shows so much without any fault.
    pub fn hit(&mut self, procedure: Procedure, shown: Option<&Shown>, now: Instant) -> Vec<FaultAction> {
        let mut hits: Vec<(Hold, FaultAction)> = Vec::new();
        let mut due: Vec<&mut Armed> =
            self.armed.iter_mut().filter_map(|armed| armed.is_due(procedure, shown, now).then_some(armed)).collect();
        // What puts something else in the reply's place comes first; what would change the inside of the reply waits.
        due.sort_by_key(|armed| armed.fault.what.hold() != Hold::Reply);
        for armed in due {
            let what = armed.fault.what;
            let inside = matches!(what.hold(), Hold::Entries | Hold::Handles | Hold::Bytes);
            let taken = |(hold, _): &(Hold, FaultAction)| *hold == what.hold() || (inside && *hold == Hold::Reply);
            if hits.iter().any(taken) {
                continue;
            }
            hits.push((what.hold(), what));
            armed.fired += 1;
            if let Some(tally) = self.tallies.iter_mut().find(|tally| tally.fault == armed.fault) {
                tally.happened += 1;
            }
        }
        self.armed.retain(|armed| armed.fired < armed.fault.times());
        hits.into_iter().map(|(_, what)| what).collect()
    }
}

impl Armed {
    /// Counts a reply, and tells whether the fault can hit it.
    fn is_due(&mut self, procedure: Procedure, shown: Option<&Shown>, now: Instant) -> bool {
        if !self.fault.on.matches(procedure) {
            return false;
        }
        self.replies += 1;
        let is_time = match self.fault.when {
            FaultTrigger::Reply(n) => self.replies >= n,
            FaultTrigger::Every(n) => self.fired < self.replies / n,
            FaultTrigger::Entry(n) => shown.is_some_and(|shown| shown.holds(n)),
            FaultTrigger::AfterMs(ms) => now.duration_since(self.since) >= Duration::from_millis(ms),
        };
        is_time && self.fault.what.can_hit(procedure, shown)
    }
}

impl FaultAction {
    fn hold(self) -> Hold {
        match self {
            Self::NewerChangeTime => Hold::ChangeTime,
            Self::DelayMs(_) => Hold::Time,
            Self::NewVerifier(OldVerifiers::Accept) => Hold::Verifier,
            // It may put an error in the reply's place.
            Self::NewVerifier(OldVerifiers::Refuse) => Hold::Reply,
            Self::Error(_) | Self::NoReply | Self::HalfOpen => Hold::Reply,
            Self::Disconnect(Moment::BeforeReply) => Hold::Reply,
            Self::Disconnect(Moment::InReply) | Self::Garbage(_) => Hold::Bytes,
            Self::NoHandles => Hold::Handles,
            Self::Short(_)
            | Self::Empty
            | Self::EarlyEof
            | Self::LateEof
            | Self::DuplicateCookie
            | Self::BackwardCookies
            | Self::IgnoreCookie
            | Self::HardLinkCookies => Hold::Entries,
        }
    }

    /// Returns whether it would make a difference to a reply that shows so much.
    fn can_hit(self, procedure: Procedure, shown: Option<&Shown>) -> bool {
        let entries = shown.map_or(0, |shown| shown.entries);
        match self {
            Self::Short(most) => entries > most,
            Self::Empty | Self::Garbage(Garbage::LongName) => entries > 0,
            Self::EarlyEof => shown.is_some_and(|shown| !shown.eof),
            Self::LateEof => shown.is_some_and(|shown| shown.eof),
            Self::DuplicateCookie => entries >= 2,
            Self::BackwardCookies => entries >= 3,
            Self::IgnoreCookie => shown.is_some_and(|shown| !shown.is_from_the_first()),
            Self::HardLinkCookies => shown.is_some_and(|shown| shown.shared_cookies > 0),
            Self::NoHandles => procedure == Procedure::Readdirplus && entries > 0,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fault::Nfs3Error;
    use super::*;
    use crate::fault::FaultScope;

    const IO: FaultAction = FaultAction::Error(Nfs3Error::Io);

    #[test]
    fn moment_is_counted_from_when_the_fault_was_armed() {
        let mut schedule = Schedule::default();
        let fault = Fault { on: FaultScope::Getattr, when: FaultTrigger::AfterMs(500), times: Some(2), what: IO };
        schedule.arm(fault);
        let armed = Instant::now();
        let mut hit = |procedure, ms| schedule.hit(procedure, None, armed + Duration::from_millis(ms));
        assert_eq!(hit(Procedure::Getattr, 0), []);
        assert_eq!(hit(Procedure::Lookup, 600), []);
        assert_eq!([hit(Procedure::Getattr, 600), hit(Procedure::Getattr, 700)], [[IO], [IO]]);
        assert_eq!(hit(Procedure::Getattr, 800), []);
        assert_eq!(schedule.tallies(), [FaultCount { fault, armed: 1, happened: 2 }]);
    }

    #[test]
    fn second_of_two_faults_that_exclude_each_other_waits() {
        let mut schedule = Schedule::default();
        let whats = [FaultAction::Garbage(Garbage::Cut), IO, FaultAction::NoReply, FaultAction::DelayMs(1)];
        whats.into_iter().for_each(|what| schedule.arm(Fault { on: FaultScope::Getattr, ..Fault::next(what) }));
        let mut hit = || schedule.hit(Procedure::Getattr, None, Instant::now());
        assert_eq!(hit(), [IO, FaultAction::DelayMs(1)]);
        assert_eq!(hit(), [FaultAction::NoReply]);
        assert_eq!(hit(), [FaultAction::Garbage(Garbage::Cut)]);
        assert_eq!(hit(), []);
    }
}
