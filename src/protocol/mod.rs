//! TODO: what this room is.

pub mod agent;
pub(crate) mod framing;
pub mod guest_paths;
pub mod message;
pub mod timing;
pub(crate) mod validate;
