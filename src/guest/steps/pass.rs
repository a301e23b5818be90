//! One pass over directories: by one reader or several, checked if it is of the NFS mount.

use super::cursor::ReadCursor;
use super::runner::UnitRunner;
use super::side::{Listed, Side};
use crate::agent::target::UnitStats;
use crate::error::{Context, Result};
use crate::scenario::step::Pass;
use crate::scenario::{DirSelector, Position, ReadCall};
use crate::workload::check::walk_and_check;
use crate::workload::interrupt::Interrupts;
use crate::workload::listing::Lister;
use crate::workload::listing::entry::{Call, Counts, Dirent, ReadMethod, Stat};
use crate::workload::listing::walk::{Visitor, walk};
use nfs_fault_server::dirtree::names::scatter;
use nfs_fault_server::dirtree::spec::Shape;
use nfs_fault_server::dirtree::tree::{Dir, Tree};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

impl UnitRunner {
    /// Makes one pass, checked if it is of the NFS mount.
    pub(crate) fn list(&mut self, pass: &Pass, place: Side, played: &mut UnitStats) -> Result<()> {
        let (result, wrong) = match &pass.of {
            DirSelector::Directories(nodes) => self.each(nodes, pass, place)?,
            DirSelector::All if self.scenario.directory.shape != Shape::Flat => self.walk(pass, place)?,
            _ if pass.processes > 1 || pass.killed => self.by_processes(pass, place)?,
            _ if pass.threads > 1 => self.by_threads(pass, place)?,
            _ if pass.signals_every_us > 0 => self.interrupted(pass, place, played)?,
            _ => self.by_one(pass, place)?,
        };
        if place == Side::Local {
            return match (result, pass.expected_error) {
                (Ok(_), _) | (Err(_), Some(_)) => Ok(()),
                (Err(failed), None) => {
                    Err(failed.errno).machine(|| format!("cannot list {}", self.local.root.display()))
                }
            };
        }
        self.note_failed(&result, played);
        played.getdents_calls += result.map_or(0, |counts| counts.getdents_calls);
        played.broken = played.broken.take().or(wrong);
        Ok(())
    }

    /// Returns how a pass reads.
    pub(crate) fn way(&self, pass: &Pass) -> ReadMethod {
        let buffer_bytes = pass.getdents_buffer_bytes.unwrap_or(self.scenario.listing.getdents_buffer_bytes);
        let call = match pass.by {
            ReadCall::Getdents => Call::Getdents { buffer_bytes },
            ReadCall::Readdir => Call::Readdir,
        };
        ReadMethod { call, stat: if pass.stat { Stat::Fstatat } else { Stat::Nothing } }
    }

    /// Lends the lister of a way; each keeps its buffer, so that listings allocate nothing.
    pub(crate) fn with_lister<T>(&mut self, way: ReadMethod, work: impl FnOnce(&mut Self, &mut Lister) -> T) -> T {
        let found = self.listers.iter().position(|(other, _)| *other == way);
        let mut entry = found.map_or_else(|| (way, Lister::new(way)), |place| self.listers.swap_remove(place));
        let result = work(self, &mut entry.1);
        self.listers.push(entry);
        result
    }

    /// Returns the directory that a pass reads, and its path.
    pub(crate) fn directory(&mut self, pass: &Pass, place: Side) -> (usize, std::path::PathBuf) {
        let node = self.node(pass, place);
        (node, self.path(node, pass, place))
    }

    /// Returns the number of the directory that a pass of one reads.
    fn node(&mut self, pass: &Pass, place: Side) -> usize {
        if pass.of == DirSelector::Drawn { self.draw(place) } else { 0 }
    }

    fn path(&self, node: usize, pass: &Pass, place: Side) -> std::path::PathBuf {
        let root = self.root(place, pass.mount);
        let mut path = Vec::new();
        self.tree_of(place).path(node, &mut path);
        if path.is_empty() { root } else { root.join(OsStr::from_bytes(&path)) }
    }

    /// Draws a directory, as often as its share of the entries.
    fn draw(&mut self, place: Side) -> usize {
        let lot = &mut self.lots[place as usize];
        *lot = scatter(*lot);
        let lot = *lot;
        let tree = self.tree_of(place);
        let number = lot % tree.entries().max(1);
        tree.node_of(number).min(tree.nodes().len() - 1)
    }

    fn walk(&mut self, pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
        let (root, way, tree) = (self.root(place, pass.mount), self.way(pass), self.tree_of(place).clone());
        self.with_lister(way, |us, lister| match place {
            Side::Local => Ok((walk(lister, &root, Dir::Node(0), &mut Unchecked { tree, dir: Dir::Node(0) }), None)),
            Side::Nfs => {
                let (result, right) = us.while_failing(|us| walk_and_check(lister, &root, &mut us.check))?;
                let failed = us.wrong(pass, &result, &us.check, false);
                Ok((result, right.err().or(failed)))
            }
        })
    }

    /// Reads some directories, one after the other, up to the first that fails.
    fn each(&mut self, nodes: &[usize], pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
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

    fn by_one(&mut self, pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
        let node = self.node(pass, place);
        self.by_one_of(node, pass, place)
    }

    fn by_one_of(&mut self, node: usize, pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
        let path = self.path(node, pass, place);
        if place == Side::Nfs {
            self.check.begin(Dir::Node(node));
            if pass.from == Position::Middle {
                self.check.resume(&self.half);
            }
        }
        let entries = self.tree_of(place).nodes()[node].entries();
        let way = self.way(pass);
        let read = |us: &mut Self, lister: &mut Lister| us.read(lister, &path, ReadCursor::new(pass, entries), place);
        let result = self.with_lister(way, |us, lister| match place {
            Side::Nfs => us.while_failing(|us| read(us, lister))?,
            Side::Local => read(us, lister),
        })?;
        let wrong = self.wrong(pass, &result, &self.check, pass.to == Position::Outside);
        Ok((result, wrong.filter(|_| place == Side::Nfs)))
    }

    /// Reads by one reader, to whom signals come all the time.
    fn interrupted(&mut self, pass: &Pass, place: Side, played: &mut UnitStats) -> Result<(Listed, Option<String>)> {
        let mut interrupts = self.interrupts.take().map_or_else(Interrupts::new, Ok)?;
        let every = Duration::from_micros(pass.signals_every_us.into());
        let (result, signals) = interrupts.during(every, || self.by_one(pass, place))?;
        self.interrupts = Some(interrupts);
        played.signals += if place == Side::Nfs { signals } else { 0 };
        result
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

    fn entry(&mut self, record: &Dirent) -> Option<Dir> {
        let Dir::Node(node) = self.dir else { return None };
        let (place, kind) = self.tree.find(node, record.name)?;
        Tree::dir(node, place, kind)
    }

    fn leave(&mut self, _: &Dir) {}
}
