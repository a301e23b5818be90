//! Listings that are timed: in which state the caches are before each, and what it took.

mod changes;
mod footprint;

pub use footprint::Footprint;

use super::link::SerialLink;
use super::mount;
use super::player::Side;
use super::protocol::Response;
use super::worker::GuestAgent;
use crate::error::{Error, Result};
use crate::probe::mountstats::{self, Operations};
use crate::probe::procfs::{self, Busy};
use crate::scenario::{DirSelector, Pass, Shape, Step};
use crate::worker::wait_until;
use crate::workload::listing::timed::{self, ReadOptions, Timed};
use changes::Changes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the host hears when the clock of a listing is about to run.
pub const BEGINS: &str = "the listing begins";
/// Attributes are waited for this much longer than they are good for.
const OVERDUE: Duration = Duration::from_secs(1);

/// How directory and attributes stand in the client's caches when a listing begins.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CacheState {
    /// Nothing is cached: page cache, dentries and inodes were dropped, the server's as well.
    Cold,
    /// The directory was just listed, and the attributes are good.
    Warm,
    /// The directory is cached, and all attributes have timed out.
    Expired,
    /// The same, and the directory was changed since and changes while it is listed.
    Changing,
}

impl CacheState {
    /// In the order in which each leaves behind what the next one needs.
    pub const ALL: [Self; 4] = [Self::Cold, Self::Warm, Self::Expired, Self::Changing];

    /// The word in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Warm => "warm",
            Self::Expired => "expired",
            Self::Changing => "changing",
        }
    }
}

/// What one listing took, by the guest's clock.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct TimedListing {
    pub state: CacheState,
    pub seconds: f64,
    pub first_entry_seconds: f64,
    /// `.` and `..` not counted.
    pub entries: u64,
    pub directories: u64,
    /// Of the records that getdents64 brought.
    pub getdents_bytes: u64,
    pub getdents: Latencies,
    /// What the mount sent and received.
    pub operations: Operations,
    /// Processor time that the listing thread spent in the kernel.
    pub thread_system_seconds: f64,
    /// Processor time of the whole guest, in ticks of 10 ms.
    pub guest: Busy,
    /// How often the directory was changed meanwhile.
    pub changes: u64,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Latencies {
    pub calls: u64,
    pub median_seconds: f64,
    pub p99_seconds: f64,
    pub max_seconds: f64,
}

impl Latencies {
    fn from_calls(mut calls: Vec<Duration>) -> Self {
        calls.sort_unstable();
        let at = |share: f64| {
            let place = (share * calls.len() as f64).ceil() as usize;
            calls.get(place.clamp(1, calls.len().max(1)) - 1).map_or(0.0, Duration::as_secs_f64)
        };
        Self { calls: calls.len() as u64, median_seconds: at(0.5), p99_seconds: at(0.99), max_seconds: at(1.0) }
    }
}

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
        let point = mount::point(pass.mount);
        let course = self.read_options(&pass);
        let mut changes = Changes::new(&pass, state, self.measuring.place.tree().entries(), course.walk);
        link.step(BEGINS, 0.0)?;
        let (operations, thread, guest) =
            (mountstats::operations(&point)?, procfs::thread_system_seconds()?, procfs::busy()?);
        let player = &mut self.measuring.place;
        let timed = timed::list(&root, course, |entries| {
            changes.due(entries).into_iter().try_for_each(|step| player.apply_step(&step, Side::Nfs))
        })?;
        let (thread, guest) = (procfs::thread_system_seconds()? - thread, procfs::busy()?.since(guest));
        let operations = mountstats::operations_since(&operations, &mountstats::operations(&point)?);
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
                mount::ask_for_attributes(&mount::point(self.pass().0.mount))
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
        let options = mountstats::options(&mount::point(self.pass().0.mount))?;
        wait_until(Instant::now() + longest_timeout(&options) + OVERDUE)?;
        Ok(())
    }

    /// The pass that is timed, and the directory that it reads.
    fn pass(&self) -> (Pass, PathBuf) {
        let pass = self.measuring.place.scenario.unit.passes().next().cloned().unwrap_or_default();
        let root = mount::point(pass.mount);
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

/// The longest of the mount's attribute time-outs.
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
    fn the_longest_time_out_is_waited_for() {
        assert_eq!(longest_timeout("rw,acregmin=3,acregmax=60,acdirmin=30,acdirmax=61,hard"), Duration::from_secs(61));
        assert_eq!(longest_timeout("rw,vers=3"), Duration::ZERO);
    }
}
