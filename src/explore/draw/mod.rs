//! Scenarios drawn by lot: each is one that a user could have written.

pub(crate) mod directory;
mod fault;
pub(crate) mod file_steps;
pub(crate) mod fresh;
pub(crate) mod mend;
pub(crate) mod mount;
pub(crate) mod steps;
