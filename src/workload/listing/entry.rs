//! One entry of a directory, the ways of reading it, and how reading fails.

use crate::workload::syscall_log;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

/// How a directory is opened.
pub const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// How a directory is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReadMethod {
    pub call: Call,
    pub stat: Stat,
}

/// What is called for entries.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Call {
    /// getdents64(2) with a buffer of so many bytes.
    Getdents { buffer_bytes: usize },
    /// readdir(3) of the C library, which has a buffer of its own.
    Readdir,
}

/// What is done to each entry before the next one is taken, as `ls -l` does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Stat {
    Nothing,
    /// fstatat(2), not following symbolic links.
    Fstatat,
    /// statx(2) of its type and inode number with AT_STATX_DONT_SYNC: on NFS what the client knows, without asking the server.
    StatxDontSync,
}

/// One entry, as a listing shows it.
#[derive(Clone, Copy, Debug)]
pub struct Dirent<'a> {
    /// Without a NUL.
    pub name: &'a [u8],
    /// d_ino.
    pub inode: u64,
    /// d_off: where the next entry is found, as lseek takes it. Any 64 bits; their order means nothing.
    pub cookie: i64,
    /// DT_REG, DT_DIR, DT_LNK, or DT_UNKNOWN where the file system does not say.
    pub d_type: u8,
    /// What stat said of it, if the way of reading asks for that.
    pub stat: Option<Result<Attributes, Errno>>,
}

/// Returns whether a name is `.` or `..`, which every directory shows.
pub fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// What stat says of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Attributes {
    pub inode: u64,
    /// Its type as readdir would say it: DT_REG, DT_DIR, DT_LNK.
    pub d_type: u8,
}

/// A listing that the kernel broke off. EINTR is a failure like others; the one who reads may go on after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// What was called.
    pub call: &'static str,
    /// What it said.
    pub errno: Errno,
    /// Entries seen before.
    pub entries: u64,
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed with {} after {} entries", self.call, self.errno, self.entries)
    }
}

/// What a listing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries, `.` and `..` included.
    pub entries: u64,
    /// Calls of getdents64, those that returned 0 included; of readdir(3), which calls it as it needs.
    pub getdents_calls: u64,
}

impl ReadMethod {
    /// Reads by getdents64 with a buffer of so many bytes, and nothing else.
    pub const fn getdents(buffer_bytes: usize) -> Self {
        Self { call: Call::Getdents { buffer_bytes }, stat: Stat::Nothing }
    }
}

pub fn open_directory(dir: &Path) -> Result<OwnedFd, Errno> {
    let opened = open(dir, DIRECTORY, Mode::empty());
    syscall_log::record(|| format!("open({:?}) = {}", dir, syscall_log::result(&opened.as_ref().map(|_| 0))));
    opened
}

/// Returns what a call failed with before any entry was seen.
pub fn failed(call: &'static str) -> impl FnOnce(Errno) -> ListError {
    move |errno| ListError { call, errno, entries: 0 }
}

/// Makes one more descriptor of an open file: they have one position.
pub fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, ListError> {
    fd.try_clone().map_err(|e| failed("dup")(errno(&e)))
}

pub fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}
