//! What has been seen of a listing, and what is compared with it.

use super::bitset::Bits;
use super::changes::{Changes, Other, Presence};
use super::inodes::Inodes;
use super::mismatch;
use crate::workload::listing::entry::Dirent;
use nfs_fault_server::dirtree::tree::{Dir, Kind, Tree};
use std::sync::Arc;

/// What a file is called that comes and goes.
pub const ADDED: &str = "added-by-dirleak";
/// What it is called after it was renamed.
pub const RENAMED: &str = "renamed-by-dirleak";

/// Checks one reader's listings of the directories of a tree, one after the other. Several readers have one each: a clone
/// shares the tree and what is known of inode numbers.
#[derive(Clone)]
pub struct Check {
    pub(super) tree: Arc<Tree>,
    pub(super) inodes: Arc<Inodes>,
    pub(super) changes: Changes,
    /// Who reads, if there are several.
    pub(super) reader: Option<String>,
    pub(super) dir: Dir,
    /// Listings begun so far.
    pub(super) listing: u64,
    /// Entries that this listing has shown.
    pub(super) shown: u64,
    pub(super) seen: Seen,
    pub(super) last: Last,
    pub(super) last_other: Vec<u8>,
    pub(super) wrong: Option<String>,
}

/// What a listing has shown up to some entry: who goes on from that entry's cookie has seen this. A bit an entry.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub(super) entries: Bits,
    pub(super) others: Bits,
    pub(super) dots: Bits,
}

/// The entry that was shown last.
#[derive(Clone, Copy)]
pub(super) enum Last {
    Nothing,
    /// One of the formula, by its place.
    Place(u64),
    /// Another, by its name, which is kept.
    Other,
}

/// How often a listing that is wrong may show a whole directory before it is taken to have no end, and how many entries more.
const MOST_ROUNDS: u64 = 3;
const MOST_FURTHER: u64 = 1000;

/// What every directory may show besides its entries.
pub(super) const DOTS: [&[u8]; 2] = [b".", b".."];

impl Seen {
    pub(super) fn join(&mut self, other: &Self) {
        self.entries.join(&other.entries);
        self.others.join(&other.others);
        self.dots.join(&other.dots);
    }
}

impl Check {
    /// Makes a check of listings of `tree`.
    pub fn new(tree: Arc<Tree>, inodes: Arc<Inodes>) -> Self {
        Self {
            tree,
            inodes,
            changes: Changes::default(),
            reader: None,
            dir: Dir::Node(0),
            listing: 0,
            shown: 0,
            seen: Seen::default(),
            last: Last::Nothing,
            last_other: Vec::new(),
            wrong: None,
        }
    }

    /// Makes the same for a reader that sentences call `reader`: "thread 2".
    pub fn for_reader(&self, reader: impl Into<String>) -> Self {
        Self { reader: Some(reader.into()), ..self.clone() }
    }

    /// Returns the changes: what is not as the formula says. What changes while a listing runs is said before it
    /// changes.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// Begins a new listing, of this directory.
    pub fn begin(&mut self, dir: Dir) {
        self.listing += 1;
        self.enter(dir);
    }

    /// Goes on with the same listing in another directory.
    pub fn enter(&mut self, dir: Dir) {
        self.dir = dir;
        (self.shown, self.last) = (0, Last::Nothing);
        self.wrong = None;
        self.rewind();
    }

    /// Goes back to the first entry, as the reader did: what it has seen counts no more, unless it was wrong.
    pub fn rewind(&mut self) {
        self.seen.entries.reset(self.entries());
        self.seen.others.reset(0);
        self.seen.dots.reset(0);
    }

    /// Returns whether the listing has shown something wrong and so much that it has no end: a reader then gives up. A client can go
    /// round for ever with a server that gives cookies twice or does not look at them.
    pub fn goes_round(&self) -> bool {
        self.wrong.is_some() && self.shown > MOST_ROUNDS * (self.entries() + DOTS.len() as u64) + MOST_FURTHER
    }

    /// Returns how many entries the formula gives the directory.
    pub(super) fn entries(&self) -> u64 {
        self.node().map_or(0, |node| self.tree.nodes()[node].entries())
    }

    /// Marks what was seen so far; for [`Check::resume`].
    pub fn mark(&self) -> Seen {
        self.seen.clone()
    }

    /// Goes on, as the reader did, at the cookie of the entry after which `seen` was marked, in this listing or an
    /// earlier one of the same directory.
    pub fn resume(&mut self, seen: &Seen) {
        self.seen.clone_from(seen);
    }

    /// Notes that the listing showed an entry. Given back is the directory that it is, if it is one that a walk can go
    /// into: one that is there throughout and is as expected.
    pub fn see(&mut self, record: &Dirent) -> Option<Dir> {
        self.shown += 1;
        let name = record.name;
        let found = self.node().and_then(|node| Some((node, self.tree.find(node, name)?)));
        let Some((node, (place, kind))) = found else {
            self.see_other(record);
            return None;
        };
        let again = self.seen.entries.set(place);
        let number = self.tree.number(node, place);
        let inode = self.inodes.get(if let Kind::HardLink(first) = kind { first } else { number });
        let as_expected = mismatch::same_type(record.d_type, kind) && inode.is_none_or(|inode| inode == record.inode);
        // Nearly every entry is right at this first look.
        let plain = as_expected && !again && record.stat.is_none() && !self.changes.touch_entries();
        let there = plain || self.look_again(record, kind, number, inode, again);
        self.last = Last::Place(place);
        if there { Tree::dir(node, place, kind) } else { None }
    }

    /// Takes a closer look at an entry; `true` if it is right and there throughout.
    #[cold]
    fn look_again(&mut self, record: &Dirent, kind: Kind, number: u64, inode: Option<u64>, again: bool) -> bool {
        let said = self.changes.presence_of(number);
        let presence = said.unwrap_or(Presence::Always);
        let inode = if said.is_some() { None } else { inode };
        self.compare(record, Other { presence, kind, inode }, again) && presence == Presence::Always
    }

    /// Notes an entry that the formula does not know.
    #[cold]
    fn see_other(&mut self, record: &Dirent) {
        let name = record.name;
        if let Some((number, other)) = self.node().and_then(|node| self.changes.find(node, name)) {
            let again = self.seen.others.set(number as u64);
            self.compare(record, other, again);
        } else if let Some(dot) = DOTS.iter().position(|dots| *dots == name) {
            if self.seen.dots.set(dot as u64) {
                self.complain(name, " a second time");
            }
        } else {
            self.complain(name, ", which was never made");
        }
        self.last = Last::Other;
        name.clone_into(&mut self.last_other);
    }

    /// Compares an entry with what is expected of it; `true` if it is right.
    fn compare(&mut self, record: &Dirent, expected: Other, again: bool) -> bool {
        let difference = mismatch::difference(record, expected, again);
        if let Some(what) = &difference {
            self.complain(record.name, what);
        }
        difference.is_none()
    }

    pub(super) fn presence(&self, node: usize, place: u64) -> Presence {
        self.changes.presence_of(self.tree.number(node, place)).unwrap_or(Presence::Always)
    }

    /// Returns the directory of the shape that is listed; an empty directory that is an entry is none.
    pub(super) fn node(&self) -> Option<usize> {
        match self.dir {
            Dir::Node(node) => Some(node),
            Dir::Empty { .. } => None,
        }
    }
}
