//! Where units are made: a mount that is listed, and a local directory for control rounds.

use crate::error::Result;
use crate::probe::mountstats::Rpcs;
use crate::protocol::message::FailureStats;
use nfs_fault_server::FaultCount;

/// What one unit did.
#[derive(Debug, Default)]
pub struct UnitStats {
    /// getdents64 calls.
    pub getdents_calls: u64,
    /// What second mounts sent.
    pub rpcs: Rpcs,
    /// Mounts that the server refused.
    pub refused_mounts: u64,
    /// Signals that interrupted readers.
    pub signals: u64,
    /// Programs that ran.
    pub programs: u64,
    /// Processes that they left behind.
    pub left_processes: u64,
    /// What failed on purpose: one allocation at most.
    pub failures: FailureStats,
    /// Operations on files.
    pub operations: u64,
    /// What was wrong with a listing or a program, if one was.
    pub broken: Option<String>,
}

/// A mount and a local directory that units are made on.
pub trait Target {
    /// Returns what a unit is called.
    fn unit_name(&self) -> &str;

    /// Makes one unit on the NFS mount.
    fn list_nfs(&mut self) -> Result<UnitStats>;

    /// Makes the same, as nearly as possible, in the local directory.
    fn list_local(&mut self) -> Result<()>;

    /// Makes one plain cold listing of the NFS mount, to [`crate::protocol::message::MOST_LISTED_PLAINLY`] entries.
    fn list_plainly(&mut self) -> Result<UnitStats>;

    /// Lets go of what units left in caches that nothing else does, where whoever reads drops none.
    fn let_go(&self) -> Result<()> {
        Ok(())
    }

    /// Returns how many calls of each kind the mount has sent so far.
    fn rpcs(&self) -> Result<Rpcs>;

    /// Returns how many of each kind of them failed; nothing where that is not counted.
    fn failed_rpcs(&self) -> Result<Rpcs> {
        Ok(Rpcs::new())
    }

    /// Returns the operations on files that could not be done in the local directory.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns how many entries the directory has.
    fn entries(&self) -> u64;

    /// Returns the lengths of allocations that hold names, and how many names have each.
    fn name_allocations(&self) -> Vec<(u64, u64)>;

    /// Returns what the server was told to do wrong.
    fn faults(&self) -> Vec<FaultCount> {
        Vec::new()
    }
}

/// Hears what is being done, and for how many seconds already.
pub type StepCallback<'a> = &'a mut dyn FnMut(&str, f64) -> Result<()>;
