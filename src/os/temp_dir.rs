//! Directories for what is being made: gone with us, however we end.

use super::owned;
use crate::error::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What their names begin with: nothing else is removed.
const PREFIX: &str = ".new-";

/// A directory that is removed with this; if we are killed before, whoever makes the next one beside it does it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    /// Held as long as we live: who can take it knows that we do not.
    _alive: Flock<File>,
}

impl Scratch {
    /// Makes one in the directory `parent`, which is made if missing, and removes those whose makers were killed.
    pub fn within(parent: &Path) -> Result<Self> {
        let failed = || format!("cannot write in {}", parent.display());
        fs::create_dir_all(parent).machine(|| format!("cannot make {}", parent.display()))?;
        forget_dead(parent);
        loop {
            let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).machine(failed)?;
            match lock(dir.path()) {
                Ok(alive) if dir.path().exists() => return Ok(Self { dir, _alive: alive }),
                // Another dirleak took it for one of the dead before it was locked.
                Ok(_) | Err(Errno::EWOULDBLOCK | Errno::ENOENT) => {}
                Err(errno) => return Err(errno).machine(|| format!("cannot lock {}", dir.path().display())),
            }
        }
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn lock(dir: &Path) -> std::result::Result<Flock<File>, Errno> {
    // Whatever else bears such a name is not waited for, and a link leads to what is not ours.
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags).open(dir);
    let file = opened.map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)
}

/// Removes what killed processes left; what cannot be removed is in nobody's way.
fn forget_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let ours = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(PREFIX));
    let dirs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    for dir in dirs {
        // Held while it is removed, so that nobody takes it for living meanwhile.
        let dead = lock(&dir);
        if dead.as_ref().is_ok_and(|dead| dead.metadata().is_ok_and(|meta| owned::is_of_us(&meta))) {
            let _ = fs::remove_dir_all(&dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_of_a_killed_run_is_removed_and_that_of_a_living_one_is_not() {
        let home = tempfile::tempdir().unwrap();
        let living = Scratch::within(home.path()).unwrap();
        let left = home.path().join(".new-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("initramfs"), "large").unwrap();
        let other = home.path().join("other");
        fs::create_dir(&other).unwrap();
        let next = Scratch::within(home.path()).unwrap();
        assert!(!left.exists() && other.exists());
        assert!(living.path().is_dir() && next.path().is_dir());
        let path = next.path().to_owned();
        drop(next);
        assert!(!path.exists());
    }

    #[test]
    fn names_of_others_neither_hang_nor_lead_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let (parent, victim) = (home.path().join("parent"), home.path().join("victim"));
        fs::create_dir(&parent).unwrap();
        fs::create_dir(&victim).unwrap();
        nix::unistd::mkfifo(&parent.join(".new-fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(&victim, parent.join(".new-link")).unwrap();
        let (sender, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(Scratch::within(&parent).map(drop)));
        let made = done.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits for a FIFO");
        assert!(made.is_ok() && victim.is_dir());
    }

    #[test]
    fn makers_at_the_same_time_do_not_take_each_other_for_dead() {
        let home = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let scratch = Scratch::within(home.path()).unwrap();
                        fs::write(scratch.path().join("file"), "mine").unwrap();
                        assert!(scratch.path().join("file").exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
