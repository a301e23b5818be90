//! Counters in `.gcda` files: those of the kernel (convert_to_gcda in kernel/gcov/gcc_4_7.c, seen in 6.1), and those that gcov reads.

use super::gcno::ObjectNotes;
use super::words::{ARC_COUNTERS, DATA_MAGIC, FUNCTION, Header, Words};

/// The counters of a compilation, those of all functions in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCounters {
    pub header: Header,
    pub counters: Vec<u64>,
}

impl ObjectCounters {
    /// Reads a file; `None` if it is not as it is known to be.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut words = Words::new(bytes);
        let header = words.header(DATA_MAGIC)?;
        let mut counters = Vec::new();
        // What programs write ends with a word of zero.
        while !words.is_empty() && words.clone().word()? != 0 {
            if let Some(zeros) = words.zero_counters(ARC_COUNTERS) {
                counters.resize(counters.len() + zeros, 0);
                continue;
            }
            let mut record = words.record()?;
            while record.tag == ARC_COUNTERS && !record.content.is_empty() {
                counters.push(record.content.long()?);
            }
        }
        Some(Self { header, counters })
    }
}

/// Returns the file that gcov reads beside these notes, with these counters; those that are missing are zero.
pub fn write(notes: &ObjectNotes, counters: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut word = |word: u32| bytes.extend_from_slice(&word.to_ne_bytes());
    let Header { version, stamp } = notes.header;
    [DATA_MAGIC, version, stamp, 0].into_iter().for_each(&mut word);
    let mut counters = counters.iter().copied();
    // They are in the order in which the notes have the functions.
    for function in &notes.functions {
        let counted = function.counters();
        [FUNCTION, 12, function.ident, function.lines_checksum, function.flow_checksum].into_iter().for_each(&mut word);
        [ARC_COUNTERS, 8 * counted as u32].into_iter().for_each(&mut word);
        for _ in 0..counted {
            let counter = counters.next().unwrap_or_default();
            word(counter as u32);
            word((counter >> 32) as u32);
        }
    }
    bytes
}
