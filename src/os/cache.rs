//! Where things that are costly to make are kept, how they are put there whole, and who may make them.

use super::progress::Ui;
use super::signals;
use super::temp_dir::Scratch;
use crate::error::{Context, Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where in the cache the consoles of guests are.
pub const LOGS: &str = "logs";

/// The directory `$XDG_CACHE_HOME/dirleak`, or `~/.cache/dirleak`.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// Held while one dirleak makes something; others wait.
pub struct Lock {
    _file: Flock<File>,
}

impl Cache {
    /// Finds the cache and makes sure that it can be written.
    pub fn open() -> Result<Self> {
        Self::at(Self::default_root()?)
    }

    /// Where the cache is, or would be.
    pub fn default_root() -> Result<PathBuf> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| Path::new(v).is_absolute()) {
            Some(dir) => PathBuf::from(dir),
            None => match std::env::var_os("HOME") {
                Some(home) => PathBuf::from(home).join(".cache"),
                None => return Err(Error::machine("no place for the cache: set XDG_CACHE_HOME or HOME")),
            },
        };
        Ok(base.join("dirleak"))
    }

    /// A cache in a given directory.
    pub fn at(root: PathBuf) -> Result<Self> {
        let unwritable = |e: &dyn std::fmt::Display| {
            let path = root.display();
            Error::machine(format!("cannot write the cache {path}: {e}; set XDG_CACHE_HOME to a writable directory"))
        };
        fs::create_dir_all(&root).map_err(|e| unwritable(&e))?;
        tempfile::tempfile_in(&root).map_err(|e| unwritable(&e))?;
        Ok(Self { root })
    }

    /// The cache's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A directory in the cache, made if missing.
    pub fn dir(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).machine(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Waits until no other dirleak holds `name`, then holds it. Waiting is said, once.
    pub fn lock(&self, name: &str, ui: &Ui) -> Result<Lock> {
        let path = self.dir("locks")?.join(name.replace('/', "_"));
        let mut file = File::create(&path).machine(|| format!("cannot make {}", path.display()))?;
        let mut said = false;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => return Ok(Lock { _file: locked }),
                Err((back, nix::errno::Errno::EWOULDBLOCK)) => file = back,
                Err((_, e)) => return Err(Error::machine(format!("cannot lock {}: {e}", path.display()))),
            }
            if !said {
                ui.line(&format!("waiting for another dirleak that is making {name}"));
                said = true;
            }
            signals::check()?;
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Makes the file or directory `target` whole or not at all: `make` writes to a temporary path beside it, which is
/// then renamed. Whatever is at `target` already is replaced.
pub fn install_atomically<T>(target: &Path, make: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let scratch = Scratch::within(target.parent().expect("a path in the cache has a parent"))?;
    let fresh = scratch.path().join("it");
    let made = make(&fresh)?;
    if target.is_dir() {
        // A directory cannot be renamed over another one; move the old one out of the way first.
        let old = scratch.path().join("old");
        fs::rename(target, &old).machine(|| format!("cannot replace {}", target.display()))?;
    }
    fs::rename(&fresh, target).machine(|| format!("cannot put {} in place", target.display()))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_leaves_nothing_behind_when_making_fails() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("thing");
        let result: Result<()> = install_atomically(&target, |new| {
            fs::write(new, "half").unwrap();
            Err(Error::machine("cut off"))
        });
        assert!(result.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn place_replaces_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("thing");
        for text in ["one", "two"] {
            install_atomically(&target, |new| {
                fs::create_dir(new).unwrap();
                fs::write(new.join("text"), text).machine(String::new)
            })
            .unwrap();
            assert_eq!(fs::read_to_string(target.join("text")).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unwritable_cache_names_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::at(file.join("dirleak")).unwrap_err();
        assert!(error.to_string().contains("set XDG_CACHE_HOME"), "{error}");
    }
}
