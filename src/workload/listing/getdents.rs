//! getdents64(2): one call at a time, into a buffer of any size, and what stands in the buffer afterwards.

use super::entry::Dirent;
use crate::workload::syscall_log;
use nix::errno::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Offset of the name in `struct linux_dirent64` (getdents(2)): d_ino 8, d_off 8, d_reclen 2, d_type 1.
const NAME_OFFSET: usize = 19;

/// What getdents64 writes to.
pub struct Buffer {
    words: Vec<u64>,
    bytes: usize,
    filled: usize,
}

impl Buffer {
    /// Makes a buffer of `bytes` bytes. The kernel answers EINVAL if the next record does not fit: a name of 4 bytes or
    /// less needs 24, one of 255 bytes 280.
    pub fn new(bytes: usize) -> Self {
        // Records are aligned to 8 bytes, so the buffer is too.
        Self { words: vec![0; bytes.div_ceil(8)], bytes, filled: 0 }
    }

    /// Makes one call of getdents64; no bytes at the end of the directory.
    pub fn fill(&mut self, fd: BorrowedFd) -> Result<&[u8], Errno> {
        self.filled = 0;
        // SAFETY: the buffer is as large as said, and only the bytes that the kernel wrote are looked at.
        let filled =
            unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), self.words.as_mut_ptr(), self.bytes) };
        let filled = Errno::result(filled);
        syscall_log::record(|| format!("getdents64({}) = {}", self.bytes, syscall_log::result(&filled)));
        self.filled = filled? as usize;
        Ok(self.last(self.filled))
    }

    /// Returns the last `bytes` bytes of what the last call brought.
    pub(super) fn last(&self, bytes: usize) -> &[u8] {
        // SAFETY: u64 has no invalid bytes, and the kernel filled so many of them.
        let filled = unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast::<u8>(), self.filled) };
        filled.split_at_checked(self.filled.saturating_sub(bytes)).map_or(filled, |(_, last)| last)
    }
}

/// The records of one getdents64 reply, in its order.
#[derive(Clone)]
pub struct Dirents<'a>(pub &'a [u8]);

impl<'a> Iterator for Dirents<'a> {
    type Item = Dirent<'a>;

    #[inline]
    fn next(&mut self) -> Option<Dirent<'a>> {
        let bytes = self.0;
        if bytes.len() <= NAME_OFFSET {
            return None;
        }
        let length = usize::from(u16::from_ne_bytes([bytes[16], bytes[17]]));
        if length <= NAME_OFFSET {
            return None;
        }
        let (record, rest) = bytes.split_at_checked(length)?;
        self.0 = rest;
        let word = |at: usize| record.get(at..at + 8)?.try_into().ok();
        let end = length - 8;
        let name = record.get(NAME_OFFSET..end + first_nul(u64::from_le_bytes(word(end)?), end)?)?;
        Some(Dirent {
            name,
            inode: u64::from_ne_bytes(word(0)?),
            cookie: i64::from_ne_bytes(word(8)?),
            d_type: bytes[18],
            stat: None,
        })
    }
}

/// Returns where in the last eight bytes of a record, which begin at `start`, the name ends. The record is as short as it can
/// be, so the NUL is among them.
#[inline]
fn first_nul(last: u64, start: usize) -> Option<usize> {
    // In the shortest record they hold other fields before the name.
    let fields = NAME_OFFSET.saturating_sub(start) * 8;
    let last = last | ((1 << fields) - 1);
    // The lowest byte that is 0 has its highest bit set here; those above it may have, too.
    let nuls = last.wrapping_sub(u64::from_ne_bytes([1; 8])) & !last & u64::from_ne_bytes([0x80; 8]);
    (nuls != 0).then(|| nuls.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a record that says that it is so long, of the name `a`.
    fn record(length: u16) -> Vec<u8> {
        let mut bytes = vec![1; 16];
        bytes.extend(length.to_ne_bytes());
        bytes.extend([8, b'a', 0, 0, 0, 0]);
        bytes
    }

    #[test]
    fn record_that_has_no_room_for_a_name_ends_the_listing() {
        let names = |length| Dirents(&record(length)).map(|record| record.name.to_vec()).collect::<Vec<_>>();
        assert_eq!(names(24), [b"a"]);
        for length in (0..20).chain([25, u16::MAX]) {
            assert_eq!(names(length), Vec::<Vec<u8>>::new(), "{length}");
        }
    }
}
