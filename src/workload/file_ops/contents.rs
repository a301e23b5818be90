//! What must be in a file: bytes by formula where something was written, zeroes where nothing was.

use nfs_fault_server::dirtree::names::scatter;

const WORD_BYTES: u64 = 8;

/// The bytes of a file, of which none is stored.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Contents {
    salt: u64,
    length: u64,
    /// From where to where something was written, sorted and apart.
    written: Vec<(u64, u64)>,
}

impl Contents {
    /// Returns an empty file whose bytes will be those of `salt`.
    pub fn new(salt: u64) -> Self {
        Self { salt, ..Self::default() }
    }

    /// Returns its length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns where the first written byte is.
    pub fn first_data(&self) -> Option<u64> {
        self.written.first().map(|(begin, _)| *begin)
    }

    /// Notes that bytes were written.
    pub fn write(&mut self, from: u64, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let (mut begin, mut end) = (from, from + bytes);
        self.written.retain(|&(b, e)| {
            let is_apart = e < begin || end < b;
            if !is_apart {
                (begin, end) = (begin.min(b), end.max(e));
            }
            is_apart
        });
        self.written.push((begin, end));
        self.written.sort_unstable();
        self.length = self.length.max(end);
    }

    /// Notes that the file has another length.
    pub fn truncate(&mut self, length: u64) {
        self.punch(length, u64::MAX - length);
        self.length = length;
    }

    /// Notes that the file is at least so long.
    pub fn extend(&mut self, length: u64) {
        self.length = self.length.max(length);
    }

    /// Notes that there is a hole now.
    pub fn punch(&mut self, from: u64, bytes: u64) {
        let end = from + bytes;
        let kept = self.written.iter().flat_map(|&(b, e)| [(b, e.min(from)), (b.max(end), e)]);
        self.written = kept.filter(|(b, e)| b < e).collect();
    }

    /// Fills `buffer` with what a write at `from` writes.
    pub fn fill_pattern(&self, from: u64, buffer: &mut [u8]) {
        let mut at = 0;
        while at < buffer.len() {
            let offset = from + at as u64;
            let word = scatter(self.salt ^ (offset / WORD_BYTES)).to_le_bytes();
            let skip = (offset % WORD_BYTES) as usize;
            let bytes = (word.len() - skip).min(buffer.len() - at);
            buffer[at..at + bytes].copy_from_slice(&word[skip..skip + bytes]);
            at += bytes;
        }
    }

    /// Fills `buffer` with what must be read at `from`.
    pub fn fill(&self, from: u64, buffer: &mut [u8]) {
        let end = from + buffer.len() as u64;
        buffer.fill(0);
        for &(b, e) in &self.written {
            let (b, e) = (b.max(from), e.min(end));
            if b < e {
                self.fill_pattern(b, &mut buffer[(b - from) as usize..(e - from) as usize]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what must be read of the whole file.
    fn bytes(contents: &Contents) -> Vec<u8> {
        let mut buffer = vec![1; contents.length() as usize];
        contents.fill(0, &mut buffer);
        buffer
    }

    #[test]
    fn what_was_never_written_is_zero() {
        let mut contents = Contents::new(7);
        contents.write(10, 10);
        contents.extend(40);
        let read = bytes(&contents);
        assert_eq!(read.len(), 40);
        assert!(read[..10].iter().chain(&read[20..]).all(|byte| *byte == 0));
        let mut written = [0; 10];
        contents.fill_pattern(10, &mut written);
        assert_eq!(read[10..20], written);
        assert_eq!(contents.first_data(), Some(10));
    }

    #[test]
    fn pattern_does_not_depend_on_where_a_write_begins() {
        let mut contents = Contents::new(3);
        for (from, bytes) in [(0, 5), (5, 1), (6, 30), (40, 2)] {
            contents.write(from, bytes);
        }
        let mut whole = [0; 36];
        contents.fill_pattern(0, &mut whole);
        assert_eq!(bytes(&contents)[..36], whole);
        assert_eq!(contents.written, [(0, 36), (40, 42)]);
        assert_ne!(whole[..8], [0; 8]);
    }

    #[test]
    fn hole_and_truncation_take_what_was_written() {
        let mut contents = Contents::new(3);
        contents.write(0, 100);
        contents.punch(20, 30);
        assert_eq!((contents.written.as_slice(), contents.length()), (&[(0, 20), (50, 100)][..], 100));
        contents.truncate(60);
        contents.truncate(80);
        assert_eq!((contents.written.as_slice(), contents.length()), (&[(0, 20), (50, 60)][..], 80));
        contents.truncate(0);
        assert_eq!((contents.first_data(), contents.length()), (None, 0));
    }
}
