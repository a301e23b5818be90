//! Making, listing and checking directories, wherever they are.

pub mod check;
pub mod interrupt;
pub mod listing;
pub mod names;
pub mod populate;
pub mod progress;
pub mod trace;
pub mod tree;
