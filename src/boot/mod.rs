//! A guest for a scenario: what it boots from, and what of the kernel must be heeded.

pub mod guest_image;
pub mod job;
pub mod kernel_quirks;
pub(crate) mod modules;
pub(crate) mod nfs_utils;
pub(crate) mod packages;
pub mod pool;
mod programs;
pub mod ready;
