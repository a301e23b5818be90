//! What is not as the formula says: entries that are made, removed and renamed, before a listing or while it runs.

use nfs_fault_server::dirtree::tree::Kind;
use std::collections::BTreeMap;

/// How often a listing may show a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// Exactly once: it is there as long as the listing runs.
    Always,
    /// Once or not at all: it comes, goes or is renamed while the listing runs.
    AtMostOnce,
    /// As often as it likes: it is removed and made anew while the listing runs, and each time it may be shown.
    AnyTimes,
    /// Not at all: it was removed before.
    Never,
}

/// A name that the formula does not know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Other {
    pub presence: Presence,
    pub kind: Kind,
    /// Its inode number, if that is known: a renamed file has the one that it had.
    pub inode: Option<u64>,
}

/// All that differs from the formula. It takes as much memory as there are differences.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    entries: BTreeMap<u64, Presence>,
    /// By directory and name: the number of one of `others`.
    names: BTreeMap<usize, BTreeMap<Box<[u8]>, usize>>,
    others: Vec<Other>,
}

impl Changes {
    /// Notes that the entry with this number among all of the tree ([`crate::workload::tree::Tree::number`]) is now so.
    /// Its inode number is not checked any more: it may have been made anew.
    pub fn entry(&mut self, number: u64, presence: Presence) {
        self.entries.insert(number, presence);
    }

    /// Notes that the entry is again what the formula says, with the inode number that it had.
    pub fn undo(&mut self, number: u64) {
        self.entries.remove(&number);
    }

    /// Notes that a name that the formula does not know is now so in this directory.
    pub fn other(&mut self, node: usize, name: &[u8], other: Other) {
        let number = *self.names.entry(node).or_default().entry(name.into()).or_insert(self.others.len());
        if number == self.others.len() {
            self.others.push(other);
        } else {
            self.others[number] = other;
        }
    }

    /// Returns what is said of an entry, if anything is.
    pub(super) fn presence_of(&self, number: u64) -> Option<Presence> {
        self.entries.get(&number).copied()
    }

    /// Returns whether anything is said of any entry of the formula.
    pub(super) fn touch_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Finds a name that the formula does not know, and its number among those.
    pub(super) fn find(&self, node: usize, name: &[u8]) -> Option<(usize, Other)> {
        let number = *self.names.get(&node)?.get(name)?;
        Some((number, self.others[number]))
    }

    /// Returns all such names of a directory, with their numbers.
    pub(super) fn others(&self, node: usize) -> impl Iterator<Item = (&[u8], usize, Other)> {
        let names = self.names.get(&node).into_iter().flatten();
        names.map(|(name, number)| (&**name, *number, self.others[*number]))
    }
}
