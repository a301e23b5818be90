//! One unit: the steps of a scenario, done to the NFS mount, or as nearly as possible to a local directory.

use super::served::Served;
use super::{mount, pressure};
use crate::error::{Context, Error, Result};
use crate::probe::mountstats::{self, Rpcs};
use crate::scenario::{Errno as ExpectedErrno, Pass, Place, Scenario, Step};
use crate::workload::check::{ADDED, Check, Seen};
use crate::workload::listing::reading::Stands;
use crate::workload::listing::{Counts, Failed, Lister, Stat, Way};
use crate::workload::tree::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, PosixFadviseAdvice, open, posix_fadvise};
use nix::sys::stat::Mode;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// How a pass went, as far as the kernel is concerned.
type Listed = std::result::Result<Counts, Failed>;

/// Where a unit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// On the NFS mount.
    Nfs,
    /// In the local directory of control rounds.
    Local,
}

/// What one unit did.
#[derive(Debug, Default)]
pub struct Played {
    /// getdents64 calls.
    pub getdents_calls: u64,
    /// What second mounts sent.
    pub rpcs: Rpcs,
    /// Mounts that the server refused.
    pub refused_mounts: u64,
    /// What was wrong with a listing, if one was.
    pub broken: Option<String>,
}

/// Everything that the steps are done to.
pub struct Player {
    pub scenario: Scenario,
    pub served: Served,
    pub lister: Lister,
    pub check: Check,
    /// What the last pass over the NFS mount had seen in the middle.
    pub half: Seen,
    pub local: PathBuf,
    /// The cookie in the middle of the NFS directory and of the local one, as the last pass saw them.
    pub cookies: [Option<i64>; 2],
    /// The cookie of the NFS entry that was seen last.
    pub last_seen: i64,
}

impl Player {
    /// Makes one unit.
    pub fn play(&mut self, place: Where) -> Result<Played> {
        let mut played = Played::default();
        let steps = std::mem::take(&mut self.scenario.unit.steps);
        let result = steps.iter().try_for_each(|step| self.step(step, place, &mut played));
        self.scenario.unit.steps = steps;
        result.map(|()| played)
    }

    fn step(&mut self, step: &Step, place: Where, played: &mut Played) -> Result<()> {
        match step {
            Step::List(pass) => self.list(pass, place, played),
            Step::MountCycle => self.mount_cycle(place, played),
            Step::MountRefused => self.mount_refused(place, played),
            other => self.disturb(other, place),
        }
    }

    /// The steps that can also be done while the directory is open.
    fn disturb(&self, step: &Step, place: Where) -> Result<()> {
        match (step, place) {
            (Step::DropPages, _) => drop_caches("1"),
            (Step::DropDentries, _) => drop_caches("2"),
            (Step::DropAll, _) => drop_caches("3"),
            (Step::Evict, _) => evict(self.directory(place)),
            (Step::Reclaim, _) => pressure::reclaim(),
            (Step::Touch, Where::Nfs) => self.served.touch(),
            (Step::Add, Where::Nfs) => self.served.add(),
            (Step::Remove, Where::Nfs) => self.served.remove(),
            (Step::Fail(error), Where::Nfs) => self.served.fail(*error),
            (Step::TouchInReply, Where::Nfs) => self.served.touch_in_reply(),
            (Step::RemoveSeen, Where::Nfs) => self.served.remove_entry(self.last_seen),
            (Step::Restore, Where::Nfs) => self.served.restore_entry(),
            (Step::HideHandles, Where::Nfs) => self.served.hide_handles(),
            (Step::Miss, Where::Nfs) => miss(),
            // What a server does has no counterpart in a local directory.
            (_, Where::Local) => Ok(()),
            (Step::List(_) | Step::MountCycle | Step::MountRefused, Where::Nfs) => {
                unreachable!("scenarios are checked for this")
            }
        }
    }

    fn directory(&self, place: Where) -> &Path {
        match place {
            Where::Nfs => Path::new(mount::POINT),
            Where::Local => &self.local,
        }
    }

    /// One pass, checked if it is of the NFS mount.
    fn list(&mut self, pass: &Pass, place: Where, played: &mut Played) -> Result<()> {
        match place {
            Where::Nfs => self.check.begin(Dir::Node(0)),
            Where::Local => {}
        }
        if place == Where::Nfs && pass.from == Place::Middle {
            self.check.resume(&self.half);
        }
        let result = self.pass(pass, place)?;
        if place == Where::Local {
            return result.map(|_| ()).map_err(|f| f.errno).machine(|| format!("cannot list {}", self.local.display()));
        }
        played.getdents_calls += result.as_ref().map_or(0, |counts| counts.getdents_calls);
        let wrong = self.wrong(pass, &result);
        played.broken = played.broken.take().or(wrong);
        Ok(())
    }

    /// What was wrong with a pass over the NFS mount.
    fn wrong(&self, pass: &Pass, result: &Listed) -> Option<String> {
        match (result, pass.fails) {
            (Ok(_), Some(errno)) => Some(format!("a listing that was to end with {} went through", self::errno(errno))),
            (Ok(_), None) if pass.to == Place::Middle => self.check.end_early().err(),
            (Ok(_), None) => self.check.end().err(),
            (Err(failed), Some(errno)) if failed.errno == self::errno(errno) => self.check.end_early().err(),
            (Err(failed), _) => Some(failed.to_string()),
        }
    }

    fn pass(&mut self, pass: &Pass, place: Where) -> Result<Listed> {
        let cookie = self.cookies[place as usize].filter(|_| pass.from == Place::Middle);
        // The lister is lent to the reading, and the rest of us to the steps in the middle.
        let mut lister = std::mem::replace(&mut self.lister, Lister::new(Way::getdents(0)));
        lister.set_stat(if pass.stat { Stat::Fstatat } else { Stat::Nothing });
        let result = self.read(&mut lister, pass, place, cookie);
        self.lister = lister;
        result
    }

    fn read(&mut self, lister: &mut Lister, pass: &Pass, place: Where, cookie: Option<i64>) -> Result<Listed> {
        let half = if cookie.is_some() { u64::MAX } else { self.scenario.directory.entries / 2 };
        let stop = pass.to == Place::Middle;
        let mut reading = match lister.open(self.directory(place)) {
            Ok(reading) => reading,
            Err(failed) => return Ok(Err(failed)),
        };
        if let Some(Err(failed)) = cookie.map(|cookie| reading.seek(cookie)) {
            return Ok(Err(failed));
        }
        let mut seen = 0;
        loop {
            let (mut middle, mut last_seen, mut lost) = (false, 0, None);
            let stands = reading.step(|record| {
                if let Some(Err(errno)) = record.stat {
                    lost = Some(Failed { call: "stat", errno, entries: seen });
                    return ControlFlow::Break(());
                }
                last_seen = record.cookie;
                if place == Where::Nfs {
                    self.check.see(record);
                }
                seen += 1;
                if seen == half {
                    middle = true;
                    self.cookies[place as usize] = Some(record.cookie);
                    if place == Where::Nfs {
                        self.half = self.check.mark();
                    }
                }
                if seen == half && stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let stands = match (stands, lost) {
                (Err(failed), _) | (Ok(_), Some(failed)) => return Ok(Err(failed)),
                (Ok(stands), None) => stands,
            };
            if middle {
                if place == Where::Nfs {
                    self.last_seen = last_seen;
                }
                pass.middle.iter().try_for_each(|step| self.disturb(step, place))?;
            }
            if stands != Stands::Open {
                return Ok(Ok(reading.counts()));
            }
        }
    }

    /// A second mount of the export, listed and unmounted; of a tmpfs in control rounds.
    fn mount_cycle(&mut self, place: Where, played: &mut Played) -> Result<()> {
        let second = Path::new(mount::SECOND);
        if place == Where::Local {
            mount::mount_local(mount::SECOND)?;
            let listed = self.lister.list(second, |_| ()).map_err(|f| f.errno);
            listed.machine(|| format!("cannot list {}", mount::SECOND))?;
            return mount::unmount(mount::SECOND);
        }
        self.served.mount_again(&self.scenario)?;
        self.check.begin(Dir::Node(0));
        let check = &mut self.check;
        let result = self.lister.list(second, |record| _ = check.see(record));
        played.getdents_calls += result.as_ref().map_or(0, |counts| counts.getdents_calls);
        let wrong = self.wrong(&Pass::default(), &result);
        played.broken = played.broken.take().or(wrong);
        for (name, calls) in mountstats::read(mount::SECOND)? {
            *played.rpcs.entry(name).or_default() += calls;
        }
        mount::unmount(mount::SECOND)
    }

    fn mount_refused(&mut self, place: Where, played: &mut Played) -> Result<()> {
        if place == Where::Local {
            return match mount::mount_local("/no-such-directory") {
                Ok(()) => Err(Error::machine("a file system was mounted on a directory that does not exist")),
                Err(_) => Ok(()),
            };
        }
        match self.served.mount_what_is_refused(&self.scenario) {
            Ok(()) => {
                let went_through = "a mount that the server was to refuse went through".to_owned();
                played.broken = played.broken.take().or(Some(went_through));
                mount::unmount(mount::SECOND)
            }
            Err(_) => {
                played.refused_mounts += 1;
                Ok(())
            }
        }
    }
}

/// Leaves a negative dentry: what the client remembers of a name that is not there.
fn miss() -> Result<()> {
    let path = Path::new(mount::POINT).join(ADDED);
    match nix::sys::stat::lstat(&path) {
        Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e).machine(|| format!("cannot look at {}", path.display())),
        Ok(_) => Err(Error::machine(format!("{} is there before it was added", path.display()))),
    }
}

fn drop_caches(what: &str) -> Result<()> {
    std::fs::write("/proc/sys/vm/drop_caches", what).machine(|| "cannot drop caches".into())
}

fn evict(directory: &Path) -> Result<()> {
    let cannot = || format!("cannot evict the pages of {}", directory.display());
    let fd = open(directory, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).machine(cannot)?;
    posix_fadvise(&fd, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).machine(cannot)
}

fn errno(errno: ExpectedErrno) -> Errno {
    match errno {
        ExpectedErrno::Eio => Errno::EIO,
        ExpectedErrno::Eacces => Errno::EACCES,
        ExpectedErrno::Estale => Errno::ESTALE,
        ExpectedErrno::Enoent => Errno::ENOENT,
    }
}
