//! The file that comes, is renamed and goes in the directory that is being listed.

use crate::error::{Context, Result};
use crate::workload::check::{ADDED, RENAMED};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// Adds one file more to a directory.
pub fn add(directory: &Path) -> Result<()> {
    let path = directory.join(ADDED);
    fs::File::create(&path).map(|_| ()).machine(|| format!("cannot make {}", path.display()))
}

/// Gives that file another name, or its first one back, if it is there.
pub fn rename(directory: &Path) -> Result<()> {
    let [first, other] = [ADDED, RENAMED].map(|name| directory.join(name));
    match fs::rename(&first, &other) {
        Err(e) if e.kind() == ErrorKind::NotFound => absent(fs::rename(&other, &first)),
        result => result,
    }
    .machine(|| format!("cannot rename {}", first.display()))
}

/// Takes that file away, if it is there.
pub fn remove(directory: &Path) -> Result<()> {
    for path in [ADDED, RENAMED].map(|name| directory.join(name)) {
        absent(fs::remove_file(&path)).machine(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn absent(result: std::io::Result<()>) -> std::io::Result<()> {
    result.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}
