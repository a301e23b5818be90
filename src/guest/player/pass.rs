//! One pass over one directory by one reader: seeking, rewinding, stopping, and what is done meanwhile.

use super::{Listed, Played, Player, Where};
use crate::error::{Context, Result};
use crate::scenario::{By, Every, Pass, Place, Shape, Step, Which};
use crate::workload::check::{Seen, walk_and_check};
use crate::workload::interrupt::Interrupts;
use crate::workload::listing::reading::{Reading, Stands};
use crate::workload::listing::walk::{Visitor, walk};
use crate::workload::listing::{Call, Counts, Failed, Lister, Record, Stat, Way};
use crate::workload::names::scatter;
use crate::workload::trace;
use crate::workload::tree::{Dir, Tree};
use nix::errno::Errno;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Places that a pass with seeks remembers, to which it may go back: a cookie and what had been seen there.
const MOST_PLACES: usize = 8;

impl Player {
    /// One pass, checked if it is of the NFS mount.
    pub(super) fn list(&mut self, pass: &Pass, place: Where, played: &mut Played) -> Result<()> {
        let (result, wrong) = match () {
            () if matches!(pass.of, Which::Directories(_)) => self.each(pass, place)?,
            () if pass.of == Which::All && self.scenario.directory.shape != Shape::Flat => self.walk(pass, place)?,
            () if pass.processes > 1 || pass.killed => self.by_processes(pass, place)?,
            () if pass.threads > 1 => self.by_threads(pass, place)?,
            () if pass.signals_every_us > 0 => self.interrupted(pass, place, played)?,
            () => self.by_one(pass, place)?,
        };
        if place == Where::Local {
            return match (result, pass.fails) {
                (Ok(_), _) | (Err(_), Some(_)) => Ok(()),
                (Err(failed), None) => {
                    Err(failed.errno).machine(|| format!("cannot list {}", self.local.root.display()))
                }
            };
        }
        played.getdents_calls += result.map_or(0, |counts| counts.getdents_calls);
        played.broken = played.broken.take().or(wrong);
        Ok(())
    }

    /// How a pass reads.
    pub(super) fn way(&self, pass: &Pass) -> Way {
        let buffer_bytes = pass.getdents_buffer_bytes.unwrap_or(self.scenario.listing.getdents_buffer_bytes);
        let call = match pass.by {
            By::Getdents => Call::Getdents { buffer_bytes },
            By::Readdir => Call::Readdir,
        };
        Way { call, stat: if pass.stat { Stat::Fstatat } else { Stat::Nothing } }
    }

    /// Lends the lister of a way; each keeps its buffer, so that listings allocate nothing.
    pub(super) fn with_lister<T>(&mut self, way: Way, work: impl FnOnce(&mut Self, &mut Lister) -> T) -> T {
        let found = self.listers.iter().position(|(other, _)| *other == way);
        let mut entry = found.map_or_else(|| (way, Lister::new(way)), |place| self.listers.swap_remove(place));
        let result = work(self, &mut entry.1);
        self.listers.push(entry);
        result
    }

    /// The directory that a pass reads, and its path.
    pub(super) fn directory(&mut self, pass: &Pass, place: Where) -> (usize, std::path::PathBuf) {
        let node = match &pass.of {
            Which::All | Which::First | Which::Directories(_) => 0,
            Which::Drawn => self.draw(place),
        };
        (node, self.path(node, pass, place))
    }

    fn path(&self, node: usize, pass: &Pass, place: Where) -> std::path::PathBuf {
        let root = self.root(place, pass.mount);
        let mut path = Vec::new();
        self.tree_of(place).path(node, &mut path);
        if path.is_empty() { root } else { root.join(OsStr::from_bytes(&path)) }
    }

    /// A directory, as often as its share of the entries.
    fn draw(&mut self, place: Where) -> usize {
        let lot = &mut self.lots[place as usize];
        *lot = scatter(*lot);
        let lot = *lot;
        let tree = self.tree_of(place);
        let number = lot % tree.entries().max(1);
        tree.node_of(number).min(tree.nodes().len() - 1)
    }

    fn walk(&mut self, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let (root, way, tree) = (self.root(place, pass.mount), self.way(pass), self.tree_of(place).clone());
        Ok(self.with_lister(way, |us, lister| match place {
            Where::Local => (walk(lister, &root, Dir::Node(0), &mut Unchecked { tree, dir: Dir::Node(0) }), None),
            Where::Nfs => {
                let (result, right) = walk_and_check(lister, &root, &mut us.check);
                let failed = Self::wrong(pass, &result, &us.check, false);
                (result, right.err().or(failed))
            }
        }))
    }

    /// Some directories, one after the other, up to the first that fails.
    fn each(&mut self, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let Which::Directories(nodes) = &pass.of else { return self.by_one(pass, place) };
        let (mut sum, mut first_wrong) = (Counts::default(), None);
        for node in nodes {
            let (result, wrong) = self.by_one_of(*node, pass, place)?;
            first_wrong = first_wrong.or(wrong);
            match result {
                Ok(Counts { entries, getdents_calls }) => {
                    sum.entries += entries;
                    sum.getdents_calls += getdents_calls;
                }
                Err(failed) => return Ok((Err(failed), first_wrong)),
            }
        }
        Ok((Ok(sum), first_wrong))
    }

    fn by_one(&mut self, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let node = self.directory(pass, place).0;
        self.by_one_of(node, pass, place)
    }

    fn by_one_of(&mut self, node: usize, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let path = self.path(node, pass, place);
        if place == Where::Nfs {
            self.check.begin(Dir::Node(node));
            if pass.from == Place::Middle {
                self.check.resume(&self.half);
            }
        }
        let entries = self.tree_of(place).nodes()[node].entries();
        let way = self.way(pass);
        let result = self.with_lister(way, |us, lister| us.read(lister, &path, Course::new(pass, entries), place))?;
        let wrong = Self::wrong(pass, &result, &self.check, pass.to == Place::Outside);
        Ok((result, wrong.filter(|_| place == Where::Nfs)))
    }

    /// One reader, to whom signals come all the time.
    fn interrupted(&mut self, pass: &Pass, place: Where, played: &mut Played) -> Result<(Listed, Option<String>)> {
        let mut interrupts = self.interrupts.take().map_or_else(Interrupts::new, Ok)?;
        let every = Duration::from_micros(pass.signals_every_us.into());
        let (result, signals) = interrupts.during(every, || self.by_one(pass, place))?;
        self.interrupts = Some(interrupts);
        played.signals += if place == Where::Nfs { signals } else { 0 };
        result
    }

    fn read(&mut self, lister: &mut Lister, path: &Path, mut course: Course, place: Where) -> Result<Listed> {
        let mut reading = match lister.open(path) {
            Ok(reading) => reading,
            Err(failed) => return Ok(Err(failed)),
        };
        let from = self.cookies[place as usize].filter(|_| course.pass.from == Place::Middle);
        if let Some(Err(failed)) = from.map(|cookie| reading.seek(cookie)) {
            return Ok(Err(failed));
        }
        loop {
            let mut last_seen = 0;
            let stands = reading.step(|record| {
                last_seen = record.cookie;
                if place == Where::Nfs {
                    self.check.see(record);
                }
                self.count(record, &mut course, place)
            });
            let stands = match stands {
                Ok(stands) => stands,
                // A call that was interrupted before it had anything to give is made again.
                Err(failed) if failed.errno == Errno::EINTR && course.pass.signals_every_us > 0 => continue,
                Err(failed) => return Ok(Err(failed)),
            };
            let due = std::mem::take(&mut course.due);
            if place == Where::Nfs && !due.is_empty() {
                self.last_seen = last_seen;
            }
            due.into_iter().try_for_each(|step| {
                trace::say(|| format!("meanwhile: {}", step.words()));
                self.disturb(step, place)
            })?;
            match self.turn(&mut reading, &mut course, place) {
                Err(failed) => return Ok(Err(failed)),
                Ok(true) => {}
                Ok(false) if stands != Stands::Open => return Ok(Ok(reading.counts())),
                Ok(false) => {}
            }
        }
    }

    /// One more entry was seen: what is due now, and whether the reader stops here.
    fn count(&mut self, record: &Record, course: &mut Course, place: Where) -> ControlFlow<()> {
        course.seen += 1;
        let pass = course.pass;
        if course.seen == course.half && pass.from == Place::Outside {
            self.cookies[place as usize] = Some(record.cookie);
            if place == Where::Nfs {
                self.half = self.check.mark();
            }
            if course.rewinds > 0 {
                course.turn = Some(Turn::Rewind);
                return ControlFlow::Break(());
            }
            course.due.extend(&pass.middle);
        }
        if let Some(every) = pass.every.as_ref().filter(|every| course.is_time_for(every)) {
            course.due.extend(&every.steps);
        }
        if course.seeks > 0 && course.seen.is_multiple_of(course.between_seeks) {
            course.turn = Some(Turn::Back(record.cookie));
            return ControlFlow::Break(());
        }
        if course.seen == course.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Rewinds or goes back, if that is the reader's turn now.
    fn turn(&mut self, reading: &mut Reading, course: &mut Course, place: Where) -> std::result::Result<bool, Failed> {
        match course.turn.take() {
            None => return Ok(false),
            Some(Turn::Rewind) => {
                course.rewinds -= 1;
                course.seen = 0;
                reading.rewind()?;
                if place == Where::Nfs {
                    self.check.rewind();
                }
            }
            Some(Turn::Back(here)) => {
                course.seeks -= 1;
                course.places.push((here, self.check.mark()));
                if course.places.len() > MOST_PLACES {
                    course.places.remove(0);
                }
                let lot = &mut self.lots[place as usize];
                *lot = scatter(*lot);
                let (cookie, seen) = &course.places[*lot as usize % course.places.len()];
                reading.seek(*cookie)?;
                if place == Where::Nfs {
                    self.check.resume(seen);
                }
            }
        }
        Ok(true)
    }
}

/// A reader leaves its way.
enum Turn {
    /// To the first entry.
    Rewind,
    /// From behind the entry with this cookie to a place where it was before.
    Back(i64),
}

/// Where a reader is, and what is still to come.
struct Course<'p> {
    pass: &'p Pass,
    /// Entries seen, those before the last rewinding not counted.
    seen: u64,
    half: u64,
    /// After so many the pass ends.
    end: u64,
    rewinds: u32,
    seeks: u32,
    between_seeks: u64,
    places: Vec<(i64, Seen)>,
    turn: Option<Turn>,
    /// When steps were last due that are done by the clock.
    clock: Instant,
    /// Steps to be done after this call.
    due: Vec<&'p Step>,
}

impl<'p> Course<'p> {
    fn new(pass: &'p Pass, entries: u64) -> Self {
        let half = entries / 2;
        let end = match pass.to {
            Place::Outside => u64::MAX,
            Place::Middle => half,
            Place::After(entries) => entries,
        };
        Self {
            pass,
            seen: 0,
            half,
            end,
            rewinds: pass.rewinds,
            seeks: pass.seeks,
            between_seeks: (entries / (u64::from(pass.seeks) + 1)).max(1),
            places: Vec::new(),
            turn: None,
            clock: Instant::now(),
            due: Vec::new(),
        }
    }

    /// Whether these steps are due after the entry that was just seen.
    fn is_time_for(&mut self, every: &Every) -> bool {
        let Some(period) = every.milliseconds else {
            return every.entries.is_some_and(|n| self.seen.is_multiple_of(n));
        };
        let is_due = self.due.is_empty() && self.clock.elapsed() >= Duration::from_millis(period);
        if is_due {
            self.clock = Instant::now();
        }
        is_due
    }
}

/// A walk of a local tree, into every directory.
struct Unchecked {
    tree: Arc<Tree>,
    dir: Dir,
}

impl Visitor for Unchecked {
    type Dir = Dir;

    fn enter(&mut self, dir: &Dir) {
        self.dir = *dir;
    }

    fn entry(&mut self, record: &Record) -> Option<Dir> {
        let Dir::Node(node) = self.dir else { return None };
        let (place, kind) = self.tree.find(node, record.name)?;
        Tree::dir(node, place, kind)
    }

    fn leave(&mut self, _: &Dir) {}
}
