//! One unit: the steps of a scenario, done to the NFS mount, or as nearly as possible to a local directory.

use super::served::Served;
use super::{mount, pressure};
use crate::error::{Context, Error, Result};
use crate::probe::mountstats::{self, Rpcs};
use crate::scenario::{Errno as ExpectedErrno, Pass, Place, Scenario, Step};
use crate::workload::check::{ADDED, Expected};
use crate::workload::listing::{Counts, Failed, Lister, Record};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, PosixFadviseAdvice, open, posix_fadvise};
use nix::sys::stat::{Mode, fstatat};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
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
    pub expected: Expected,
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
            Where::Nfs if pass.from == Place::Middle => self.expected.begin_in_the_middle(),
            Where::Nfs => self.expected.begin(),
            Where::Local => {}
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
            (Ok(_), None) if pass.to == Place::Middle => self.expected.end_early().err(),
            (Ok(_), None) => self.expected.end().err(),
            (Err(failed), Some(errno)) if failed.errno == self::errno(errno) => self.expected.end_early().err(),
            (Err(f), _) => Some(format!("{} failed with {} after {} entries", f.call, f.errno, f.entries)),
        }
    }

    fn pass(&mut self, pass: &Pass, place: Where) -> Result<Listed> {
        let mut cookie = self.cookies[place as usize];
        let from = cookie.filter(|_| pass.from == Place::Middle);
        let half = if from.is_some() { u64::MAX } else { self.scenario.directory.entries / 2 };
        let directory = self.directory(place).to_owned();
        let (mut seen, mut last_seen) = (0, 0);
        let mut trouble = None;
        // The lister and what is expected are lent to the closure, and the rest of us to the steps in the middle.
        let mut lister = std::mem::take(&mut self.lister);
        let mut expected = (place == Where::Nfs).then(|| std::mem::take(&mut self.expected));
        let result = lister.pass(&directory, from, |fd, records| {
            let stop = pass.to == Place::Middle;
            let mut count = 0;
            let mut middle = false;
            for record in records.clone() {
                last_seen = record.cookie;
                if let Some(expected) = &mut expected {
                    expected.see(record.name.to_bytes());
                }
                count += 1;
                if seen + count == half {
                    (middle, cookie) = (true, Some(record.cookie));
                    if let Some(expected) = &mut expected {
                        expected.middle();
                    }
                    if stop {
                        break;
                    }
                }
            }
            if pass.stat {
                stat_each(fd, records.take(count as usize), seen)?;
            }
            seen += count;
            if middle {
                if place == Where::Nfs {
                    self.last_seen = last_seen;
                }
                trouble = pass.middle.iter().try_for_each(|step| self.disturb(step, place)).err();
            }
            let over = (middle && stop) || trouble.is_some();
            Ok((count, if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }))
        });
        self.lister = lister;
        if let Some(expected) = expected {
            self.expected = expected;
        }
        self.cookies[place as usize] = cookie;
        trouble.map_or(Ok(result), Err)
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
        self.expected.begin();
        let expected = &mut self.expected;
        let result = self.lister.list(second, |name| expected.see(name));
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

/// What `ls -l` does to each entry.
fn stat_each<'a>(
    fd: &OwnedFd,
    records: impl Iterator<Item = Record<'a>>,
    before: u64,
) -> std::result::Result<(), Failed> {
    for (number, record) in records.enumerate() {
        fstatat(fd, record.name, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(|errno| Failed {
            call: "stat",
            errno,
            entries: before + number as u64,
        })?;
    }
    Ok(())
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
