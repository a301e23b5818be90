//! Making, listing and checking directories, wherever they are.

pub mod check;
pub mod interrupt;
pub mod listing;
pub mod populate;
pub mod progress;
pub mod syscall_log;
