//! readdir(3): the C library's own reading, with its buffer, of an open directory.

use super::entry::Dirent;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;

/// A `DIR` of the C library.
pub struct Stream {
    dir: NonNull<libc::DIR>,
    fd: RawFd,
}

// SAFETY: a DIR may be used by any thread, by one at a time.
unsafe impl Send for Stream {}

impl Stream {
    /// Takes an open directory over.
    pub fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let raw = fd.as_raw_fd();
        // SAFETY: the descriptor is open; if the call fails it stays ours and is closed.
        let dir = NonNull::new(unsafe { libc::fdopendir(raw) }).ok_or_else(Errno::last)?;
        // The DIR closes it from now on.
        let fd = fd.into_raw_fd();
        Ok(Self { dir, fd })
    }

    /// Reads the next entry; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Dirent<'_>>, Errno> {
        Errno::clear();
        // SAFETY: the DIR is open.
        let entry = unsafe { libc::readdir64(self.dir.as_ptr()) };
        if entry.is_null() {
            return if Errno::last_raw() == 0 { Ok(None) } else { Err(Errno::last()) };
        }
        // SAFETY: what readdir64 returned stays until the next call, which needs `self`. The name is as long as it is and
        // ends in a NUL; no reference is made to the whole struct, whose name has room for more than was written.
        let record = unsafe {
            Dirent {
                name: CStr::from_ptr((&raw const (*entry).d_name).cast()).to_bytes(),
                inode: (&raw const (*entry).d_ino).read(),
                cookie: (&raw const (*entry).d_off).read(),
                d_type: (&raw const (*entry).d_type).read(),
                stat: None,
            }
        };
        Ok(Some(record))
    }

    /// Goes on at a cookie.
    pub fn seek(&mut self, cookie: i64) {
        // SAFETY: the DIR is open. A cookie is what telldir(3) would have said after that entry.
        unsafe { libc::seekdir(self.dir.as_ptr(), cookie) }
    }

    /// Begins anew.
    pub fn rewind(&mut self) {
        // SAFETY: the DIR is open.
        unsafe { libc::rewinddir(self.dir.as_ptr()) }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the DIR keeps it open as long as it lives.
        unsafe { BorrowedFd::borrow_raw(self.fd) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the DIR is open and nobody uses it afterwards.
        unsafe { libc::closedir(self.dir.as_ptr()) };
    }
}
