//! Signals that come to the thread which reads, again and again, and are taken by a handler that only counts them.
//!
//! The kernel ends a call of getdents64 early when a signal is there (`filldir64` in fs/readdir.c), so a listing takes more calls.

use crate::error::{Context, Result};
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd::gettid;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SIGNAL: Signal = Signal::SIGUSR1;

/// Signals that were taken since the program began.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// A timer that interrupts the thread which made it, while it is on.
pub struct Interrupts {
    timer: Timer,
}

impl Interrupts {
    /// Makes one that is off. Calls that are interrupted are not begun again by the C library.
    pub fn new() -> Result<Self> {
        let action = SigAction::new(SigHandler::Handler(take), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing but add to a number.
        unsafe { sigaction(SIGNAL, &action) }.machine(|| "cannot take SIGUSR1".into())?;
        let notify = SigevNotify::SigevThreadId { signal: SIGNAL, thread_id: gettid().as_raw(), si_value: 0 };
        let timer = Timer::new(ClockId::CLOCK_MONOTONIC, SigEvent::new(notify));
        Ok(Self { timer: timer.machine(|| "cannot make a timer".into())? })
    }

    /// Does `work` while signals come; also gives how many were taken.
    pub fn during<T>(&mut self, every: Duration, work: impl FnOnce() -> T) -> Result<(T, u64)> {
        let before = TAKEN.load(Ordering::Relaxed);
        self.set(every)?;
        let result = work();
        self.set(Duration::ZERO)?;
        Ok((result, TAKEN.load(Ordering::Relaxed) - before))
    }

    /// Sets how often signals come; no time at all switches it off (timer_settime(2)).
    fn set(&mut self, every: Duration) -> Result<()> {
        let expiration = Expiration::Interval(every.into());
        self.timer.set(expiration, TimerSetTimeFlags::empty()).machine(|| "cannot set a timer".into())
    }
}

extern "C" fn take(_: libc::c_int) {
    TAKEN.fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn signals_come_while_work_is_done_and_not_afterwards() {
        let mut interrupts = Interrupts::new().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let until_some_came = || while TAKEN.load(Ordering::Relaxed) < 3 && Instant::now() < deadline {};
        let ((), taken) = interrupts.during(Duration::from_micros(200), until_some_came).unwrap();
        assert!(taken >= 3, "{taken}");
        let after = TAKEN.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(TAKEN.load(Ordering::Relaxed), after);
    }
}
