//! One open directory that is being read: call by call, from any cookie.

use super::entry::{Attributes, Call, Counts, Dirent, ListError, ReadMethod, Stat, failed};
use super::getdents::{Buffer, Dirents};
use super::stream::Stream;
use crate::workload::{progress, syscall_log};
use nix::NixPath;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use nix::unistd::{Whence, lseek};
use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// readdir(3) calls that make a piece of progress.
const ENTRIES_A_PIECE: u64 = 1000;

/// An open directory; dropping it closes it.
pub struct Reading<'b> {
    source: Source<'b>,
    stat: Stat,
    counts: Counts,
}

enum Source<'b> {
    Getdents {
        fd: OwnedFd,
        buffer: &'b mut Buffer,
        /// Bytes at the end of the last reply whose records nobody has taken yet.
        ahead: usize,
    },
    Stream(Stream),
}

/// How reading stands after a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stands {
    /// There may be more.
    Open,
    /// Whoever took the records wants no more. What else the call brought comes with the next step.
    Stopped,
    /// The directory is at its end.
    AtEnd,
}

impl<'b> Reading<'b> {
    pub(super) fn new(fd: OwnedFd, way: ReadMethod, buffer: &'b mut Buffer) -> Result<Self, ListError> {
        let source = match way.call {
            Call::Getdents { .. } => Source::Getdents { fd, buffer, ahead: 0 },
            Call::Readdir => Source::Stream(Stream::new(fd).map_err(failed("fdopendir"))?),
        };
        Ok(Self { source, stat: way.stat, counts: Counts::default() })
    }

    /// Makes one call of getdents64 or readdir(3), or what was left of the last; `each` gets its records and says
    /// whether to go on.
    pub fn step(&mut self, mut each: impl FnMut(&Dirent) -> ControlFlow<()>) -> Result<Stands, ListError> {
        let Self { source, stat, counts } = self;
        let entries = counts.entries;
        let fail = |call| move |errno| ListError { call, errno, entries };
        match source {
            Source::Getdents { fd, buffer, ahead } => {
                if *ahead == 0 {
                    *ahead = buffer.fill(fd.as_fd()).map_err(fail("getdents64"))?.len();
                    counts.getdents_calls += 1;
                    progress::made();
                    if *ahead == 0 {
                        return Ok(Stands::AtEnd);
                    }
                }
                let mut records = Dirents(buffer.last(std::mem::take(ahead)));
                while let Some(mut record) = records.next() {
                    counts.entries += 1;
                    record.stat = looked_at(fd.as_fd(), record.name, *stat);
                    if each(&record).is_break() {
                        *ahead = records.0.len();
                        return Ok(Stands::Stopped);
                    }
                }
            }
            Source::Stream(stream) => {
                // The descriptor is as good as the stream, which is lent to the record.
                let fd = stream.fd().as_raw_fd();
                let next = stream.next().map_err(fail("readdir"))?;
                let Some(mut record) = next else {
                    syscall_log::record(|| "readdir = NULL");
                    return Ok(Stands::AtEnd);
                };
                syscall_log::record(|| format!("readdir = \"{}\"", record.name.escape_ascii()));
                // SAFETY: the stream keeps it open.
                record.stat = looked_at(unsafe { BorrowedFd::borrow_raw(fd) }, record.name, *stat);
                counts.entries += 1;
                if counts.entries % ENTRIES_A_PIECE == 0 {
                    progress::made();
                }
                if each(&record).is_break() {
                    return Ok(Stands::Stopped);
                }
            }
        }
        Ok(Stands::Open)
    }

    /// Reads on, to the end or until `each` wants no more.
    pub fn go_on(&mut self, mut each: impl FnMut(&Dirent) -> ControlFlow<()>) -> Result<Stands, ListError> {
        loop {
            let stands = self.step(&mut each)?;
            if stands != Stands::Open {
                return Ok(stands);
            }
        }
    }

    /// Reads on for so many entries at most.
    pub fn take(&mut self, entries: u64, mut each: impl FnMut(&Dirent)) -> Result<Stands, ListError> {
        let mut left = entries;
        if left == 0 {
            return Ok(Stands::Stopped);
        }
        self.go_on(|record| {
            each(record);
            left -= 1;
            if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// Goes to where a cookie says.
    pub fn seek(&mut self, cookie: i64) -> Result<(), ListError> {
        let entries = self.counts.entries;
        match &mut self.source {
            Source::Getdents { fd, ahead, .. } => {
                *ahead = 0;
                let sought = lseek(fd.as_fd(), cookie, Whence::SeekSet);
                syscall_log::record(|| format!("lseek({cookie}) = {}", syscall_log::result(&sought)));
                sought.map(|_| ()).map_err(|errno| ListError { call: "lseek", errno, entries })
            }
            Source::Stream(stream) => {
                stream.seek(cookie);
                Ok(())
            }
        }
    }

    /// Goes back to the first entry.
    pub fn rewind(&mut self) -> Result<(), ListError> {
        match &mut self.source {
            Source::Getdents { .. } => self.seek(0),
            Source::Stream(stream) => {
                stream.rewind();
                Ok(())
            }
        }
    }

    /// Returns what reading took so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

impl AsFd for Reading<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.source {
            Source::Getdents { fd, .. } => fd.as_fd(),
            Source::Stream(stream) => stream.fd(),
        }
    }
}

#[inline]
fn looked_at(fd: BorrowedFd, name: &[u8], stat: Stat) -> Option<Result<Attributes, Errno>> {
    let name = OsStr::from_bytes(name);
    let found = match stat {
        Stat::Nothing => return None,
        Stat::Fstatat => {
            fstatat(fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).map(|found| attributes(found.st_ino, found.st_mode))
        }
        Stat::StatxDontSync => name.with_nix_path(|name| statx(fd, name)).and_then(|found| found),
    };
    syscall_log::record(|| format!("stat({name:?}) = {}", syscall_log::result(&found.map(|found| found.inode))));
    Some(found)
}

/// Returns attributes as getdents64 has them: DT_ constants are the type bits of a file's mode (IFTODT of dirent.h).
fn attributes(inode: u64, mode: u32) -> Attributes {
    Attributes { inode, d_type: ((mode & libc::S_IFMT) >> 12) as u8 }
}

fn statx(fd: BorrowedFd, name: &CStr) -> Result<Attributes, Errno> {
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_STATX_DONT_SYNC;
    let mask = libc::STATX_TYPE | libc::STATX_INO;
    // SAFETY: the name ends in a NUL and the struct is the kernel's to fill; all zeroes are a valid one.
    let found = unsafe {
        Errno::result(libc::statx(fd.as_raw_fd(), name.as_ptr(), flags, mask, found.as_mut_ptr()))?;
        found.assume_init()
    };
    Ok(attributes(found.stx_ino, u32::from(found.stx_mode)))
}
