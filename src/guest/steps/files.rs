//! Operations on files as a step, in a directory of the mount or of control rounds, and what they must have left.

use super::file_item::Item;
use super::file_work::DIRS;
use super::runner::UnitRunner;
use super::side::Side;
use crate::agent::target::UnitStats;
use crate::error::{Context, Error, Result};
use crate::scenario::files::{Each, FileOp, FileSteps};
use crate::workload::file_ops::action::{AclKind, Action};
use crate::workload::file_ops::buffers::Buffers;
use crate::workload::file_ops::expect::Expected;
use crate::workload::file_ops::item_name::item_name;
use crate::workload::progress;
use nfs_fault_server::dirtree::names::scatter;
use nix::errno::Errno;
use nix::sys::resource::{Resource, setrlimit};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Keeps what is drawn apart from what else comes of the seed.
const LOT_SALT: u64 = 0x6669_6c65_732d_6472;
/// Files that drawn operations leave open of one name.
const MOST_DRAWN_OPEN: usize = 8;
/// Open files of this process: a little more than scenarios may ask for.
const MOST_OPEN: u64 = 32_768;
/// A file that was removed while it was open goes from the server when the client's thread has come to it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The names that the client gives to such files (nfs_sillyrename in fs/nfs/unlink.c).
const SILLY: &str = ".nfs";

/// One step while it is done.
pub(super) struct Course<'a> {
    steps: &'a FileSteps,
    pub(super) place: Side,
    /// The directory by the number of the mount, the first at 0.
    dirs: Vec<PathBuf>,
    /// The same directory as the server has it.
    served: PathBuf,
    items: Vec<Item>,
    pub(super) buffers: &'a mut Buffers,
    pub(super) left_out: &'a mut BTreeSet<String>,
    operations: u64,
}

/// What was wrong, in a sentence.
pub(super) type Wrong = std::result::Result<(), String>;

impl UnitRunner {
    /// Does the operations of a step, compares what they left with what must be there, and leaves the directory empty.
    pub(super) fn work_on_files(&mut self, steps: &FileSteps, place: Side, played: &mut UnitStats) -> Result<()> {
        let mut work = std::mem::take(&mut self.file_work);
        let unit = work.units[place as usize] + 1;
        work.units[place as usize] = unit;
        if unit == 1 {
            self.make_dir_of_files(place)?;
        }
        let dirs = (1..=self.scenario.mount.count).map(|number| self.root(place, number).join(DIRS[place as usize]));
        let mut course = Course {
            steps,
            place,
            dirs: dirs.collect(),
            served: self.local.root.join(DIRS[place as usize]),
            items: (1..=steps.count)
                .map(|number| Item::new(item_name(number, steps.name_bytes as usize, work.seed), u64::from(number)))
                .collect(),
            buffers: &mut work.buffers,
            left_out: &mut work.left_out,
            operations: 0,
        };
        let lot = scatter(work.seed ^ LOT_SALT).wrapping_add(unit);
        let wrong = course.run(lot).err();
        let shown = course.dirs[0].display().to_string();
        played.operations += course.operations;
        if wrong.is_some() {
            course.purge()?;
        }
        self.file_work = work;
        match (wrong.map(|wrong| format!("{wrong} (unit {unit}, in {shown})")), place) {
            (Some(wrong), Side::Local) => Err(Error::machine(format!(
                "in the local directory of control rounds, where the same is done, {wrong}"
            ))),
            (wrong, _) => {
                played.broken = played.broken.take().or(wrong);
                Ok(())
            }
        }
    }

    fn make_dir_of_files(&self, place: Side) -> Result<()> {
        // Each operation may leave a file open.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, MOST_OPEN, MOST_OPEN);
        let dir = self.root(place, 1).join(DIRS[place as usize]);
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        }
        .machine(|| format!("cannot make the directory {}", dir.display()))
    }
}

impl Course<'_> {
    fn run(&mut self, lot: u64) -> Wrong {
        self.do_operations()?;
        self.draw(lot)?;
        self.items.iter_mut().try_for_each(Item::close_all)?;
        self.verify()?;
        self.remove_what_is_left()
    }

    fn do_operations(&mut self) -> Wrong {
        let names = self.items.len();
        match self.steps.each {
            Each::Name => (0..names).try_for_each(|item| {
                self.steps.operations.iter().try_for_each(|op| self.act(item, op, None))?;
                if self.steps.draw.is_none() { self.items[item].close_all() } else { Ok(()) }
            }),
            Each::Operation => {
                let steps = self.steps;
                steps.operations.iter().try_for_each(|op| (0..names).try_for_each(|item| self.act(item, op, None)))
            }
        }
    }

    /// Does what the seed and the unit's number draw.
    fn draw(&mut self, mut lot: u64) -> Wrong {
        let Some(draw) = &self.steps.draw else { return Ok(()) };
        let weights: u64 = draw.of.iter().map(|op| u64::from(op.weight)).sum();
        for _ in 0..draw.operations {
            lot = scatter(lot);
            let item = (lot >> 32) as usize % self.items.len();
            let mut left = lot % weights;
            let drawn = draw.of.iter().find(|op| {
                let is_it = left < u64::from(op.weight);
                left = left.saturating_sub(u64::from(op.weight));
                is_it
            });
            let Some(op) = drawn else { continue };
            let model = &self.items[item].model;
            match model.expect(&op.action, &op.at) {
                Expected::Senseless(_) => {}
                _ if op.action.opens() && model.open.len() >= MOST_DRAWN_OPEN => {}
                expected => self.act(item, op, Some(expected))?,
            }
        }
        Ok(())
    }

    /// Does one operation on one name, which must end as is `expected`, or as the scenario says.
    fn act(&mut self, item: usize, op: &FileOp, expected: Option<Expected>) -> Wrong {
        let dir = &self.dirs[op.mount.unwrap_or(self.steps.mount) as usize - 1];
        let item = &mut self.items[item];
        let expected = expected.unwrap_or_else(|| match (op.fails, item.model.expect(&op.action, &op.at)) {
            (Some(errno), _) => Expected::Failure(errno),
            (None, Expected::Either) => Expected::Either,
            (None, _) => Expected::Success,
        });
        progress::made();
        self.operations += 1;
        let mut ended = item.perform(op, dir, self.buffers)?;
        if self.place == Side::Local {
            if let (Err(errno), Some(instead)) = (ended, Self::instead(&op.action)) {
                if errno == instead.0 {
                    self.left_out.insert(op.action.to_string());
                    ended = match instead.1 {
                        Some(action) => item.perform(&FileOp { action, ..op.clone() }, dir, self.buffers)?,
                        None => return Ok(()),
                    };
                }
            }
        }
        // Locally nothing is refused because of a version of NFS.
        let is_free = self.place == Side::Local && op.fails.is_some();
        match (ended, expected) {
            _ if is_free => Ok(()),
            (Ok(()), Expected::Success | Expected::Either) | (Err(_), Expected::Either) => Ok(()),
            (Err(errno), Expected::Failure(wanted)) if errno == wanted => Ok(()),
            (ended, expected) => Err(item.sentence(op, ended, &expected)),
        }
    }

    /// Returns the error by which a local file system says that it cannot do an operation, and what is done in its place.
    fn instead(action: &Action) -> Option<(Errno, Option<Action>)> {
        match action {
            // tmpfs has it since e88e0d366f9c (6.6).
            Action::OpenDirect => Some((Errno::EINVAL, Some(Action::OpenReadWrite))),
            // tmpfs has attributes of users since 2daf18a7884d (6.6), and no file system but NFS has the lists of version 4.
            Action::Setxattr(_)
            | Action::Getxattr(_)
            | Action::Removexattr(_)
            | Action::SetAcl(AclKind::V4)
            | Action::GetAcl(AclKind::V4) => Some((Errno::EOPNOTSUPP, None)),
            _ => None,
        }
    }

    /// Compares what the server has with what must be there.
    fn verify(&mut self) -> Wrong {
        let mut expected = BTreeSet::new();
        for item in &self.items {
            item.verify(&self.served, self.buffers).map_err(|wrong| format!("after the operations, {wrong}"))?;
            expected.extend(item.paths().filter(|path| !path.contains('/')));
        }
        match self.extra(&expected)? {
            Some(name) => {
                Err(format!("after the operations there is {name:?}, which nothing made or something removed"))
            }
            None => Ok(()),
        }
    }

    /// Returns a name that the server has and must not have; those of files that were removed while they were open have some time to go.
    fn extra(&self, expected: &BTreeSet<String>) -> std::result::Result<Option<String>, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let names = names_in(&self.served)?;
            match names.into_iter().find(|name| !expected.contains(name)) {
                Some(name) if name.starts_with(SILLY) && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                extra => return Ok(extra),
            }
        }
    }

    fn remove_what_is_left(&mut self) -> Wrong {
        let dir = self.dirs[self.steps.mount as usize - 1].clone();
        self.items.iter_mut().try_for_each(|item| item.remove_all(&dir))?;
        match self.extra(&BTreeSet::new())? {
            Some(name) => Err(format!("{name:?} is still there after it was removed")),
            None => Ok(()),
        }
    }

    /// Takes away on the server whatever is there, after something was wrong.
    fn purge(&mut self) -> Result<()> {
        for item in &mut self.items {
            let _ = item.close_all();
        }
        let cannot = || format!("cannot empty {}", self.served.display());
        for entry in fs::read_dir(&self.served).machine(cannot)? {
            let path = entry.machine(cannot)?.path();
            let removed =
                if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                // The client takes it away, too.
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).machine(cannot),
                _ => {}
            }
        }
        Ok(())
    }
}

fn names_in(dir: &Path) -> std::result::Result<Vec<String>, String> {
    let cannot = |e: std::io::Error| format!("{} cannot be listed: {e}", dir.display());
    let entries = fs::read_dir(dir).map_err(cannot)?;
    entries.map(|entry| Ok(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned())).collect()
}
