//! Where a kernel's source comes from: a series of the catalog, a tree of the user's, patches.

pub mod catalog;
pub mod change;
pub mod debian;
pub(crate) mod patch;
pub mod snapshot;
pub mod unpack;
pub mod version;
