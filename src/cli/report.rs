//! `dirleak report`: shows results that were measured earlier.

use crate::error::{Context, Result};
use crate::exit::Exit;
use crate::report::{json, text};
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Show results that were written with --json.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Result files.
    #[arg(value_name = "RESULT.json", required = true)]
    results: Vec<PathBuf>,
    /// Also tell where the time went.
    #[arg(long)]
    timings: bool,
}

/// Reads all files before it prints anything, so that a bad one does not hide below the others' text.
pub fn run(args: &Args) -> Result<Exit> {
    let files = args.results.iter().map(|path| json::read(path)).collect::<Result<Vec<_>>>()?;
    let mut shown = String::new();
    for (path, file) in args.results.iter().zip(&files) {
        if files.len() > 1 {
            shown += &format!("{}{}:\n", if shown.is_empty() { "" } else { "\n" }, path.display());
        }
        shown += &text::of(file);
        if args.timings {
            shown += &format!("\n{}", text::timings(&file.results));
        }
    }
    match std::io::stdout().write_all(shown.as_bytes()) {
        // Whoever reads may stop early: `dirleak report … | head`.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(Exit::Clean),
        written => written.machine(|| "cannot write to standard output".into()).map(|()| Exit::Clean),
    }
}
