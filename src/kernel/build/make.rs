//! Running make in a private tree: what it writes is trusted only if it ended by itself, and what it said is kept.

use super::build_tree::Tree;
use crate::error::{Error, Result};
use crate::kernel::external::runner;
use crate::os::temp_dir::Scratch;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs `command`, which makes something in `tree`; `what` says in errors what it is about. `line` gets each line it prints, `tick` is
/// called now and then and can end it.
pub fn run(
    tree: &Tree,
    what: &str,
    command: &mut Command,
    line: impl FnMut(&str) + Send,
    tick: impl FnMut() -> Result<()>,
) -> Result<()> {
    let log = tree.beside("log");
    // A compiler that is killed leaves its temporary files.
    let temporary = Scratch::within(&tree.beside(""))?;
    command.env("TMPDIR", temporary.path());
    tree.begin_writing()?;
    let ended = runner::run(command, Stdio::null(), Some(&log), line, tick).map_err(|stopped| {
        if stopped.gently {
            // make removed what was half-written, so that the rest can be trusted.
            let _ = tree.end_writing();
        }
        stopped.why
    })?;
    if ended.disk_full {
        // Nothing in the tree can be trusted now; the note that says so stays.
        return Err(runner::disk_full(what, &tree.beside("")));
    }
    tree.end_writing()?;
    if ended.status.success() {
        return Ok(());
    }
    if ended.killed {
        // That is no fault of the sources, and must not be remembered as one.
        return Err(Error::machine(format!("{what}: the compiler was killed; there is probably too little memory")));
    }
    let log = keep_log(tree, log);
    let why = ended.complaint.unwrap_or_else(|| format!("make ended with {}", ended.status));
    Err(Error::kernel(format!("{what} failed: {why} (all of it: {})", log.display())))
}

/// Keeps the log of a failure from being overwritten by the next build.
fn keep_log(tree: &Tree, log: PathBuf) -> PathBuf {
    let kept = tree.beside("failed.log");
    if fs::rename(&log, &kept).is_ok() { kept } else { log }
}

/// Returns what a line such as `  CC [M]  fs/nfs/dir.o` says is made: `CC fs/nfs/dir.o`.
pub fn step(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("  ")?.split_whitespace().filter(|word| *word != "[M]");
    Some(format!("{} {}", words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::step;

    #[test]
    fn line_of_make_is_a_step() {
        assert_eq!(step("  CC [M]  fs/nfs/dir.o").as_deref(), Some("CC fs/nfs/dir.o"));
        assert_eq!(step("  LD      vmlinux").as_deref(), Some("LD vmlinux"));
        assert_eq!(step("make[1]: Entering directory"), None);
        assert_eq!(step("  "), None);
    }
}
