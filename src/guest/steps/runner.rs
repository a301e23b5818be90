//! One unit: the steps of a scenario, done to the NFS mount, or as nearly as possible to a local directory.

use super::failing::Failing;
use super::file_work::{DIRS, FileWork};
use super::program::{Programs, WORK};
use super::side::{Listed, Side, seeing};
use crate::agent::target::UnitStats;
use crate::error::{Context, Error, Result};
use crate::guest::nfs_mount;
use crate::guest::outage::Outage;
use crate::guest::server::{Local, RunningServer};
use crate::probe::mountstats::{MountStats, add};
use crate::scenario::step::Pass;
use crate::scenario::{Errno as ExpectedErrno, Scenario, Step};
use crate::workload::check::{ADDED, Check, Inodes, Other, Presence, RENAMED, Seen};
use crate::workload::interrupt::Interrupts;
use crate::workload::listing::Lister;
use crate::workload::listing::entry::ReadMethod;
use crate::workload::listing::processes::Readers;
use crate::workload::syscall_log;
use nfs_fault_server::dirtree::names::scatter;
use nfs_fault_server::dirtree::tree::{Dir, Kind, Tree};
use nix::errno::Errno;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keeps which directory is drawn apart from what else comes of the seed.
const LOT_SALT: u64 = 0x6c6f_7473;

/// Everything that the steps are done to.
pub struct UnitRunner {
    pub scenario: Scenario,
    pub served: RunningServer,
    pub(super) tree: Arc<Tree>,
    pub(super) local: Local,
    pub(super) check: Check,
    /// One for each way of reading that the scenario has.
    pub(super) listers: Vec<(ReadMethod, Lister)>,
    /// Processes that read, by the size of their buffers.
    pub(super) readers: Vec<(usize, Readers)>,
    /// What interrupts passes, once one wants that.
    pub(super) interrupts: Option<Interrupts>,
    /// What the last pass over the NFS mount had seen in the middle.
    pub(super) half: Seen,
    /// The cookie in the middle of the NFS directory and of the local one, as the last pass saw them.
    pub(super) cookies: [Option<i64>; 2],
    /// The cookie of the NFS entry that was seen last.
    pub(super) last_seen: i64,
    /// What is drawn by lot next, on the mount and in the local directory.
    pub(super) lots: [u64; 2],
    /// What a step has taken away and will give back.
    pub(super) outage: Option<Outage>,
    /// The programs that nobody here wrote.
    pub(super) programs: Programs,
    /// The allocation that is to fail.
    pub failing: Failing,
    /// What operations on files need.
    pub(super) file_work: FileWork,
}

impl UnitRunner {
    /// Makes a player of `scenario`, whose directories are `tree`.
    pub fn new(
        scenario: Scenario,
        served: RunningServer,
        tree: Arc<Tree>,
        local: Local,
        inodes: Inodes,
        seed: u64,
    ) -> Self {
        let mut check = Check::new(tree.clone(), Arc::new(inodes));
        let comes_and_goes = Other { presence: Presence::AnyTimes, kind: Kind::File, inode: None };
        for name in [ADDED, RENAMED] {
            check.changes().other(0, name.as_bytes(), comes_and_goes);
        }
        let work = Other { kind: Kind::EmptyDirectory, ..comes_and_goes };
        if scenario.unit.programs().next().is_some() {
            check.changes().other(0, WORK.as_bytes(), work);
        }
        if scenario.unit.file_steps().next().is_some() {
            DIRS.iter().for_each(|dir| check.changes().other(0, dir.as_bytes(), work));
        }
        Self {
            scenario,
            served,
            tree,
            local,
            check,
            listers: Vec::new(),
            readers: Vec::new(),
            interrupts: None,
            half: Seen::default(),
            cookies: [None; 2],
            last_seen: 0,
            lots: [scatter(seed ^ LOT_SALT); 2],
            outage: None,
            programs: Programs::default(),
            failing: Failing::default(),
            file_work: FileWork::new(seed),
        }
    }

    /// Has these programs for `run` steps.
    pub fn with_programs(self, programs: Programs) -> Self {
        Self { programs, ..self }
    }

    /// Makes one unit.
    pub fn run_unit(&mut self, place: Side) -> Result<UnitStats> {
        let mut played = UnitStats::default();
        self.failing.begin_unit(place)?;
        let steps = std::mem::take(&mut self.scenario.unit.steps);
        let result = steps.iter().try_for_each(|step| self.step(step, place, &mut played));
        self.scenario.unit.steps = steps;
        let over = self.outage.take().map_or(Ok(()), Outage::wait);
        result.and(over)?;
        self.failing.end_unit(&mut played)?;
        Ok(played)
    }

    fn step(&mut self, step: &Step, place: Side, played: &mut UnitStats) -> Result<()> {
        syscall_log::record(|| format!("{} {step}", place.as_str()));
        match step {
            Step::List(pass) => self.list(pass, place, played),
            Step::MountCycle => self.mount_cycle(place, played),
            Step::FailNth(fail) if place == Side::Nfs => self.failing.plan(*fail),
            Step::FailNth(_) => Ok(()),
            Step::MountRefused => self.mount_refused(place, played),
            Step::Run(program) => self.run_program(program, place, played),
            Step::Files(steps) => self.work_on_files(steps, place, played),
            other => self.apply_step(other, place),
        }
    }

    /// Ends the processes that read.
    pub fn end_readers(&mut self) {
        self.readers.clear();
    }

    /// Returns the directories of the scenario.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Takes down all mounts.
    pub fn unmount(&self) -> Result<()> {
        (1..=self.scenario.mount.count).rev().try_for_each(|number| nfs_mount::unmount(&nfs_mount::point(number)))
    }

    /// Returns the first directory of a mount, or of control rounds.
    pub(super) fn root(&self, place: Side, number: u32) -> PathBuf {
        match place {
            Side::Nfs => nfs_mount::point(number),
            Side::Local => self.local.root.clone(),
        }
    }

    pub(super) fn tree_of(&self, place: Side) -> &Arc<Tree> {
        match place {
            Side::Nfs => &self.tree,
            Side::Local => &self.local.tree,
        }
    }

    /// Returns what was wrong with a pass over the NFS mount, whose check says `complete` of it.
    pub(super) fn wrong(&self, pass: &Pass, result: &Listed, check: &Check, complete: bool) -> Option<String> {
        if pass.server_lies {
            return None;
        }
        if result.is_err() && self.failing.has_failed() {
            // Whoever is refused memory may end a listing early, and must say so.
            return check.end_early().err();
        }
        let expected = pass.expected_error.map(errno);
        match (result, expected) {
            (Ok(_), Some(errno)) => Some(format!("a listing that was to end with {errno} went through")),
            (Ok(_), None) if complete => check.end().err(),
            (Ok(_), None) => check.end_early().err(),
            (Err(failed), Some(errno)) if failed.errno == errno => check.end_early().err(),
            (Err(failed), _) => Some(failed.to_string()),
        }
    }

    /// Mounts the export a second time, lists it and unmounts it; a tmpfs in control rounds.
    fn mount_cycle(&mut self, place: Side, played: &mut UnitStats) -> Result<()> {
        let second = Path::new(nfs_mount::SECOND);
        let way = self.way(&Pass::default());
        if place == Side::Local {
            nfs_mount::mount_local(second)?;
            let listed = self.with_lister(way, |_, lister| lister.list(second, |_| ())).map_err(|f| f.errno);
            listed.machine(|| format!("cannot list {}", nfs_mount::SECOND))?;
            return nfs_mount::unmount(second);
        }
        let mounted = self.while_failing(|us| us.served.mount_again(&us.scenario))?;
        if mounted.is_err() && self.failing.has_failed() {
            *played.failures.errors.entry("mount".into()).or_default() += 1;
            return Ok(());
        }
        mounted?;
        self.check.begin(Dir::Node(0));
        let result = self
            .with_lister(way, |us, lister| us.while_failing(|us| lister.list_while(second, seeing(&mut us.check))))?;
        self.note_failed(&result, played);
        played.getdents_calls += result.as_ref().map_or(0, |counts| counts.getdents_calls);
        let wrong = self.wrong(&Pass::default(), &result, &self.check, true);
        played.broken = played.broken.take().or(wrong);
        add(&mut played.rpcs, &MountStats::own()?.rpcs(second)?);
        nfs_mount::unmount(second)
    }

    fn mount_refused(&mut self, place: Side, played: &mut UnitStats) -> Result<()> {
        if place == Side::Local {
            return match nfs_mount::mount_local(Path::new("/no-such-directory")) {
                Ok(()) => Err(Error::machine("a file system was mounted on a directory that does not exist")),
                Err(_) => Ok(()),
            };
        }
        match self.served.mount_what_is_refused(&self.scenario) {
            Ok(()) => {
                let went_through = "a mount that the server was to refuse went through".to_owned();
                played.broken = played.broken.take().or(Some(went_through));
                nfs_mount::unmount(Path::new(nfs_mount::SECOND))
            }
            Err(_) => {
                played.refused_mounts += 1;
                Ok(())
            }
        }
    }
}

fn errno(errno: ExpectedErrno) -> Errno {
    match errno {
        ExpectedErrno::Eio => Errno::EIO,
        ExpectedErrno::Eacces => Errno::EACCES,
        ExpectedErrno::Einval => Errno::EINVAL,
        ExpectedErrno::Estale => Errno::ESTALE,
        ExpectedErrno::Enoent => Errno::ENOENT,
        ExpectedErrno::Eloop => Errno::ELOOP,
        ExpectedErrno::Eremoteio => Errno::EREMOTEIO,
        ExpectedErrno::Etimedout => Errno::ETIMEDOUT,
    }
}
