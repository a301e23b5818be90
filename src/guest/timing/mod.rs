//! Listings that are timed: in which state the caches are before each, and what it took.

mod changes;
mod footprint;

use super::agent::GuestAgent;
use super::nfs_mount;
use super::serial::SerialLink;
use super::steps::side::Side;
use crate::agent::round::wait_until;
use crate::error::{Error, Result};
use crate::probe::mountstats::{MountStats, operations_since};
use crate::probe::procfs;
use crate::protocol::message::Response;
use crate::protocol::timing::{BEGINS, CacheState, Latencies, TimedListing};
use crate::scenario::step::Pass;
use crate::scenario::{DirSelector, Step};
use crate::workload::listing::timed::{self, ReadOptions, Timed};
use changes::Changes;
use nfs_fault_server::dirtree::spec::Shape;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Attributes are waited for this much longer than they are good for.
const OVERDUE: Duration = Duration::from_secs(1);

impl GuestAgent {
    /// Makes and times a listing in each state; all but the last answer are sent by this.
    pub(in crate::guest) fn time(&mut self, states: &[CacheState], link: &mut SerialLink) -> Result<Response> {
        let (last, others) = states.split_last().ok_or_else(|| Error::machine("no state to time a listing in"))?;
        if states.first() != Some(&CacheState::Cold) {
            self.prime()?;
        }
        for state in others {
            let listing = self.time_one(*state, link)?;
            link.send(&Response::Timed(listing))?;
        }
        self.time_one(*last, link).map(Response::Timed)
    }

    fn time_one(&mut self, state: CacheState, link: &mut SerialLink) -> Result<TimedListing> {
        self.prepare(state)?;
        let (pass, root) = self.pass();
        let point = nfs_mount::point(pass.mount);
        let course = self.read_options(&pass);
        let mut changes = Changes::new(&pass, state, self.measuring.place.tree().entries(), course.walk);
        link.step(BEGINS, 0.0)?;
        let (operations, thread, guest) =
            (MountStats::own()?.operations(&point)?, procfs::thread_system_seconds()?, procfs::busy()?);
        let player = &mut self.measuring.place;
        let timed = timed::list(&root, course, |entries| {
            changes.due(entries).into_iter().try_for_each(|step| player.apply_step(&step, Side::Nfs))
        })?;
        let (thread, guest) = (procfs::thread_system_seconds()? - thread, procfs::busy()?.since(guest));
        let operations = operations_since(&operations, &MountStats::own()?.operations(&point)?);
        let done = changes.done;
        if state == CacheState::Changing {
            self.measuring.place.apply_step(&Step::Remove, Side::Nfs)?;
        }
        let Timed { time, first_entry, calls, entries, directories, bytes } = timed;
        Ok(TimedListing {
            state,
            seconds: time.as_secs_f64(),
            first_entry_seconds: first_entry.as_secs_f64(),
            entries,
            directories,
            getdents_bytes: bytes,
            getdents: Latencies::from_calls(calls),
            operations,
            thread_system_seconds: thread,
            guest,
            changes: done,
        })
    }

    /// Lists once, so that everything is cached.
    fn prime(&mut self) -> Result<()> {
        self.let_attributes_expire()?;
        let (pass, root) = self.pass();
        timed::list(&root, self.read_options(&pass), |_| Ok(())).map(drop)
    }

    /// Brings the caches into a state, from the one that is before it in [`CacheState::ALL`].
    fn prepare(&mut self, state: CacheState) -> Result<()> {
        match state {
            CacheState::Cold => {
                self.measuring.rest.read_once()?;
                // A connection that was idle for long is closed; opening it again is no part of a listing.
                nfs_mount::ask_for_attributes(&nfs_mount::point(self.pass().0.mount))
            }
            CacheState::Warm => Ok(()),
            CacheState::Expired => self.let_attributes_expire(),
            CacheState::Changing => {
                self.let_attributes_expire()?;
                let change = if self.is_walk() { Step::Touch } else { Step::Add };
                self.measuring.place.apply_step(&change, Side::Nfs)
            }
        }
    }

    /// Waits until no attribute is good any more.
    fn let_attributes_expire(&self) -> Result<()> {
        let options = MountStats::own()?.options(&nfs_mount::point(self.pass().0.mount))?;
        wait_until(Instant::now() + longest_timeout(&options) + OVERDUE)?;
        Ok(())
    }

    /// Returns the pass that is timed, and the directory that it reads.
    fn pass(&self) -> (Pass, PathBuf) {
        let pass = self.measuring.place.scenario.unit.passes().next().cloned().unwrap_or_default();
        let root = nfs_mount::point(pass.mount);
        (pass, root)
    }

    fn is_walk(&self) -> bool {
        self.pass().0.of == DirSelector::All && self.measuring.place.scenario.directory.shape != Shape::Flat
    }

    fn read_options(&self, pass: &Pass) -> ReadOptions {
        let buffer_bytes =
            pass.getdents_buffer_bytes.unwrap_or(self.measuring.place.scenario.listing.getdents_buffer_bytes);
        ReadOptions { buffer_bytes, stat: pass.stat, walk: self.is_walk() }
    }
}

/// Returns the longest of the mount's attribute time-outs.
fn longest_timeout(options: &str) -> Duration {
    let timeouts = ["acregmin=", "acregmax=", "acdirmin=", "acdirmax="];
    let seconds = options.split(',').filter_map(|o| timeouts.iter().find_map(|t| o.strip_prefix(t))?.parse().ok());
    Duration::from_secs(seconds.max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_those_that_were_seen() {
        let milliseconds = |n: Vec<u64>| n.into_iter().map(Duration::from_millis).collect();
        let latencies = Latencies::from_calls(milliseconds((1..=200).rev().collect()));
        assert_eq!((latencies.calls, latencies.median_seconds), (200, 0.1));
        assert_eq!((latencies.p99_seconds, latencies.max_seconds), (0.198, 0.2));
        let one = Latencies::from_calls(milliseconds(vec![7]));
        assert_eq!((one.median_seconds, one.p99_seconds, one.max_seconds), (0.007, 0.007, 0.007));
        assert_eq!(Latencies::from_calls(Vec::new()), Latencies::default());
    }

    #[test]
    fn longest_time_out_is_waited_for() {
        assert_eq!(longest_timeout("rw,acregmin=3,acregmax=60,acdirmin=30,acdirmax=61,hard"), Duration::from_secs(61));
        assert_eq!(longest_timeout("rw,vers=3"), Duration::ZERO);
    }
}
