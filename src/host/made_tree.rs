//! A directory that is made for the measurement: its names, and what a listing of it must show.

use super::listing_digest::NameDigest;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;

/// So many names and their digest.
pub struct MadeTree {
    pub tree: Tree,
    pub names: NameDigest,
}

impl MadeTree {
    /// Makes so many random names whose lengths, in bytes, are between these.
    pub fn new(entries: u64, (least, most): (usize, usize), seed: u64) -> Self {
        let tree = Tree::new(&Directory::flat(entries, Names::random(least, most)), seed);
        let mut names = NameDigest::default();
        let mut name = Vec::new();
        for number in 0..entries {
            name.clear();
            tree.names().write(number, &mut name);
            names.add(&name);
        }
        Self { tree, names }
    }
}
