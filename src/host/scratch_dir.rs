//! A directory of our own on the mount, made through it and taken away again.

use super::listing_digest::NameDigest;
use crate::dirtree::name_spec::Names as Naming;
use crate::dirtree::spec::Directory;
use crate::dirtree::tree::Tree;
use crate::error::{Error, Result};
use crate::os::signals;
use crate::workload::populate;
use std::path::Path;
use tempfile::TempDir;

/// How its name begins: who finds one that was left by a kill may remove it.
const PREFIX: &str = ".dirleak-";
/// Lengths of the names, in bytes: from kmalloc-32 to kmalloc-96.
const NAME_BYTES: (usize, usize) = (20, 80);

/// The directory; it is gone when this is dropped.
pub struct ScratchDir {
    dir: TempDir,
    /// What was made in it.
    pub names: NameDigest,
}

impl ScratchDir {
    /// Makes so many empty files in a directory of their own in `parent`.
    pub fn make(parent: &Path, entries: u64, seed: u64) -> Result<Self> {
        let made = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent);
        let dir = made.map_err(|e| {
            Error::machine(format!(
                "cannot make a scratch directory in {}: {e}; the export may be read-only, or its server not let root write (root_squash)",
                parent.display()
            ))
        })?;
        let tree = Tree::new(&Directory::flat(entries, Naming::random(NAME_BYTES.0, NAME_BYTES.1)), seed);
        let mut names = NameDigest::default();
        let mut name = Vec::new();
        for number in 0..entries {
            name.clear();
            tree.names().write(number, &mut name);
            names.add(&name);
        }
        populate::tree(dir.path(), &tree)?;
        signals::check()?;
        Ok(Self { dir, names })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes it away; what was left is told.
    pub fn remove(self) -> Result<()> {
        let path = self.dir.path().to_owned();
        self.dir
            .close()
            .map_err(|e| Error::machine(format!("cannot remove the scratch directory {}: {e}", path.display())))
    }
}
