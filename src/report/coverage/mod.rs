//! What code of NFS scenarios executed: as text for a terminal, and as a tracefile of lcov.

pub mod lcov;
pub mod text;
