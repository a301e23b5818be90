//! Locks of whole files.

use super::action::LockKind;
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;

/// What is asked of a lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ask {
    Exclusive,
    Shared,
    Release,
    /// Whether somebody else has it.
    Test,
}

/// Asks for a lock of the whole file, without waiting for it.
pub fn ask(file: &File, kind: LockKind, ask: Ask) -> nix::Result<()> {
    match kind {
        LockKind::Flock => by_flock(file, ask),
        LockKind::Posix => by_fcntl(file, ask, [libc::F_SETLK, libc::F_GETLK]),
        LockKind::Ofd => by_fcntl(file, ask, [libc::F_OFD_SETLK, libc::F_OFD_GETLK]),
    }
}

fn by_fcntl(file: &File, ask: Ask, [set, get]: [libc::c_int; 2]) -> nix::Result<()> {
    let kind = match ask {
        Ask::Exclusive | Ask::Test => libc::F_WRLCK,
        Ask::Shared => libc::F_RDLCK,
        Ask::Release => libc::F_UNLCK,
    };
    // SAFETY: all zeroes are a valid struct flock: the whole file, and no process, which OFD locks need.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    let command = if ask == Ask::Test { get } else { set };
    // SAFETY: the struct lives as long as the call.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, &mut lock) })?;
    match ask {
        Ask::Test if lock.l_type != libc::F_UNLCK as libc::c_short => Err(Errno::EAGAIN),
        _ => Ok(()),
    }
}

fn by_flock(file: &File, ask: Ask) -> nix::Result<()> {
    let operation = match ask {
        Ask::Exclusive => libc::LOCK_EX,
        Ask::Shared => libc::LOCK_SH,
        Ask::Release => libc::LOCK_UN,
        // There is no such question.
        Ask::Test => return Err(Errno::EINVAL),
    };
    // SAFETY: flock takes no memory of ours.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), operation | libc::LOCK_NB) }).map(drop)
}
