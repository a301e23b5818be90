//! The programs that building takes.

pub mod gcov;
pub mod git;
pub(crate) mod runner;
pub mod toolchain;
