//! The steps that can be done while a directory is open: to caches, to the server, to the network.

use super::runner::UnitRunner;
use super::side::Side;
use crate::error::{Context, Error, Result};
use crate::guest::outage::Outage;
use crate::guest::{file_churn, memory_pressure, nfs_mount};
use crate::scenario::Step;
use crate::workload::check::ADDED;
use crate::workload::listing;
use nix::errno::Errno;
use std::fs;
use std::time::Duration;

impl UnitRunner {
    pub(in crate::guest) fn apply_step(&mut self, step: &Step, place: Side) -> Result<()> {
        match (step, place) {
            (Step::DropPages, _) => drop_caches("1"),
            (Step::DropDentries, _) => drop_caches("2"),
            (Step::DropAll, _) => drop_caches("3"),
            (Step::Evict, _) => listing::evict(&self.root(place, 1)),
            (Step::Reclaim, _) => memory_pressure::reclaim(),
            // What a server does has no counterpart in a local directory.
            (_, Side::Local) => Ok(()),
            (Step::Touch, Side::Nfs) => self.served.touch(&self.tree),
            (Step::Add, Side::Nfs) => self.served.add(),
            (Step::Rename, Side::Nfs) => self.served.rename(),
            (Step::Remove, Side::Nfs) => self.served.remove(),
            (Step::AddBy(mount), Side::Nfs) => file_churn::add(&nfs_mount::point(*mount)),
            (Step::RenameBy(mount), Side::Nfs) => file_churn::rename(&nfs_mount::point(*mount)),
            (Step::RemoveBy(mount), Side::Nfs) => file_churn::remove(&nfs_mount::point(*mount)),
            (Step::Fail(error), Side::Nfs) => self.served.fail(*error),
            (Step::Fault(fault), Side::Nfs) => self.served.arm(*fault),
            (Step::TouchInReply, Side::Nfs) => self.served.touch_in_reply(),
            (Step::RemoveSeen, Side::Nfs) => self.served.remove_entry(self.last_seen),
            (Step::Restore, Side::Nfs) => self.served.restore_entry(),
            (Step::HideHandles, Side::Nfs) => self.served.hide_handles(),
            (Step::Miss, Side::Nfs) => miss(),
            (Step::RestartServer(ms), Side::Nfs) => {
                let server = self.served.stop()?;
                self.begin(Outage::new(milliseconds(*ms), move || server.start_again()))
            }
            (Step::CutLink(ms), Side::Nfs) => {
                nfs_mount::loopback(false)?;
                self.begin(Outage::new(milliseconds(*ms), || nfs_mount::loopback(true)))
            }
            (
                Step::List(_)
                | Step::MountCycle
                | Step::MountRefused
                | Step::Run(_)
                | Step::Files(_)
                | Step::FailNth(_),
                Side::Nfs,
            ) => {
                unreachable!("scenarios are checked for this")
            }
        }
    }

    /// Begins an outage when the last one is over: there is one at a time.
    fn begin(&mut self, outage: Result<Outage>) -> Result<()> {
        let last = self.outage.replace(outage?);
        last.map_or(Ok(()), Outage::wait)
    }
}

fn milliseconds(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// Leaves a negative dentry: what the client remembers of a name that is not there.
fn miss() -> Result<()> {
    let path = nfs_mount::point(1).join(ADDED);
    match nix::sys::stat::lstat(&path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e).machine(|| format!("cannot look at {}", path.display())),
        Ok(_) => Err(Error::machine(format!("{} is there before it was added", path.display()))),
    }
}

fn drop_caches(what: &str) -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", what).machine(|| "cannot drop caches".into())
}
