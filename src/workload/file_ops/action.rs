//! What can be done to a file.

use nix::errno::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One operation, with what it is told.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// open(2) of a new file, or of one that is there and is emptied, to read and write.
    Create,
    /// open(2) of a file that must not be there yet (O_EXCL).
    CreateExclusive,
    OpenRead,
    OpenWrite,
    OpenReadWrite,
    /// open(2) with O_APPEND.
    OpenAppend,
    /// open(2) with O_TRUNC, to write.
    OpenTruncate,
    /// open(2) with O_DIRECT, to read and write.
    OpenDirect,
    /// close(2) of what was opened last.
    Close,
    /// So many bytes from the beginning of what was opened last, or as many as there are.
    Read(u64),
    /// So many bytes at the beginning; at the end of a file that is open to append.
    Write(u64),
    /// So many bytes at the end.
    Append(u64),
    MmapRead(u64),
    /// mmap(2), shared, written and msync(2).
    MmapWrite(u64),
    Fsync,
    /// truncate(2) to so many bytes, by name.
    Truncate(u64),
    /// ftruncate(2) of what was opened last.
    Ftruncate(u64),
    /// fallocate(2) of so many bytes from the beginning.
    Fallocate(u64),
    /// fallocate(2) that makes a hole of so many bytes at the beginning.
    Punch(u64),
    /// lseek(2) to the first data.
    SeekData,
    /// lseek(2) to the first hole.
    SeekHole,
    /// copy_file_range(2) of all of what was opened last to this name, which is made and closed.
    CopyRange(String),
    Unlink,
    /// rename(2) to this name, over what is there.
    Rename(String),
    /// link(2): this name, too.
    Link(String),
    /// A symbolic link with this text.
    Symlink(String),
    Readlink,
    Mkdir,
    Rmdir,
    Mknod(NodeKind),
    /// lstat(2), which must tell what is so.
    Stat,
    Statfs,
    Chmod(u32),
    Chown(u32),
    /// utimensat(2), to so many seconds after 1970.
    Utimens(u32),
    Setxattr(String),
    Getxattr(String),
    Removexattr(String),
    Listxattr,
    SetAcl(AclKind),
    GetAcl(AclKind),
    /// The whole file, for what was opened last alone.
    Lock(LockKind),
    LockShared(LockKind),
    Unlock(LockKind),
    /// Whether the whole file could be locked (F_GETLK).
    TestLock(LockKind),
}

/// What mknod(2) makes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    Fifo,
    Socket,
    Char,
    Block,
}

/// Access control lists.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AclKind {
    /// That of POSIX, which version 3 has by a protocol of its own (NFSACL).
    Posix,
    /// That of POSIX which what is made in a directory inherits.
    Default,
    /// That of version 4 (`system.nfs4_acl`), set as it was read.
    V4,
}

/// Locks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// fcntl(2), held by the process.
    Posix,
    /// fcntl(2), held by the open file.
    Ofd,
    /// flock(2).
    Flock,
}

impl Action {
    /// Returns the other name that it is about, where it has one.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::CopyRange(name) | Self::Rename(name) | Self::Link(name) => Some(name),
            _ => None,
        }
    }

    /// Returns whether it opens a file.
    pub fn opens(&self) -> bool {
        use Action::{
            Create, CreateExclusive, OpenAppend, OpenDirect, OpenRead, OpenReadWrite, OpenTruncate, OpenWrite,
        };
        matches!(
            self,
            Create | CreateExclusive | OpenRead | OpenWrite | OpenReadWrite | OpenAppend | OpenTruncate | OpenDirect
        )
    }

    /// Returns whether it is done to what was opened last, and not to a name.
    pub fn needs_open(&self) -> bool {
        use Action::{
            Append, Close, CopyRange, Fallocate, Fsync, Ftruncate, Lock, LockShared, MmapRead, MmapWrite, Punch, Read,
            SeekData, SeekHole, TestLock, Unlock, Write,
        };
        matches!(
            self,
            Close
                | Read(_)
                | Write(_)
                | Append(_)
                | MmapRead(_)
                | MmapWrite(_)
                | Fsync
                | Ftruncate(_)
                | Fallocate(_)
                | Punch(_)
                | SeekData
                | SeekHole
                | CopyRange(_)
                | Lock(_)
                | LockShared(_)
                | Unlock(_)
                | TestLock(_)
        )
    }

    /// Returns the bytes that it is about, where it is about some.
    pub fn bytes(&self) -> Option<u64> {
        use Action::{Append, Fallocate, Ftruncate, MmapRead, MmapWrite, Punch, Read, Truncate, Write};
        match self {
            Read(bytes) | Write(bytes) | Append(bytes) | MmapRead(bytes) | MmapWrite(bytes) | Truncate(bytes)
            | Ftruncate(bytes) | Fallocate(bytes) | Punch(bytes) => Some(*bytes),
            _ => None,
        }
    }

    /// Returns the kind of lock that it is about, where it is about one.
    pub fn lock(&self) -> Option<LockKind> {
        match self {
            Self::Lock(kind) | Self::LockShared(kind) | Self::Unlock(kind) | Self::TestLock(kind) => Some(*kind),
            _ => None,
        }
    }
}

/// The operation as a scenario would have it.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self).unwrap_or_default() {
            serde_json::Value::String(word) => f.write_str(&word),
            serde_json::Value::Object(table) => {
                let mut pairs = table.iter().map(|(key, value)| format!("{key} = {value}"));
                f.write_str(&pairs.next().unwrap_or_default())
            }
            other => write!(f, "{other}"),
        }
    }
}

/// The errors that a call can be told to fail with go by their names in errno(3).
const LAST_ERRNO: i32 = 133;

/// Returns the error of this name, such as `EEXIST`.
pub fn errno_of_name(name: &str) -> Option<Errno> {
    let all = (1..=LAST_ERRNO).map(Errno::from_raw).filter(|errno| *errno != Errno::UnknownErrno);
    match name {
        "ENOTSUP" => Some(Errno::EOPNOTSUPP),
        "EWOULDBLOCK" => Some(Errno::EAGAIN),
        _ => all.into_iter().find(|errno| errno_name(*errno) == name),
    }
}

/// Returns the name of an error.
pub fn errno_name(errno: Errno) -> String {
    format!("{errno:?}")
}
