//! A guest for a scenario: what it boots from, and what of the kernel must be heeded.

pub mod guest_image;
pub mod job;
pub mod kernel_quirks;
pub(crate) mod modules;
pub(crate) mod nfs_utils;
pub mod pool;
pub mod ready;
