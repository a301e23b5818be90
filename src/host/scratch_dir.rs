//! A directory of our own on the mount, made through it and taken away again.

use super::left::OwnDirectory;
use super::listing_digest::NameDigest;
use super::made_tree::MadeTree;
use super::mount::Mounted;
use crate::error::{Error, Result};
use crate::os::signals;
use crate::workload::populate;
use std::path::{Path, PathBuf};

/// How its name begins: the next run removes one that was left by a kill.
const PREFIX: &str = ".dirleak-";
/// Lengths of the names, in bytes: from kmalloc-32 to kmalloc-96.
const NAME_BYTES: (usize, usize) = (20, 80);

/// The directory; it is gone when this is dropped.
pub struct ScratchDir {
    dir: OwnDirectory,
    /// What was made in it.
    pub names: NameDigest,
    /// What killed runs had left beside it, and is gone now.
    pub removed: Vec<String>,
}

impl ScratchDir {
    /// Makes so many empty files in a directory of their own in the directory that was named.
    pub fn make(parent: &Mounted, entries: u64, seed: u64) -> Result<Self> {
        let made = OwnDirectory::make(parent.descriptor()?, &parent.dir, PREFIX);
        let (dir, removed) = made.map_err(|e| {
            Error::machine(format!(
                "cannot make a scratch directory in {}: {e}; the export may be read-only, or its server not let root write (root_squash)",
                parent.dir.display()
            ))
        })?;
        let MadeTree { tree, names } = MadeTree::new(entries, NAME_BYTES, seed);
        // By its descriptor: whose directory it is in may put a link in its place.
        populate::tree(&dir.path_by_descriptor(), &tree)?;
        signals::check()?;
        Ok(Self { dir, names, removed })
    }

    /// Returns what it was called when it was made.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns a path that leads to it whatever it is called now.
    pub fn path_by_descriptor(&self) -> PathBuf {
        self.dir.path_by_descriptor()
    }

    /// Takes it away; what was left is told.
    pub fn remove(self) -> Result<()> {
        self.dir.remove()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn scratch_directory_that_somebody_replaced_is_told_at_the_end() {
        let home = tempfile::tempdir().unwrap();
        let make = || ScratchDir::make(&Mounted::made_up(home.path()), 5, 1).unwrap();
        let scratch = make();
        assert_eq!((scratch.names.count, fs::read_dir(scratch.path()).unwrap().count()), (5, 5));
        scratch.remove().unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        let scratch = make();
        fs::rename(scratch.path(), home.path().join("away")).unwrap();
        fs::create_dir(scratch.path()).unwrap();
        fs::write(scratch.path().join("of somebody else"), "text").unwrap();
        let error = scratch.remove().unwrap_err();
        assert!(error.to_string().starts_with("cannot remove the directory "), "{error}");
    }
}
