//! What a format of reports is: an option of `dirleak report` and the file that it writes.

use crate::error::Result;
use crate::report::console::Logs;
use crate::report::merge::Report;
use std::fmt::Debug;
use std::panic::RefUnwindSafe;

/// A kind of file that reports are written as.
pub trait Format: Debug + RefUnwindSafe + Sync {
    /// Returns the name of its option, without the dashes.
    fn option(&self) -> &'static str;

    /// Returns what the option does, as `--help` has it.
    fn help(&self) -> &'static str;

    /// Returns the whole file. Whatever is from a result or a log is text in it, and neither markup nor a formula nor an order to a
    /// terminal.
    fn render(&self, report: &Report, logs: &Logs) -> Result<Vec<u8>>;
}
