//! Whether a listing was complete: each name that was there is shown exactly once, as what it is, and nothing that never was.
//!
//! No name is stored. The names of a tree are a formula that tells a name's number, so one bit for each entry of a directory
//! says whether it was shown; the name that the formula gives for the number must be the one that was shown, byte for byte.

pub(crate) mod bitset;
pub(crate) mod changes;
pub mod checker;
pub(crate) mod inodes;
pub(crate) mod mismatch;
pub(crate) mod summary;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod walk;

pub use changes::{Other, Presence};
pub use checker::{ADDED, Check, RENAMED, Seen};
pub use inodes::Inodes;
pub use walk::walk_and_check;
