//! Fuzzing of what reads directories.

use super::getdents::Dirents;

/// Reads what a call of getdents64 put into its buffer.
pub fn dirents(data: &[u8]) {
    // Where a name ends is looked for in a record's last bytes only, so that one of a kernel that lies may hold a NUL.
    let bytes: usize = Dirents(data).map(|record| record.name.len()).sum();
    assert!(bytes <= data.len(), "names overlap");
}
