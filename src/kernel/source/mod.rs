//! Where a kernel's source comes from: a series of the catalog, a tree of the user's, patches.

mod built_in_place;
pub mod catalog;
pub mod change;
pub mod debian;
pub(crate) mod patch;
mod plain_tree;
pub mod snapshot;
mod tree_files;
pub mod unpack;
