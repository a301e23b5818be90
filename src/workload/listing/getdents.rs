//! getdents64(2): one call at a time, into a buffer of any size, and what stands in the buffer afterwards.

use super::Record;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Offset of the name in `struct linux_dirent64` (getdents(2)): d_ino 8, d_off 8, d_reclen 2, d_type 1.
const NAME_OFFSET: usize = 19;

/// What getdents64 writes to.
pub struct Buffer {
    words: Vec<u64>,
    bytes: usize,
}

impl Buffer {
    /// A buffer of `bytes` bytes. The kernel answers EINVAL if the next record does not fit: a name of 4 bytes or less needs
    /// 24, one of 255 bytes 280.
    pub fn new(bytes: usize) -> Self {
        // Records are aligned to 8 bytes, so the buffer is too.
        Self { words: vec![0; bytes.div_ceil(8)], bytes }
    }

    /// One call of getdents64; no bytes at the end of the directory.
    pub fn fill(&mut self, fd: BorrowedFd) -> Result<&[u8], Errno> {
        // SAFETY: the buffer is as large as said, and only the bytes that the kernel wrote are looked at.
        let filled =
            unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), self.words.as_mut_ptr(), self.bytes) };
        let filled = Errno::result(filled)? as usize;
        // SAFETY: u64 has no invalid bytes and `filled` is at most `self.bytes`.
        Ok(unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), filled) })
    }
}

/// The records of one getdents64 reply, in its order.
#[derive(Clone)]
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let bytes = self.0;
        if bytes.len() <= NAME_OFFSET {
            return None;
        }
        let word = |at: usize| bytes[at..at + 8].try_into().expect("eight bytes");
        let length = usize::from(u16::from_ne_bytes([bytes[16], bytes[17]]));
        let (record, rest) = bytes.split_at_checked(length)?;
        self.0 = rest;
        let name = CStr::from_bytes_until_nul(record.get(NAME_OFFSET..)?).ok()?;
        Some(Record {
            name,
            inode: u64::from_ne_bytes(word(0)),
            cookie: i64::from_ne_bytes(word(8)),
            d_type: bytes[18],
            stat: None,
        })
    }
}
