//! Memory of operations on files, and what can be wrong with one.

use super::contents::Contents;
use nix::errno::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// So much is read and written by one call.
pub(super) const MOST_AT_ONCE: u64 = 1 << 20;
/// What O_DIRECT asks of memory, and more than some file systems do.
pub(super) const ALIGNED_BYTES: usize = 4096;

/// Memory that files are read into and written from.
#[derive(Debug, Default)]
pub struct Buffers {
    pub(super) read: Vec<u8>,
    pub(super) expected: Vec<u8>,
}

/// What was wrong: an error of a call, or what the call brought.
pub enum Trouble {
    Errno(Errno),
    Wrong(String),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Errno(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
    }
}

/// How a part of an operation went.
pub type Checked = Result<(), Trouble>;

impl Buffers {
    /// Reads so many bytes from the beginning, or to the end, and compares them with what must be there.
    pub fn read(&mut self, file: &File, contents: &Contents, bytes: u64) -> Checked {
        let mut offset = 0;
        while offset < bytes {
            let piece = (bytes - offset).min(MOST_AT_ONCE) as usize;
            let buffer = aligned(&mut self.read, piece);
            let read = file.read_at(buffer, offset)?;
            let expected = contents.length().saturating_sub(offset).min(piece as u64) as usize;
            if read > expected || (read == 0 && expected > 0) {
                let length = contents.length();
                let end = offset + read as u64;
                return Err(Trouble::Wrong(format!("reading ended at byte {end} of a file of {length}")));
            }
            if read == 0 {
                return Ok(());
            }
            let wanted = aligned(&mut self.expected, read);
            contents.fill(offset, wanted);
            if let Some(at) = buffer[..read].iter().zip(wanted.iter()).position(|(found, wanted)| found != wanted) {
                let (byte, found, wanted) = (offset + at as u64, buffer[at], wanted[at]);
                return Err(Trouble::Wrong(format!("byte {byte} is {found:#04x} and must be {wanted:#04x}")));
            }
            offset += read as u64;
        }
        Ok(())
    }

    /// Writes so many bytes of the file's pattern, from a place on.
    pub fn write(&mut self, file: &File, contents: &Contents, from: u64, bytes: u64) -> Checked {
        let mut done = 0;
        while done < bytes {
            let buffer = aligned(&mut self.read, (bytes - done).min(MOST_AT_ONCE) as usize);
            contents.fill_pattern(from + done, buffer);
            file.write_all_at(buffer, from + done)?;
            done += buffer.len() as u64;
        }
        Ok(())
    }
}

/// Returns so many bytes of memory that begin at a page.
pub(super) fn aligned(memory: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    if memory.len() < bytes + ALIGNED_BYTES {
        memory.resize(bytes + ALIGNED_BYTES, 0);
    }
    let begin = memory.as_ptr().align_offset(ALIGNED_BYTES);
    &mut memory[begin..begin + bytes]
}
