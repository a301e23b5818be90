//! What a scenario's values must be, beyond their types.

pub mod cluster;
pub mod complaint;
pub(crate) mod directory;
pub(crate) mod files;
pub(crate) mod passes;
pub(crate) mod steps;
pub(crate) mod values;

pub(crate) use values::{MAX_CPUS, check};
