//! Which inode number each entry has: known by a formula, or from a listing of the server's own files.

use crate::error::{Error, Result};
use crate::workload::listing::Lister;
use crate::workload::listing::entry::Dirent;
use crate::workload::listing::walk::{Visitor, walk};
use nfs_fault_server::dirtree::tree::{Dir, Tree};
use std::path::Path;

/// So few that to look one up takes no time.
const MOST_STRETCHES: usize = 1024;

/// Inode numbers by the entry's number among all of a tree ([`Tree::number`]).
#[derive(Clone, Debug)]
pub enum Inodes {
    /// Not known, and not checked.
    Unknown,
    /// A formula, as the synthetic server has one.
    Formula(fn(u64) -> u64),
    /// As they were listed: stretches of numbers that go up by one, which is how tmpfs gives them.
    Stretches(Vec<Stretch>),
    /// As they were listed, 8 bytes an entry, where stretches would take more.
    Each(Vec<u64>),
}

/// Entries from `number` on have inode numbers from `inode` on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stretch {
    pub number: u64,
    pub inode: u64,
}

impl Inodes {
    /// Lists what the file system says that holds `tree` in `root`.
    pub fn listed(lister: &mut Lister, root: &Path, tree: &Tree) -> Result<Self> {
        let mut collected =
            Collected { tree, dir: Dir::Node(0), inodes: vec![0; tree.all_entries() as usize], strange: None };
        walk(lister, root, Dir::Node(0), &mut collected)
            .map_err(|failed| Error::machine(format!("cannot list {}: {failed}", root.display())))?;
        match collected.strange {
            Some(name) => Err(Error::machine(format!("{} has \"{name}\", which was not made", root.display()))),
            None => Ok(Self::compact(collected.inodes)),
        }
    }

    fn compact(inodes: Vec<u64>) -> Self {
        let mut stretches: Vec<Stretch> = Vec::new();
        let most = (inodes.len() / (size_of::<Stretch>() / size_of::<u64>())).min(MOST_STRETCHES);
        for (number, inode) in (0..).zip(&inodes) {
            let next = |last: &Stretch| last.inode.wrapping_add(number - last.number);
            if stretches.last().map(next) != Some(*inode) {
                stretches.push(Stretch { number, inode: *inode });
            }
            if stretches.len() > most {
                return Self::Each(inodes);
            }
        }
        Self::Stretches(stretches)
    }

    /// Returns the inode number of the entry with this number; `None` if it is not known.
    pub fn get(&self, number: u64) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Formula(inode) => Some(inode(number)),
            Self::Stretches(stretches) => {
                let behind = stretches.partition_point(|stretch| stretch.number <= number);
                let stretch = stretches.get(behind.checked_sub(1)?)?;
                Some(stretch.inode.wrapping_add(number - stretch.number))
            }
            Self::Each(inodes) => inodes.get(usize::try_from(number).ok()?).copied(),
        }
    }
}

/// Notes the inode number of each entry that a walk meets.
struct Collected<'a> {
    tree: &'a Tree,
    dir: Dir,
    inodes: Vec<u64>,
    strange: Option<String>,
}

impl Visitor for Collected<'_> {
    type Dir = Dir;

    fn enter(&mut self, dir: &Dir) {
        self.dir = *dir;
    }

    fn entry(&mut self, record: &Dirent) -> Option<Dir> {
        let name = record.name;
        if matches!(name, b"." | b"..") {
            return None;
        }
        let found = match self.dir {
            Dir::Node(node) => self.tree.find(node, name).map(|(place, kind)| (node, place, kind)),
            Dir::Empty { .. } => None,
        };
        let Some((node, place, kind)) = found else {
            self.strange.get_or_insert_with(|| name.escape_ascii().to_string());
            return None;
        };
        self.inodes[self.tree.number(node, place) as usize] = record.inode;
        Tree::dir(node, place, kind)
    }

    fn leave(&mut self, _: &Dir) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inode_numbers_in_order_take_no_room() {
        let inodes = Inodes::compact((0..1000).map(|n| if n < 600 { n + 7 } else { n + 9000 }).collect());
        let Inodes::Stretches(stretches) = &inodes else { panic!("{inodes:?}") };
        assert_eq!(stretches.len(), 2);
        assert_eq!([0, 599, 600, 999].map(|n| inodes.get(n)), [7, 606, 9600, 9999].map(Some));
    }

    #[test]
    fn inode_numbers_in_disorder_take_eight_bytes_each() {
        let inodes = Inodes::compact((0..1000).map(|n| n * 2).collect());
        assert!(matches!(inodes, Inodes::Each(_)));
        assert_eq!(inodes.get(999), Some(1998));
        assert_eq!(inodes.get(1000), None);
    }
}
