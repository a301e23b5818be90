//! Which directories there are and what is in each of them: a formula of shape and seed that making, serving and checking
//! directories share. Only directories are stored, files are not.

use super::names::{NameMaker, scatter};
use super::spec::{Directory, Kinds, Shape};
use std::ops::Range;

/// Keeps what an entry is apart from how it is called, which comes of the same seed.
const KIND_SALT: u64 = 0x6b69_6e64;
/// Keeps which directory is how large apart from both.
const SIZE_SALT: u64 = 0x7369_7a65;

/// What an entry is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// An empty regular file.
    File,
    /// A directory of the shape: its number.
    Directory(usize),
    /// An empty directory that is an entry like others.
    EmptyDirectory,
    /// A symbolic link that leads nowhere.
    Symlink,
    /// A further name of the file with this number.
    HardLink(u64),
}

/// A directory that can be listed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dir {
    /// One of the shape, by its number.
    Node(usize),
    /// An empty one that is an entry of another: the number of that one, and the place in it.
    Empty {
        /// The number of the directory that it is an entry of.
        node: usize,
        /// Its place in that one.
        place: u64,
    },
}

/// One directory of the shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Node {
    /// The directory that holds it; the first holds itself.
    pub parent: usize,
    /// Levels below the first.
    pub depth: u64,
    /// Numbers of its entries that are no directories of the shape.
    pub files: Range<u64>,
    /// The directories in it.
    pub directories: Range<usize>,
}

impl Node {
    /// Returns how many entries there are, `.` and `..` not counted.
    pub fn entries(&self) -> u64 {
        self.files.end - self.files.start + self.directories.len() as u64
    }
}

/// All directories of a scenario; number 0 is the one that is mounted.
#[derive(Clone, Debug)]
pub struct Tree {
    names: NameMaker,
    kinds: Kinds,
    seed: u64,
    entries: u64,
    nodes: Vec<Node>,
}

impl Tree {
    /// Makes the tree that `directory` and `seed` describe.
    pub fn new(directory: &Directory, seed: u64) -> Self {
        let entries = directory.entries;
        let names = NameMaker::new(&directory.names, entries + directory.shape.directories(), seed);
        let mut nodes = directories(&directory.shape);
        let mut next = 0;
        for (node, share) in nodes.iter_mut().zip(shares(&directory.shape, entries, seed)) {
            node.files = next..next + share;
            next += share;
        }
        Self { names, kinds: directory.kinds, seed, entries, nodes }
    }

    /// Returns the directories, each behind the one that holds it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Returns how entries and directories of the shape are called, by number; the latter stand behind the entries.
    pub fn names(&self) -> &NameMaker {
        &self.names
    }

    /// Returns what entries are, by weight.
    pub fn kinds(&self) -> Kinds {
        self.kinds
    }

    /// Returns how many entries of all directories are no directories of the shape.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns how many entries all directories have, `.` and `..` not counted.
    pub fn all_entries(&self) -> u64 {
        self.entries + self.nodes.len() as u64 - 1
    }

    /// Returns what the place-th entry of a directory is: entries first, directories of the shape behind them. Its name is
    /// appended to `name`. `None` behind the last.
    pub fn entry(&self, node: usize, place: u64, name: &mut Vec<u8>) -> Option<Kind> {
        let Node { files, directories, .. } = &self.nodes[node];
        let number = files.start + place;
        if number < files.end {
            self.names.write(number, name);
            return Some(self.kind(files, number));
        }
        let directory = directories.start + usize::try_from(number - files.end).ok()?;
        directories.contains(&directory).then(|| {
            self.directory_name(directory, name);
            Kind::Directory(directory)
        })
    }

    /// Returns where in a directory the entry with exactly this name is, and what it is: `entry` the other way round.
    pub fn find(&self, node: usize, name: &[u8]) -> Option<(u64, Kind)> {
        let Node { files, directories, .. } = &self.nodes[node];
        let number = self.names.number(name)?;
        if files.contains(&number) {
            return Some((number - files.start, self.kind(files, number)));
        }
        let directory = usize::try_from(number.checked_sub(self.entries)?).ok()?.checked_add(1)?;
        let place = files.end - files.start + directory.checked_sub(directories.start)? as u64;
        directories.contains(&directory).then_some((place, Kind::Directory(directory)))
    }

    /// Returns the directory that holds the entry with this number; behind the last directory if none does. Numbers ascend
    /// from one directory to the next.
    pub fn node_of(&self, number: u64) -> usize {
        self.nodes.partition_point(|node| node.files.end <= number)
    }

    /// Returns the number of the place-th entry among all, directories of the shape behind the others; for inode
    /// numbers.
    pub fn number(&self, node: usize, place: u64) -> u64 {
        let Node { files, directories, .. } = &self.nodes[node];
        let number = files.start + place;
        if number < files.end { number } else { self.entries + directories.start as u64 + (number - files.end) - 1 }
    }

    /// Returns the directory that an entry is, if it is one.
    pub fn dir(node: usize, place: u64, kind: Kind) -> Option<Dir> {
        match kind {
            Kind::Directory(node) => Some(Dir::Node(node)),
            Kind::EmptyDirectory => Some(Dir::Empty { node, place }),
            Kind::File | Kind::Symlink | Kind::HardLink(_) => None,
        }
    }

    /// Returns the path of a directory below the first, without a slash in front; empty for the first.
    pub fn path_of(&self, dir: Dir) -> Vec<u8> {
        let mut path = Vec::new();
        match dir {
            Dir::Node(node) => self.path(node, &mut path),
            Dir::Empty { node, place } => {
                self.path(node, &mut path);
                path.extend((node != 0).then_some(b'/'));
                self.entry(node, place, &mut path);
            }
        }
        path
    }

    /// Appends the path of a directory below the first, without a slash in front; nothing for the first.
    pub fn path(&self, node: usize, path: &mut Vec<u8>) {
        if node == 0 {
            return;
        }
        let parent = self.nodes[node].parent;
        self.path(parent, path);
        if parent != 0 {
            path.push(b'/');
        }
        self.directory_name(node, path);
    }

    fn directory_name(&self, node: usize, name: &mut Vec<u8>) {
        self.names.write(self.entries + node as u64 - 1, name);
    }

    /// Returns what the entry with this number is, in a directory whose entries are `files`.
    pub fn kind(&self, files: &Range<u64>, number: u64) -> Kind {
        let Kinds { files: file, directories, symlinks, hard_links } = self.kinds;
        let sum = u64::from(file + directories + symlinks + hard_links);
        if sum == u64::from(file) {
            return Kind::File;
        }
        // What hard links are links to.
        if hard_links > 0 && number == files.start {
            return Kind::File;
        }
        let mut lot = scatter(self.seed ^ KIND_SALT ^ scatter(number)) % sum;
        for (weight, kind) in [(file, Kind::File), (directories, Kind::EmptyDirectory), (symlinks, Kind::Symlink)] {
            if lot < u64::from(weight) {
                return kind;
            }
            lot -= u64::from(weight);
        }
        Kind::HardLink(files.start)
    }
}

/// Returns the directories of a shape, level by level, without entries.
fn directories(shape: &Shape) -> Vec<Node> {
    let mut nodes = vec![Node { parent: 0, depth: 0, files: 0..0, directories: 0..0 }];
    let (fan_out, depth) = match shape {
        Shape::Flat => (0, 0),
        Shape::Many { .. } | Shape::WebSite { .. } | Shape::Sizes(_) => (shape.directories(), 1),
        Shape::Tree { fan_out, depth } => (*fan_out, *depth),
    };
    let mut parent = 0;
    while parent < nodes.len() {
        let level = nodes[parent].depth + 1;
        let first = nodes.len();
        if level <= depth {
            nodes.extend((0..fan_out).map(|_| Node { parent, depth: level, files: 0..0, directories: 0..0 }));
        }
        nodes[parent].directories = first..nodes.len();
        parent += 1;
    }
    nodes
}

/// Returns how many entries each directory has; the sum is `entries`.
fn shares(shape: &Shape, entries: u64, seed: u64) -> Vec<u64> {
    let evenly = |directories: u64| {
        let (each, more) = (entries / directories, entries % directories);
        (0..directories).map(move |number| each + u64::from(number < more)).collect::<Vec<_>>()
    };
    match shape {
        Shape::Flat => vec![entries],
        Shape::Many { directories } => [vec![0], evenly(*directories)].concat(),
        Shape::Sizes(sizes) => [&[0], &sizes[..]].concat(),
        Shape::Tree { .. } => evenly(shape.directories() + 1),
        Shape::WebSite { directories, exponent } => [vec![0], zipf(*directories, *exponent, entries, seed)].concat(),
    }
}

/// Deals entries to directories by Zipf's law; which directory has which rank comes of the seed.
fn zipf(directories: u64, exponent: f64, entries: u64, seed: u64) -> Vec<u64> {
    let weight = |rank: u64| (rank as f64).powf(-exponent);
    let sum: f64 = (1..=directories).map(weight).sum();
    let mut order: Vec<u64> = (0..directories).collect();
    order.sort_by_key(|directory| scatter(seed ^ SIZE_SALT ^ scatter(*directory)));
    let mut sizes = vec![0; directories as usize];
    // Each gets what the sum of shares so far, rounded, has more than before: so all of them sum up exactly.
    let (mut so_far, mut given) = (0.0, 0);
    for (rank, directory) in (1..).zip(order) {
        so_far += weight(rank);
        let until = if rank == directories { entries } else { (entries as f64 * so_far / sum).round() as u64 };
        sizes[directory as usize] = until.saturating_sub(given);
        given = given.max(until);
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirtree::name_spec::Names;
    use std::collections::HashSet;

    fn tree(shape: Shape, entries: u64) -> Tree {
        Tree::new(&Directory { shape, ..Directory::flat(entries, Names::random(8, 8)) }, 7)
    }

    /// Lists every entry's path and kind.
    fn walk(tree: &Tree) -> Vec<(Vec<u8>, Kind)> {
        let mut all = Vec::new();
        for node in 0..tree.nodes().len() {
            for place in 0.. {
                let mut path = Vec::new();
                tree.path(node, &mut path);
                path.push(b'/');
                let Some(kind) = tree.entry(node, place, &mut path) else { break };
                all.push((path, kind));
            }
        }
        all
    }

    #[test]
    fn every_shape_has_as_many_entries_and_directories_as_it_says() {
        for (shape, directories) in [
            (Shape::Flat, 0),
            (Shape::Many { directories: 7 }, 7),
            (Shape::Tree { fan_out: 3, depth: 3 }, 3 + 9 + 27),
            (Shape::WebSite { directories: 10, exponent: 1.0 }, 10),
            (Shape::Sizes(vec![17, 0, 983]), 3),
        ] {
            let tree = tree(shape.clone(), 1000);
            let all = walk(&tree);
            assert_eq!(shape.directories(), directories);
            assert_eq!(tree.nodes().len() as u64, 1 + directories);
            assert_eq!(all.len() as u64, 1000 + directories, "{shape:?}");
            assert_eq!(tree.all_entries(), all.len() as u64);
            assert_eq!(tree.nodes().iter().map(Node::entries).sum::<u64>(), all.len() as u64);
            let paths: HashSet<_> = all.iter().map(|(path, _)| path).collect();
            assert_eq!(paths.len(), all.len(), "every path is there once");
            let below = |node: usize| tree.nodes()[tree.nodes()[node].parent].directories.contains(&node);
            assert!((1..tree.nodes().len()).all(below));
        }
    }

    #[test]
    fn numbers_are_different_and_without_gaps() {
        let tree = tree(Shape::Tree { fan_out: 2, depth: 2 }, 100);
        let entries_of = |node: usize| (0..tree.nodes()[node].entries()).map(move |place| (node, place));
        let mut numbers: Vec<_> = (0..7).flat_map(entries_of).map(|(node, place)| tree.number(node, place)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..106).collect::<Vec<_>>());
    }

    #[test]
    fn every_entry_is_found_by_its_name_in_its_directory_only() {
        let tree = tree(Shape::Tree { fan_out: 3, depth: 2 }, 100);
        for node in 0..tree.nodes().len() {
            for place in 0..tree.nodes()[node].entries() {
                let mut name = Vec::new();
                let kind = tree.entry(node, place, &mut name).unwrap();
                assert_eq!(tree.find(node, &name), Some((place, kind)));
                assert_eq!(tree.find((node + 1) % tree.nodes().len(), &name), None);
            }
        }
        assert_eq!(tree.find(0, b"never made"), None);
    }

    #[test]
    fn sites_follow_zipfs_law() {
        let tree = tree(Shape::WebSite { directories: 100, exponent: 1.0 }, 100_000);
        let mut sizes: Vec<u64> = tree.nodes()[1..].iter().map(Node::entries).collect();
        sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        // The harmonic number of 100 is 5.187.
        assert_eq!(sizes[0], 19_278);
        assert!(sizes[9].abs_diff(1_928) <= 1 && sizes[99].abs_diff(193) <= 1, "{sizes:?}");
        assert_eq!(sizes.iter().sum::<u64>(), 100_000);
    }

    #[test]
    fn kinds_come_as_often_as_they_weigh() {
        let kinds = Kinds { files: 6, directories: 1, symlinks: 2, hard_links: 1 };
        let directory = Directory { kinds, ..Directory::flat(10_000, Names::random(8, 8)) };
        let all = walk(&Tree::new(&directory, 3));
        let count = |kind: Kind| all.iter().filter(|(_, k)| *k == kind).count();
        for (kind, expected) in
            [(Kind::File, 6000), (Kind::EmptyDirectory, 1000), (Kind::Symlink, 2000), (Kind::HardLink(0), 1000)]
        {
            assert!(count(kind).abs_diff(expected) < 150, "{kind:?}: {}", count(kind));
        }
        assert_eq!(all[0].1, Kind::File);
    }

    #[test]
    fn empty_directory_has_no_entry() {
        assert_eq!(walk(&tree(Shape::Flat, 0)), []);
    }
}
