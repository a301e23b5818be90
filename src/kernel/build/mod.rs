//! Building a kernel: what it is made from, its configuration, the tree that it is built in, and where it is kept.

pub mod build_tree;
pub(crate) mod config;
pub mod coverage;
pub(crate) mod fragment;
pub mod incremental;
pub mod ingredients;
pub(crate) mod make;
pub mod store;
pub(crate) mod tree_builder;
