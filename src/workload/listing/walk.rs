//! A walk of a tree: every directory is read to its end before those in it are, depth first, as find, du and rm do.

use super::Lister;
use super::entry::{Counts, DIRECTORY, Dirent, ListError, duplicate, failed, open_directory};
use crate::workload::syscall_log;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Who hears of everything that a walk meets.
pub trait Visitor {
    /// What the visitor calls a directory.
    type Dir;
    /// Hears that a directory is open and will be read.
    fn enter(&mut self, dir: &Self::Dir);
    /// Takes an entry of the directory that is read; given back is what the visitor calls it if the walk is to go
    /// into it.
    fn entry(&mut self, record: &Dirent) -> Option<Self::Dir>;
    /// Returns whether the directory is to be read on; if not, it is left as if that were its end.
    fn goes_on(&self) -> bool {
        true
    }
    /// Hears that the directory was read to its end.
    fn leave(&mut self, dir: &Self::Dir);
}

/// A directory that was read, and what is in it and still to be visited, the next one last.
struct Level<D> {
    fd: OwnedFd,
    ahead: Vec<(Box<[u8]>, D)>,
}

/// Walks from `root`, which the visitor calls `dir`.
///
/// Each directory is opened by its name in the one that holds it, so no path is ever too long. The directories on the way
/// down stay open, and the names of those that are still to be visited are kept. Symbolic links are not followed.
pub fn walk<V: Visitor>(lister: &mut Lister, root: &Path, dir: V::Dir, visitor: &mut V) -> Result<Counts, ListError> {
    let mut counts = Counts::default();
    let fd = open_directory(root).map_err(failed("open"))?;
    let mut way_down = vec![read(lister, fd, &dir, visitor, &mut counts)?];
    while let Some(level) = way_down.last_mut() {
        let Some((name, dir)) = level.ahead.pop() else {
            way_down.pop();
            continue;
        };
        let entries = counts.entries;
        let opened = openat(&level.fd, OsStr::from_bytes(&name), DIRECTORY | OFlag::O_NOFOLLOW, Mode::empty());
        let said = opened.as_ref().map(|_| 0);
        syscall_log::record(|| format!("openat(\"{}\") = {}", name.escape_ascii(), syscall_log::result(&said)));
        let fd = opened.map_err(|errno| ListError { call: "open", errno, entries })?;
        way_down.push(read(lister, fd, &dir, visitor, &mut counts)?);
    }
    Ok(counts)
}

/// Reads one directory.
fn read<V: Visitor>(
    lister: &mut Lister,
    fd: OwnedFd,
    dir: &V::Dir,
    visitor: &mut V,
    counts: &mut Counts,
) -> Result<Level<V::Dir>, ListError> {
    let before = counts.entries;
    let behind = |f: ListError| ListError { entries: before + f.entries, ..f };
    let mut ahead = Vec::new();
    let mut reading = duplicate(&fd).and_then(|fd| lister.read(fd)).map_err(behind)?;
    visitor.enter(dir);
    reading
        .go_on(|record| {
            ahead.extend(visitor.entry(record).map(|dir| (record.name.into(), dir)));
            if visitor.goes_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .map_err(behind)?;
    visitor.leave(dir);
    counts.entries += reading.counts().entries;
    counts.getdents_calls += reading.counts().getdents_calls;
    ahead.reverse();
    Ok(Level { fd, ahead })
}
