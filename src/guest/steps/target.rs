//! The mount and the local directory of a guest, as the orders that measure know them.

use super::runner::UnitRunner;
use super::side::Side;
use crate::agent::target::{Target, UnitStats};
use crate::error::Result;
use crate::guest::nfs_mount;
use crate::probe::mountstats::{MountStats, Rpcs, add};
use crate::protocol::message::MOST_LISTED_PLAINLY;
use crate::scenario::step::Pass;
use crate::scenario::{self, Step, Unit};
use nfs_fault_server::FaultCount;
use std::collections::BTreeMap;
use std::path::Path;

/// A getdents buffer that any name fits.
const PLAIN_BUFFER_BYTES: usize = 280;

impl UnitRunner {
    /// Makes one unit of other steps than the scenario's, on the NFS mount.
    pub fn run_steps(&mut self, steps: Vec<Step>) -> Result<UnitStats> {
        let unit = std::mem::replace(&mut self.scenario.unit, Unit { steps, ..Unit::default() });
        let played = self.run_unit(Side::Nfs);
        self.scenario.unit = unit;
        played
    }

    /// Adds up what is counted of all mounts; those that share a superblock count together.
    fn sum_of_mounts(&self, count: impl Fn(&MountStats, &Path) -> Result<Rpcs>) -> Result<Rpcs> {
        let mut sum = Rpcs::new();
        let mut counted = Vec::new();
        for number in 1..=self.scenario.mount.count {
            let point = nfs_mount::point(number);
            // The attributes of the mount's root are asked for again where actimeo=0; the device number is the client's own.
            let device = nfs_mount::device(&point)?;
            if counted.contains(&device) {
                continue;
            }
            counted.push(device);
            add(&mut sum, &count(MountStats::own()?, &point)?);
        }
        Ok(sum)
    }
}

impl Target for UnitRunner {
    fn unit_name(&self) -> &str {
        &self.scenario.unit.name
    }

    fn list_nfs(&mut self) -> Result<UnitStats> {
        self.run_unit(Side::Nfs)
    }

    fn list_local(&mut self) -> Result<()> {
        self.run_unit(Side::Local).map(drop)
    }

    fn list_plainly(&mut self) -> Result<UnitStats> {
        let buffer = self.scenario.listing.getdents_buffer_bytes.max(PLAIN_BUFFER_BYTES);
        let is_larger = self.scenario.directory.entries > MOST_LISTED_PLAINLY;
        let to = if is_larger { scenario::Position::After(MOST_LISTED_PLAINLY) } else { scenario::Position::Outside };
        let plain = Pass { getdents_buffer_bytes: Some(buffer), to, ..Pass::default() };
        self.run_steps(vec![Step::Touch, Step::List(plain)])
    }

    /// Has the server forget the replies that it keeps for calls that may come again.
    fn let_go(&self) -> Result<()> {
        if self.scenario.writes() || self.scenario.unit.works() { self.served.forget_replies() } else { Ok(()) }
    }

    fn rpcs(&self) -> Result<Rpcs> {
        self.sum_of_mounts(MountStats::rpcs)
    }

    fn failed_rpcs(&self) -> Result<Rpcs> {
        self.sum_of_mounts(MountStats::failed_rpcs)
    }

    fn left_out(&self) -> Vec<String> {
        self.file_work.left_out.iter().cloned().collect()
    }

    fn entries(&self) -> u64 {
        self.scenario.directory.entries
    }

    fn name_allocations(&self) -> Vec<(u64, u64)> {
        let mut lengths: BTreeMap<u64, u64> = BTreeMap::new();
        let names = self.tree.names();
        let mut name = Vec::new();
        for number in 0..self.tree.all_entries() {
            name.clear();
            names.write(number, &mut name);
            *lengths.entry(name.len() as u64 + 1).or_default() += 1;
        }
        lengths.into_iter().collect()
    }

    fn faults(&self) -> Vec<FaultCount> {
        self.served.faults()
    }
}
