//! What host and guest say to each other, and the limits that both sides obey.

pub mod agent;
pub(crate) mod framing;
pub mod guest_paths;
pub mod message;
pub(crate) mod packed;
pub mod request;
pub mod timing;
pub(crate) mod validate;
