//! Kernels as a distribution builds them, by name: which there are, getting them, and getting them with a patch.

pub mod named;
pub mod offer;
