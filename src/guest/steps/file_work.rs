//! What operations on files need from step to step.

use crate::workload::file_ops::buffers::Buffers;
use std::collections::BTreeSet;

/// The directory that operations work in, on the mount and for control rounds: two, so that what a server keeps of one does not hang on what
/// is done to it locally.
pub(crate) const DIRS: [&str; 2] = ["files", "files-local"];
/// What is kept from step to step.
#[derive(Default)]
pub(super) struct FileWork {
    pub(super) buffers: Buffers,
    /// Units so far, on the mount and in the local directory.
    pub(super) units: [u64; 2],
    /// What could not be done in the local directory.
    pub(super) left_out: BTreeSet<String>,
    pub(super) seed: u64,
}

impl FileWork {
    /// Begins with nothing done, for the seed of a run.
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }
}
