//! Making, listing and checking directories and files, wherever they are.

pub mod check;
pub mod file_ops;
pub mod interrupt;
pub mod listing;
pub mod populate;
pub mod progress;
pub mod syscall_log;
