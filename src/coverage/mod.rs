//! What code counts of its own execution, as gcc has it do (`-fprofile-arcs -ftest-coverage`) and Linux tells it (kernel/gcov): the records that
//! hold counters, the compiler's notes that say what they count, and what of it was reached.

pub mod counters;
pub mod flow;
pub mod gcda;
pub mod gcno;
pub mod reached;
pub mod source;
mod words;

/// Returns the head of what GCC 12.2 writes with this stamp.
#[cfg(test)]
pub(crate) fn words_of_gcc(stamp: u32) -> words::Header {
    words::Header { version: u32::from_be_bytes(*b"B22*"), stamp }
}
