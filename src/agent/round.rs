//! One round: units on the NFS mount and in the local directory, mixed evenly, as long as it is to take.

use super::executor::Executor;
use super::target::{StepCallback, Target, UnitStats};
use crate::error::Result;
use crate::os::signals;
use crate::probe::clock;
use crate::probe::ftrace::Tracing;
use crate::probe::mountstats::{self, Rpcs, add, readdirs};
use crate::protocol::message::RoundStats;
use crate::workload::progress;
use std::time::{Duration, Instant};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

impl<P: Target> Executor<P> {
    /// Makes one round. NFS and local units are mixed so that both are spread over the whole round.
    pub(crate) fn work(
        &mut self,
        listings: u64,
        fillers: u64,
        at_least: Option<Duration>,
        step: StepCallback,
    ) -> Result<RoundStats> {
        let begin = Instant::now();
        let mut beat = begin;
        let mut worked = RoundStats::default();
        let total = listings + fillers;
        let before = self.place.rpcs()?;
        let mut rpcs = before.clone();
        let failed = self.place.failed_rpcs()?;
        let idle = self.idle_seconds();
        for slot in 0..total {
            // Bresenham's line: slot is an NFS unit where the line of slope listings/total takes a step.
            if (slot + 1) * listings / total > slot * listings / total {
                self.unit(&mut worked, &mut rpcs, Target::list_nfs)?;
            } else {
                self.place.list_local()?;
            }
            if beat.elapsed() > BEAT {
                let what = format!("{} {} of {total}", self.place.unit_name(), slot + 1);
                step(&what, begin.elapsed().as_secs_f64())?;
                beat = Instant::now();
            }
        }
        let idled = self.idle_seconds() - idle;
        worked.busy_seconds = (begin.elapsed().as_secs_f64() - idled).clamp(0.0, worked.listing_seconds);
        add(&mut worked.rpcs, &mountstats::since(&before, &rpcs));
        worked.failed_rpcs = mountstats::since(&failed, &self.place.failed_rpcs()?);
        let at_least = at_least.unwrap_or_else(|| as_if_all_were_nfs(&worked, total));
        wait_until(begin + at_least)?;
        worked.seconds = begin.elapsed().as_secs_f64();
        worked.clock_seconds = clock::seconds();
        worked.faults = self.place.faults();
        worked.left_out = self.place.left_out();
        Ok(worked)
    }

    /// Returns for how long processors had nothing to do since boot, where that is told.
    fn idle_seconds(&self) -> f64 {
        clock::idle_seconds(self.rest.counters().files(), self.rest.processors()).unwrap_or(0.0)
    }

    /// Makes one unit on the NFS mount; `rpcs` is what the mount had sent before, and then after it.
    pub(crate) fn unit(
        &mut self,
        worked: &mut RoundStats,
        rpcs: &mut Rpcs,
        make: impl FnOnce(&mut P) -> Result<UnitStats>,
    ) -> Result<()> {
        let begin = Instant::now();
        let played = make(&mut self.place)?;
        worked.listing_seconds += begin.elapsed().as_secs_f64();
        let now = self.place.rpcs()?;
        worked.listings += 1;
        let is_cold = if played.programs + played.operations > 0 {
            changing(&now) > changing(rpcs)
        } else {
            readdirs(&now) > readdirs(rpcs) || readdirs(&played.rpcs) > 0
        };
        worked.cold_listings += u64::from(is_cold);
        worked.programs += played.programs;
        worked.left_processes += played.left_processes;
        worked.operations += played.operations;
        worked.complete_listings += u64::from(played.broken.is_none());
        worked.refused_mounts += played.refused_mounts;
        worked.signals += played.signals;
        worked.getdents_calls += played.getdents_calls;
        worked.failures.add(played.failures);
        worked.broken = worked.broken.take().or(played.broken);
        add(&mut worked.rpcs, &played.rpcs);
        *rpcs = now;
        self.tracing.as_mut().map_or(Ok(()), Tracing::drain)
    }
}

/// Waits, which is work of a control round.
pub fn wait_until(end: Instant) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        signals::check()?;
        std::thread::sleep(left.min(BEAT));
        progress::made();
    }
}

/// Returns the calls of all kinds but GETATTR, which the counting itself may send: who works on the mount sends some.
fn changing(rpcs: &Rpcs) -> u64 {
    rpcs.iter().filter(|(name, _)| *name != "GETATTR").map(|(_, calls)| calls).sum()
}

/// Returns how long a round of `slots` units on the NFS mount would take, with a little to spare.
fn as_if_all_were_nfs(worked: &RoundStats, slots: u64) -> Duration {
    Duration::from_secs_f64(1.02 * worked.listing_seconds * slots as f64 / worked.listings.max(1) as f64)
}
