//! What lies in a source tree, as far as a git tree can hold it.

use crate::error::{Context, Result};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What no git tree can hold, and no kernel is built from.
const REPOSITORY: &str = ".git";

/// Something that lies in a source tree.
#[derive(Debug)]
pub(super) struct Entry {
    /// From the top of the tree on.
    pub path: PathBuf,
    pub kind: EntryKind,
    /// Another one whenever the file has changed.
    pub stamp: String,
}

/// What a git tree can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Executable,
    Link,
}

/// Returns everything below `root` that a git tree can hold, sorted.
pub(super) fn walk(root: &Path) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let failed = || format!("cannot read {}", root.join(&dir).display());
        for found in fs::read_dir(root.join(&dir)).machine(failed)? {
            let found = found.machine(failed)?;
            let path = dir.join(found.file_name());
            let metadata = found.metadata().machine(|| format!("cannot read {}", root.join(&path).display()))?;
            if found.file_name() == REPOSITORY {
                continue;
            }
            if metadata.is_dir() {
                dirs.push(path);
            } else if let Some(kind) = EntryKind::from_metadata(&metadata) {
                entries.push(Entry { path, kind, stamp: stamp(kind, &metadata) });
            }
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Marks scripts as executable in a tree none of whose files is, as an archive without modes or a file system without them leaves it: Kconfig
/// and the Makefiles run some by their path (`scripts/Kconfig.include` cc-version.sh since 5.12, the top Makefile setlocalversion).
pub(super) fn restore_modes(entries: &mut [Entry]) {
    if entries.iter().any(|entry| entry.kind == EntryKind::Executable) {
        return;
    }
    for entry in entries.iter_mut().filter(|entry| entry.kind == EntryKind::File && is_script(&entry.path)) {
        entry.kind = EntryKind::Executable;
    }
}

fn is_script(path: &Path) -> bool {
    match path.extension() {
        Some(extension) => ["sh", "pl", "py"].iter().any(|name| extension == *name),
        None => path.starts_with("scripts"),
    }
}

impl EntryKind {
    fn from_metadata(metadata: &Metadata) -> Option<Self> {
        match metadata.file_type() {
            kind if kind.is_symlink() => Some(Self::Link),
            kind if kind.is_file() && metadata.mode() & 0o100 != 0 => Some(Self::Executable),
            kind if kind.is_file() => Some(Self::File),
            _ => None,
        }
    }

    /// Returns the mode that git gives it.
    pub fn mode(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }
}

/// Returns what changes whenever a file does: its inode, length and times.
fn stamp(kind: EntryKind, metadata: &Metadata) -> String {
    let (modified, changed) = (metadata.mtime_nsec(), metadata.ctime_nsec());
    let times = format!("{}.{modified:09} {}.{changed:09}", metadata.mtime(), metadata.ctime());
    format!("{} {} {} {times}", kind.mode(), metadata.ino(), metadata.size())
}
