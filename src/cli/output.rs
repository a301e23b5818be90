//! Text on standard output.

use crate::error::{Context, Result};
use crate::text::layout;
use std::io::Write;

/// Prints text for people on standard output, its lines as long as a terminal is wide.
pub fn print(text: &str) -> Result<()> {
    match layout::terminal_width() {
        Some(width) => print_exactly(&layout::wrapped(text, width)),
        None => print_exactly(text),
    }
}

/// Prints text for programs on standard output. Whoever reads may stop early: `dirleak report … | head`.
pub fn print_exactly(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.machine(|| "cannot write to standard output".into()),
    }
}
