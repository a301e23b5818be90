//! TODO: what this room is.

pub mod executor;
pub(crate) mod round;
pub(crate) mod target;
