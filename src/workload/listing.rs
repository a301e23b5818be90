//! Listing a directory by getdents64 with a buffer of a given size, which on NFS decides how much is read ahead.

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
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
        let fd = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|errno| Failed { call: "open", errno, entries: 0 })?;
        let mut counts = Counts::default();
        loop {
            let bytes =
                self.getdents(&fd).map_err(|errno| Failed { call: "getdents64", errno, entries: counts.entries })?;
            counts.getdents_calls += 1;
            if bytes.is_empty() {
                return Ok(counts);
            }
            counts.entries += for_each_name(bytes, &mut each);
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

/// Walks the records of one getdents64 reply and gives how many there were.
fn for_each_name(mut records: &[u8], each: &mut impl FnMut(&[u8])) -> u64 {
    let mut count = 0;
    while records.len() > NAME_OFFSET {
        let length = usize::from(u16::from_ne_bytes([records[16], records[17]]));
        let record = &records[NAME_OFFSET..length];
        let end = record.iter().position(|&b| b == 0).unwrap_or(record.len());
        each(&record[..end]);
        records = &records[length..];
        count += 1;
    }
    count
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
        let names = NameMaker::new(&Names::Random { min_bytes: 2, max_bytes: 255 }, 500, 3);
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
    fn errors_of_the_kernel_are_told() {
        let failed = Lister::new(1024).list(Path::new("/dirleak-no-such-dir"), |_| ()).unwrap_err();
        assert_eq!(failed, Failed { call: "open", errno: Errno::ENOENT, entries: 0 });
        let dir = tempfile::tempdir().unwrap();
        let failed = Lister::new(16).list(dir.path(), |_| ()).unwrap_err();
        assert_eq!((failed.call, failed.errno), ("getdents64", Errno::EINVAL));
    }
}
