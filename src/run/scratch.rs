//! Where a run keeps what its guest boots from: gone with the run, however it ends.

use crate::cache::Cache;
use crate::error::{Context, Result};
use crate::ui::Ui;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What their names begin with: nothing else is removed.
const PREFIX: &str = "run-";

/// A directory that is removed with this; if we are killed before, the next run does it.
pub struct Scratch {
    dir: TempDir,
    /// Held as long as we live: who can take it knows that we do not.
    _alive: Flock<File>,
}

impl Scratch {
    /// Makes one, and removes those of runs that were killed.
    pub fn new(cache: &Cache, ui: &Ui) -> Result<Self> {
        let runs = cache.dir("runs")?;
        // A directory that another dirleak has made and not locked yet must not look like one of the dead.
        let _lock = cache.lock("runs", ui)?;
        forget_dead(&runs);
        let dir = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&runs)
            .machine(|| format!("cannot write in {}", runs.display()))?;
        let alive = lock(dir.path()).machine(|| format!("cannot lock {}", dir.path().display()))?;
        Ok(Self { dir, _alive: alive })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn lock(dir: &Path) -> std::io::Result<Flock<File>> {
    Flock::lock(File::open(dir)?, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// What cannot be removed is in nobody's way.
fn forget_dead(runs: &Path) {
    let Ok(entries) = fs::read_dir(runs) else { return };
    let ours = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
    let dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    for dir in dirs {
        if lock(&dir).is_ok() {
            let _ = fs::remove_dir_all(&dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_lives_is_not() {
        let home = tempfile::tempdir().unwrap();
        let cache = Cache::at(home.path().to_owned()).unwrap();
        let living = Scratch::new(&cache, &Ui::new()).unwrap();
        let left = cache.dir("runs/run-left").unwrap();
        fs::write(left.join("initramfs"), "large").unwrap();
        let next = Scratch::new(&cache, &Ui::new()).unwrap();
        assert!(!left.exists());
        assert!(living.path().is_dir() && next.path().is_dir());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }
}
