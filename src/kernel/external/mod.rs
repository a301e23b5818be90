//! The programs that building takes.

pub mod git;
pub(crate) mod runner;
pub mod toolchain;
