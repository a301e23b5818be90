//! Fuzzing of what reads directories.

use super::getdents::Records;

/// What a call of getdents64 put into its buffer.
pub fn dirents(data: &[u8]) {
    let mut bytes = 0;
    for record in Records(data) {
        bytes += record.name.len();
        assert!(!record.name.contains(&0), "a name goes on behind its end");
    }
    assert!(bytes <= data.len(), "names overlap");
}
