//! Files of gcov: words of 32 bits in the byte order of the machine, and records of them (gcc/gcov-io.h of GCC 12).

/// Of `.gcda` files.
pub const DATA_MAGIC: u32 = u32::from_be_bytes(*b"gcda");
/// Of `.gcno` files.
pub const NOTES_MAGIC: u32 = u32::from_be_bytes(*b"gcno");
/// Begins the records of a function.
pub const FUNCTION: u32 = 0x0100_0000;
/// The counters of its arcs (GCOV_TAG_FOR_COUNTER of GCOV_COUNTER_ARCS).
pub const ARC_COUNTERS: u32 = 0x01a1_0000;

/// Reads words from bytes.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    bytes: &'a [u8],
}

/// Who wrote a file, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// As the file has it, for instance `B22*` of GCC 12.2.
    pub version: u32,
    /// The same in the notes and the counters of one compilation.
    pub stamp: u32,
}

/// A record: its tag, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub tag: u32,
    pub content: Words<'a>,
}

impl<'a> Words<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes the next word.
    pub fn word(&mut self) -> Option<u32> {
        let (word, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(u32::from_ne_bytes(*word))
    }

    /// Takes the next number of two words, the lower one first.
    pub fn long(&mut self) -> Option<u64> {
        let (low, high) = (self.word()?, self.word()?);
        Some(u64::from(high) << 32 | u64::from(low))
    }

    /// Takes the next string; since GCC 12 its length is in bytes, with the zero at its end.
    pub fn string(&mut self) -> Option<String> {
        let bytes = self.take(self.clone().word()? as usize + 4)?;
        Some(String::from_utf8_lossy(bytes[4..].split(|byte| *byte == 0).next()?).into_owned())
    }

    /// Takes the head of a file that begins with `magic`; `None` if it is another, or one of a compiler before GCC 12, whose records are measured
    /// in words.
    pub fn header(&mut self, magic: u32) -> Option<Header> {
        let found = self.word()?;
        let header = Header { version: self.word()?, stamp: self.word()? };
        self.word()?;
        (found == magic && gcc_major(header.version)? >= 12).then_some(header)
    }

    /// Takes the next record.
    pub fn record(&mut self) -> Option<Record<'a>> {
        let (tag, length) = (self.word()?, self.word()?);
        Some(Record { tag, content: Words::new(self.take(length as usize)?) })
    }

    /// Takes the head of a record of counters that are all zero, which programs write without them and with a negative length; gives how many there
    /// are. `None` if it is another record.
    pub fn zero_counters(&mut self, tag: u32) -> Option<usize> {
        let mut words = *self;
        let is_of_tag = words.word()? == tag;
        let length = words.word()? as i32;
        let count = usize::try_from(length.checked_neg()?).ok().filter(|bytes| is_of_tag && *bytes > 0)? / 8;
        // No file has more counters than it could have had bytes for them.
        (count < 1 << 20).then(|| {
            *self = words;
            count
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// Returns the major version of the compiler: `B22*` is 12.2.
fn gcc_major(version: u32) -> Option<u32> {
    let [tens, units, ..] = version.to_be_bytes();
    let tens = u32::from(tens.checked_sub(b'A').filter(|tens| *tens < 10)?);
    let units = u32::from(units.checked_sub(b'0').filter(|units| *units < 10)?);
    Some(10 * tens + units)
}
