//! TODO: what this room is.

pub(crate) mod actions;
pub(crate) mod concurrent;
pub(crate) mod cursor;
pub(crate) mod pass;
pub(crate) mod runner;
pub mod side;
pub(crate) mod target;
