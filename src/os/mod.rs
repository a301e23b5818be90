//! What is asked of the operating system: other programs, signals, files that are put in place whole, progress on a terminal.

pub mod assets;
pub mod cache;
pub mod output_file;
pub mod owned;
pub mod panic_hook;
pub mod process;
pub mod progress;
pub mod search_path;
pub mod signals;
pub mod temp_dir;
