//! Whether a listing was complete: each name that was there is shown exactly once, as what it is, and nothing that never was.
//!
//! No name is stored. The names of a tree are a formula that tells a name's number, so one bit for each entry of a directory
//! says whether it was shown; the name that the formula gives for the number must be the one that was shown, byte for byte.

mod bits;
mod changes;
mod inodes;
mod walk;
mod wrong;

#[cfg(test)]
mod tests;

pub use changes::{Changes, Other, Presence};
pub use inodes::{Inodes, Stretch};
pub use walk::walk_and_check;

use super::listing::Record;
use super::tree::{Dir, Kind, Tree};
use bits::Bits;
use std::sync::Arc;

/// What a file is called that comes and goes.
pub const ADDED: &str = "added-by-dirleak";
/// What it is called after it was renamed.
pub const RENAMED: &str = "renamed-by-dirleak";

/// Checks one reader's listings of the directories of a tree, one after the other. Several readers have one each: a clone
/// shares the tree and what is known of inode numbers.
#[derive(Clone)]
pub struct Check {
    tree: Arc<Tree>,
    inodes: Arc<Inodes>,
    changes: Changes,
    /// Who reads, if there are several.
    reader: Option<String>,
    dir: Dir,
    /// Listings begun so far.
    listing: u64,
    /// Entries that this listing has shown.
    shown: u64,
    seen: Seen,
    last: Last,
    wrong: Option<String>,
}

/// What a listing has shown up to some entry: who goes on from that entry's cookie has seen this. A bit an entry.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    entries: Bits,
    others: Bits,
    dots: Bits,
}

/// The entry that was shown last.
#[derive(Clone)]
enum Last {
    Nothing,
    /// One of the formula, by its place.
    Place(u64),
    Name(Box<[u8]>),
}

impl Check {
    /// A check of listings of `tree`.
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
            wrong: None,
        }
    }

    /// The same, for a reader that sentences call `reader`: "thread 2".
    pub fn for_reader(&self, reader: impl Into<String>) -> Self {
        Self { reader: Some(reader.into()), ..self.clone() }
    }

    /// What is not as the formula says. What changes while a listing runs is said before it changes.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// A new listing begins, of this directory.
    pub fn begin(&mut self, dir: Dir) {
        self.listing += 1;
        self.enter(dir);
    }

    /// The same listing goes on with another directory.
    pub fn enter(&mut self, dir: Dir) {
        self.dir = dir;
        (self.shown, self.last) = (0, Last::Nothing);
        self.wrong = None;
        self.rewind();
    }

    /// The reader goes back to the first entry: what it has seen counts no more, unless it was wrong.
    pub fn rewind(&mut self) {
        self.seen.entries.reset(self.node().map_or(0, |node| self.tree.nodes()[node].entries()));
        self.seen.others.reset(0);
        self.seen.dots.reset(0);
    }

    /// What was seen so far; for [`Check::resume`].
    pub fn mark(&self) -> Seen {
        self.seen.clone()
    }

    /// The reader goes on at the cookie of the entry after which `seen` was marked, in this listing or an earlier one of the
    /// same directory.
    pub fn resume(&mut self, seen: &Seen) {
        self.seen.clone_from(seen);
    }

    /// The listing showed an entry. Given back is the directory that it is, if it is one that a walk can go into: one that is
    /// there throughout and is as expected.
    pub fn see(&mut self, record: &Record) -> Option<Dir> {
        self.shown += 1;
        let name = record.name.to_bytes();
        let found = self.node().and_then(|node| Some((node, self.tree.find(node, name)?)));
        let Some((node, (place, kind))) = found else {
            self.see_other(record);
            return None;
        };
        let again = self.seen.entries.set(place);
        let number = self.tree.number(node, place);
        let inode = self.inodes.of(if let Kind::HardLink(first) = kind { first } else { number });
        // Nearly every entry is right at this first look.
        let plain = !again && wrong::same_type(record.d_type, kind) && inode.is_none_or(|inode| inode == record.inode);
        let dir = Tree::dir(node, place, kind);
        if !plain || self.changes.of_entries() || record.stat.is_some() {
            let said = self.changes.of(number);
            let expected = Other {
                presence: said.unwrap_or(Presence::Always),
                kind,
                inode: if said.is_some() { None } else { inode },
            };
            let right = self.compare(record, expected, again);
            self.last = Last::Place(place);
            return dir.filter(|_| right && expected.presence == Presence::Always);
        }
        self.last = Last::Place(place);
        dir
    }

    /// An entry that the formula does not know.
    fn see_other(&mut self, record: &Record) {
        let name = record.name.to_bytes();
        if let Some((number, other)) = self.node().and_then(|node| self.changes.find(node, name)) {
            let again = self.seen.others.set(number as u64);
            self.compare(record, other, again);
        } else if let Some(dot) = [&b"."[..], b".."].iter().position(|dots| *dots == name) {
            if self.seen.dots.set(dot as u64) {
                self.complain(name, " a second time");
            }
        } else {
            self.complain(name, ", which was never made");
        }
        self.last = Last::Name(name.into());
    }

    /// Compares an entry with what is expected of it; `true` if it is right.
    fn compare(&mut self, record: &Record, expected: Other, again: bool) -> bool {
        let difference = wrong::difference(record, expected, again);
        if let Some(what) = &difference {
            self.complain(record.name.to_bytes(), what);
        }
        difference.is_none()
    }

    /// Keeps what was wrong first.
    fn complain(&mut self, name: &[u8], what: &str) {
        if self.wrong.is_none() {
            let (listing, name, shown) = (self.label(), name.escape_ascii(), self.shown);
            let after = self.last_name().map_or("the first one".into(), |last| format!("after \"{last}\""));
            self.wrong = Some(format!("{listing} showed \"{name}\"{what} (entry {shown}, {after})"));
        }
    }

    /// Takes the listing of another reader in who read the same open file: together they showed each name once.
    pub fn join(&mut self, other: &Self) {
        let again = |place: &u64| self.node().is_some_and(|node| self.presence(node, *place) != Presence::AnyTimes);
        let both = self.seen.entries.common(&other.seen.entries).find(again);
        if let (None, Some(node), Some(place)) = (&self.wrong, self.node(), both) {
            let mut name = Vec::new();
            self.tree.entry(node, place, &mut name);
            let (one, another) = (self.label(), other.label());
            self.wrong = Some(format!("{one} showed \"{}\", and so did {another}", name.escape_ascii()));
        }
        self.wrong = self.wrong.take().or_else(|| other.wrong.clone());
        self.shown += other.shown;
        self.seen.entries.join(&other.seen.entries);
        self.seen.others.join(&other.seen.others);
    }

    /// What was wrong with a listing that went to the end, in one sentence: the first thing that was, or a name that is missing.
    pub fn end(&self) -> Result<(), String> {
        self.end_early()?;
        let Some(node) = self.node() else { return Ok(()) };
        let entry_name = |place| {
            let mut name = Vec::new();
            self.tree.entry(node, place, &mut name);
            name
        };
        let entries = self.seen.entries.unset().filter(|place| self.presence(node, *place) == Presence::Always);
        let others = self.changes.required(node).filter(|(_, number)| !self.seen.others.get(*number as u64));
        let mut missing = entries.map(entry_name).chain(others.map(|(name, _)| name.to_vec()));
        let Some(first) = missing.next() else { return Ok(()) };
        let (listing, first, more, shown) = (self.label(), first.escape_ascii(), missing.count(), self.shown);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let last = self.last_name().map_or(String::new(), |last| format!(", the last one \"{last}\""));
        Err(format!("{listing} ended without \"{first}\"{more}: it showed {shown} entries{last}"))
    }

    /// What was wrong with as much of the listing as was made.
    pub fn end_early(&self) -> Result<(), String> {
        self.wrong.clone().map_or(Ok(()), Err)
    }

    fn presence(&self, node: usize, place: u64) -> Presence {
        self.changes.of(self.tree.number(node, place)).unwrap_or(Presence::Always)
    }

    /// The directory of the shape that is listed; an empty directory that is an entry is none.
    fn node(&self) -> Option<usize> {
        match self.dir {
            Dir::Node(node) => Some(node),
            Dir::Empty { .. } => None,
        }
    }

    /// Which listing it is: "listing 3 of \"a/b\" by thread 2".
    fn label(&self) -> String {
        let path = self.tree.path_of(self.dir);
        let of = if path.is_empty() { String::new() } else { format!(" of \"{}\"", path.escape_ascii()) };
        let by = self.reader.as_ref().map_or(String::new(), |reader| format!(" by {reader}"));
        format!("listing {}{of}{by}", self.listing)
    }

    fn last_name(&self) -> Option<String> {
        let mut name = Vec::new();
        match &self.last {
            Last::Nothing => return None,
            Last::Place(place) => _ = self.tree.entry(self.node()?, *place, &mut name),
            Last::Name(last) => name.extend_from_slice(last),
        }
        Some(name.escape_ascii().to_string())
    }
}
