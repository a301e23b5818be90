//! Making the entries of directories, fast.

use super::{progress, syscall_log};
use crate::error::{Context, Error, Result};
use nfs_fault_server::dirtree::tree::{Kind, Tree};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Entries that make a piece of progress.
const ENTRIES_A_PIECE: u64 = 1000;
/// Where symbolic links lead: nowhere.
const NOWHERE: &CStr = c"nowhere";
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
const FILE_MODE: Mode = Mode::from_bits_truncate(0o644);
const DIRECTORY_MODE: Mode = Mode::from_bits_truncate(0o755);

/// Makes all directories and entries of `tree` in `dir`, which is its first directory. As many threads as there are CPUs
/// make a directory each, entry after entry, so that the order of making, by which some file systems list, is always the same.
pub fn tree(dir: &Path, tree: &Tree) -> Result<()> {
    let root = open(dir, DIRECTORY, Mode::empty()).machine(|| format!("cannot open {}", dir.display()))?;
    let mut path = Name::default();
    for node in 1..tree.nodes().len() {
        sign_of_life(node as u64);
        let path = path.from(|bytes| tree.path(node, bytes))?;
        mkdirat(&root, path, DIRECTORY_MODE).machine(|| format!("cannot make {path:?} in {}", dir.display()))?;
    }
    syscall_log::record(|| format!("make {} entries in {} directories of {dir:?}", tree.entries(), tree.nodes().len()));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut nodes = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        nodes.by_ref().take_while(|node| *node < tree.nodes().len()).try_for_each(|node| fill(dir, &root, tree, node))
    };
    let threads = std::thread::available_parallelism().map_or(1, |cpus| cpus.get()).min(tree.nodes().len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let results = others.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Error::machine(format!("a thread that fills {} died", dir.display()))))
        });
        results.fold(mine, Result::and)
    })
}

/// Makes the entries of one directory that are no directories of the shape.
fn fill(dir: &Path, root: &OwnedFd, tree: &Tree, node: usize) -> Result<()> {
    let files = tree.nodes()[node].files.clone();
    if files.is_empty() {
        return Ok(());
    }
    let (mut path, mut first, mut name) = (Name::default(), Name::default(), Name::default());
    let path = if node == 0 { c"." } else { path.from(|bytes| tree.path(node, bytes))? };
    let within = || format!("{}/{}", dir.display(), path.to_bytes().escape_ascii());
    let fd = openat(root, path, DIRECTORY, Mode::empty()).machine(|| format!("cannot open {}", within()))?;
    let first = first.from(|bytes| _ = tree.entry(node, 0, bytes))?;
    for place in 0..files.end - files.start {
        sign_of_life(place);
        let mut kind = None;
        let name = name.from(|bytes| kind = tree.entry(node, place, bytes))?;
        let kind = kind.unwrap_or(Kind::File);
        make(&fd, name, kind, first).machine(|| format!("cannot make {name:?} in {}", within()))?;
    }
    Ok(())
}

/// Makes one entry; a hard link is one of `first`.
///
/// mknodat needs no file descriptor and takes about two thirds of the time of openat and close. A hard link is no file of
/// its own, io_uring is slower, and a second thread gains little, because a directory has one lock. See docs/benchmarks.md.
fn make(fd: &OwnedFd, name: &CStr, kind: Kind, first: &CStr) -> std::result::Result<(), Errno> {
    match kind {
        Kind::File => mknodat(fd, name, SFlag::S_IFREG, FILE_MODE, 0),
        Kind::Directory(_) | Kind::EmptyDirectory => mkdirat(fd, name, DIRECTORY_MODE),
        Kind::Symlink => symlinkat(NOWHERE, fd, name),
        Kind::HardLink(_) => linkat(fd, first, fd, name, AtFlags::empty()),
    }
}

fn sign_of_life(number: u64) {
    if number % ENTRIES_A_PIECE == 0 {
        progress::made();
    }
}

/// Room for one name after the other, each ended by a NUL as the kernel wants it.
#[derive(Default)]
struct Name(Vec<u8>);

impl Name {
    fn from(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<&CStr> {
        self.0.clear();
        write(&mut self.0);
        self.0.push(0);
        CStr::from_bytes_with_nul(&self.0)
            .machine(|| format!("no file can be called \"{}\"", self.0[..self.0.len() - 1].escape_ascii()))
    }
}
