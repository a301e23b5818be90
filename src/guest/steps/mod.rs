//! One unit: the steps of a scenario, done to the NFS mount, or as nearly as possible to a local directory.

pub(crate) mod actions;
pub(crate) mod concurrent;
pub(crate) mod cursor;
pub(crate) mod failing;
mod file_item;
mod file_work;
pub(crate) mod files;
pub(crate) mod pass;
pub(crate) mod program;
mod run_failing;
mod run_program;
pub(crate) mod runner;
pub mod side;
pub(crate) mod target;
