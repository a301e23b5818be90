//! Making the entries of a directory, fast.

use super::names::NameMaker;
use super::progress;
use crate::error::{Context, Result};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, SFlag, mknodat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Files that make a piece of progress.
const FILES_A_PIECE: u64 = 1000;

/// Makes `count` empty files in `dir`. mknodat needs no file descriptor, which makes it a quarter faster than open
/// and close.
pub fn files(dir: &Path, names: &NameMaker, count: u64) -> Result<()> {
    let fd = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())
        .machine(|| format!("cannot open {}", dir.display()))?;
    let mut name = Vec::with_capacity(256);
    for number in 0..count {
        if number % FILES_A_PIECE == 0 {
            progress::made();
        }
        name.clear();
        names.write(number, &mut name);
        mknodat(&fd, OsStr::from_bytes(&name), SFlag::S_IFREG, Mode::from_bits_truncate(0o644), 0)
            .machine(|| format!("cannot make file {} of {count} in {}", number + 1, dir.display()))?;
    }
    Ok(())
}
