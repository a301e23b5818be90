//! Listing a directory by getdents64 with a buffer of a given size, which on NFS decides how much is read ahead.

use super::progress;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{Whence, lseek};
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Offset of the name in `struct linux_dirent64` (getdents(2)): d_ino 8, d_off 8, d_reclen 2, d_type 1.
const NAME_OFFSET: usize = 19;

/// A listing that the kernel broke off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What was called.
    pub call: &'static str,
    /// What it said.
    pub errno: Errno,
    /// Entries seen before.
    pub entries: u64,
}

/// What one complete listing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries, `.` and `..` included.
    pub entries: u64,
    /// Calls of getdents64, the last one, which returned 0, included.
    pub getdents_calls: u64,
}

/// Lists directories through one buffer, which is used again for every listing.
#[derive(Default)]
pub struct Lister {
    buffer: Vec<u64>,
    bytes: usize,
}

impl Lister {
    /// A lister whose getdents64 buffer has `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        // Records are aligned to 8 bytes, so the buffer is too.
        Self { buffer: vec![0; bytes.div_ceil(8)], bytes }
    }

    /// One listing: open, getdents64 to the end, close; `each` gets every name.
    pub fn list(&mut self, dir: &Path, mut each: impl FnMut(&[u8])) -> Result<Counts, Failed> {
        self.pass(dir, None, |_, records| {
            let count = records.map(|record| each(record.name.to_bytes())).count() as u64;
            Ok((count, ControlFlow::Continue(())))
        })
    }

    /// One pass: open, seek to `cookie` if there is one, getdents64 to the end, close. `each` gets the open directory and
    /// the records of one getdents64 call, and says how many it took and whether to go on.
    pub fn pass(
        &mut self,
        dir: &Path,
        cookie: Option<i64>,
        mut each: impl FnMut(&OwnedFd, Records) -> Result<(u64, ControlFlow<()>), Failed>,
    ) -> Result<Counts, Failed> {
        let mut counts = Counts::default();
        let fail = |call, counts: &Counts| {
            let entries = counts.entries;
            move |errno| Failed { call, errno, entries }
        };
        let fd = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(fail("open", &counts))?;
        if let Some(cookie) = cookie {
            lseek(&fd, cookie, Whence::SeekSet).map_err(fail("lseek", &counts))?;
        }
        loop {
            let bytes = self.getdents(&fd).map_err(fail("getdents64", &counts))?;
            counts.getdents_calls += 1;
            progress::made();
            if bytes.is_empty() {
                return Ok(counts);
            }
            let (entries, on) = each(&fd, Records(bytes))?;
            counts.entries += entries;
            if on.is_break() {
                return Ok(counts);
            }
        }
    }

    fn getdents(&mut self, fd: &OwnedFd) -> Result<&[u8], Errno> {
        // SAFETY: the buffer is as large as said, and only the bytes that the kernel wrote are looked at.
        let filled =
            unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), self.buffer.as_mut_ptr(), self.bytes) };
        let filled = Errno::result(filled)? as usize;
        // SAFETY: u64 has no invalid bytes and `filled` is at most `self.bytes`.
        Ok(unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), filled) })
    }
}

/// One record of a getdents64 reply.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub name: &'a CStr,
    /// Where the next entry is found: what lseek takes.
    pub cookie: i64,
}

/// The records of one getdents64 reply, in its order.
#[derive(Clone)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let bytes = self.0;
        if bytes.len() <= NAME_OFFSET {
            return None;
        }
        let cookie = i64::from_ne_bytes(bytes[8..16].try_into().expect("eight bytes"));
        let (record, rest) = bytes.split_at(usize::from(u16::from_ne_bytes([bytes[16], bytes[17]])));
        self.0 = rest;
        let name = CStr::from_bytes_until_nul(&record[NAME_OFFSET..]).unwrap_or_default();
        Some(Record { name, cookie })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Names;
    use crate::workload::check::Expected;
    use crate::workload::names::NameMaker;
    use crate::workload::populate;

    #[test]
    fn every_file_made_is_listed_whatever_the_buffer() {
        let dir = tempfile::tempdir().unwrap();
        let names = NameMaker::new(&Names::random(2, 255), 500, 3);
        populate::files(dir.path(), &names, 500).unwrap();
        for bytes in [280, 1024, 32768] {
            let mut expected = Expected::new(&names, 500);
            expected.begin();
            let counts = Lister::new(bytes).list(dir.path(), |name| expected.see(name)).unwrap();
            assert_eq!(expected.end(), Ok(()));
            assert_eq!(counts.entries, 502);
            assert!(counts.getdents_calls >= 2);
        }
    }

    #[test]
    fn a_pass_goes_on_at_a_cookie() {
        let dir = tempfile::tempdir().unwrap();
        let names = NameMaker::new(&Names::pattern("{n}"), 300, 0);
        populate::files(dir.path(), &names, 300).unwrap();
        let mut lister = Lister::new(512);
        let (mut seen, mut cookie) = (0, 0);
        let first = lister.pass(dir.path(), None, |_, mut records| {
            let taken = records.by_ref().take(100 - seen).inspect(|r| cookie = r.cookie).count();
            seen += taken;
            Ok((taken as u64, if seen == 100 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }))
        });
        let second =
            lister.pass(dir.path(), Some(cookie), |_, records| Ok((records.count() as u64, ControlFlow::Continue(()))));
        assert_eq!((first.unwrap().entries, second.unwrap().entries), (100, 202));
    }

    #[test]
    fn errors_of_the_kernel_are_told() {
        let failed = Lister::new(1024).list(Path::new("/dirleak-no-such-dir"), |_| ()).unwrap_err();
        assert_eq!(failed, Failed { call: "open", errno: Errno::ENOENT, entries: 0 });
        let dir = tempfile::tempdir().unwrap();
        let failed = Lister::new(16).list(dir.path(), |_| ()).unwrap_err();
        assert_eq!((failed.call, failed.errno), ("getdents64", Errno::EINVAL));
    }
}
