//! Listing a directory in all ways there are: with getdents64 and a buffer of a given size, which on NFS decides how much is
//! read ahead, or with readdir(3); from any cookie, to any entry, by one reader or several.

pub mod entry;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod getdents;
pub mod processes;
pub mod reading;
mod stream;
pub mod threads;
pub mod timed;
pub mod walk;

#[cfg(test)]
mod tests;

use crate::error::Context;
use entry::{Call, Counts, DIRECTORY, Dirent, ListError, ReadMethod, failed, open_directory};
use nix::fcntl::{PosixFadviseAdvice, open, posix_fadvise};
use nix::sys::stat::Mode;
use reading::Reading;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Lists directories in one way, through one buffer that is used again for every listing.
pub struct Lister {
    way: ReadMethod,
    buffer: getdents::Buffer,
}

impl Lister {
    /// Makes a lister that reads in this way.
    pub fn new(way: ReadMethod) -> Self {
        let bytes = match way.call {
            Call::Getdents { buffer_bytes } => buffer_bytes,
            Call::Readdir => 0,
        };
        Self { way, buffer: getdents::Buffer::new(bytes) }
    }

    /// Opens a directory.
    pub fn open(&mut self, dir: &Path) -> Result<Reading<'_>, ListError> {
        self.read(open_directory(dir).map_err(failed("open"))?)
    }

    /// Reads an open directory from where it is.
    pub fn read(&mut self, fd: OwnedFd) -> Result<Reading<'_>, ListError> {
        Reading::new(fd, self.way, &mut self.buffer)
    }

    /// Makes one listing: open, read to the end, close; `each` gets every record.
    pub fn list(&mut self, dir: &Path, mut each: impl FnMut(&Dirent)) -> Result<Counts, ListError> {
        self.list_while(dir, |record| {
            each(record);
            ControlFlow::Continue(())
        })
    }

    /// Makes one listing, to the end or until `each` wants no more.
    pub fn list_while(
        &mut self,
        dir: &Path,
        each: impl FnMut(&Dirent) -> ControlFlow<()>,
    ) -> Result<Counts, ListError> {
        let mut reading = self.open(dir)?;
        reading.go_on(each)?;
        Ok(reading.counts())
    }
}

/// Takes the pages of a directory from the page cache, so that the next listing of it is cold; its dentries stay.
pub fn evict(dir: &Path) -> crate::error::Result<()> {
    let cannot = || format!("cannot evict the pages of {}", dir.display());
    let fd = open(dir, DIRECTORY, Mode::empty()).machine(cannot)?;
    posix_fadvise(&fd, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).machine(cannot)
}
