//! Where things that are costly to make are kept, how they are put there whole, and who may make them.

use super::owned;
use super::progress::Ui;
use super::signals;
use super::temp_dir::Scratch;
use crate::error::{Context, Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
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

    /// Returns where the cache is, or would be.
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

    /// Opens a cache in a given directory.
    pub fn at(root: PathBuf) -> Result<Self> {
        let unwritable = |e: &dyn std::fmt::Display| {
            let path = root.display();
            Error::machine(format!("cannot write the cache {path}: {e}; set XDG_CACHE_HOME to a writable directory"))
        };
        if let Some(parent) = root.parent() {
            fs::create_dir_all(parent).map_err(|e| unwritable(&e))?;
        }
        match DirBuilder::new().mode(PRIVATE).create(&root) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(unwritable(&e)),
            _ => make_private(&root)?,
        }
        tempfile::tempfile_in(&root).map_err(|e| unwritable(&e))?;
        Ok(Self { root })
    }

    /// Returns the cache's own directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a directory in the cache, made if missing.
    pub fn dir(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).machine(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Waits until no other dirleak holds `name`, then holds it. Waiting is said, once.
    pub fn lock(&self, name: &str, ui: &Ui) -> Result<Lock> {
        let path = self.dir("locks")?.join(name.replace('/', "_"));
        // A link of somebody else would lead to a file of his choice, and a FIFO would keep us waiting.
        let mut how = OpenOptions::new();
        how.write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        let mut file = how.open(&path).machine(|| format!("cannot make {}", path.display()))?;
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

/// What may be done with the cache by others: nothing, as it holds what is booted, built and believed.
const PRIVATE: u32 = 0o700;

/// Closes the cache at `root` to others. One that others could have put something into is refused.
fn make_private(root: &Path) -> Result<()> {
    let shown = root.display();
    let refused = |why: String| {
        Err(Error::machine(format!("the cache {shown} {why}; set XDG_CACHE_HOME to a directory of your own")))
    };
    let failed = || format!("cannot look at the cache {shown}");
    let link = fs::symlink_metadata(root).machine(failed)?;
    if !owned::is_of_us_or_root(&link) {
        return refused(format!("belongs to another user (user id {})", link.uid()));
    }
    let flags = libc::O_DIRECTORY | libc::O_NONBLOCK;
    let dir = OpenOptions::new().read(true).custom_flags(flags).open(root).machine(failed)?;
    let meta = dir.metadata().machine(failed)?;
    if !owned::is_of_us(&meta) {
        return refused(format!("belongs to another user (user id {})", meta.uid()));
    }
    if owned::is_writable_by_all(&meta) {
        return refused("may be written by everybody, so what is in it may be anybody's; remove it".to_owned());
    }
    for entry in fs::read_dir(root).machine(failed)?.flatten() {
        // What is gone meanwhile is nobody's.
        if entry.metadata().is_ok_and(|meta| !owned::is_of_us_or_root(&meta)) {
            return refused(format!("has something of another user in it, {}; remove it", entry.path().display()));
        }
    }
    if meta.mode() & 0o077 != 0 {
        let private = fs::Permissions::from_mode(PRIVATE);
        dir.set_permissions(private).machine(|| format!("cannot make the cache {shown} private"))?;
    }
    Ok(())
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
    fn install_that_fails_leaves_nothing_behind() {
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
    fn install_replaces_a_directory() {
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

    /// Makes a cache that could be written a moment ago.
    fn cache(dir: &Path) -> Cache {
        Cache::at(dir.join("dirleak")).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn cache_is_made_private_whether_it_was_there_or_not() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(mode(cache(dir.path()).root()), PRIVATE);
        fs::set_permissions(dir.path().join("dirleak"), fs::Permissions::from_mode(0o775)).unwrap();
        assert_eq!(mode(cache(dir.path()).root()), PRIVATE);
    }

    #[test]
    fn cache_that_others_could_have_filled_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = cache(dir.path()).root().to_owned();
        let refused = || Cache::at(root.clone()).unwrap_err().to_string();
        fs::set_permissions(&root, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(refused().contains("may be written by everybody"), "{}", refused());
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        // Only root can give files away.
        if nix::unistd::geteuid().is_root() {
            fs::create_dir(root.join("kernels")).unwrap();
            std::os::unix::fs::chown(root.join("kernels"), Some(65534), None).unwrap();
            assert!(refused().contains("has something of another user in it"), "{}", refused());
            std::os::unix::fs::chown(&root, Some(65534), None).unwrap();
            assert!(refused().contains("belongs to another user (user id 65534)"), "{}", refused());
            let own = dir.path().join("own");
            fs::create_dir(&own).unwrap();
            std::os::unix::fs::symlink(&own, dir.path().join("link")).unwrap();
            std::os::unix::fs::lchown(dir.path().join("link"), Some(65534), None).unwrap();
            let error = Cache::at(dir.path().join("link")).unwrap_err();
            assert!(error.to_string().contains("belongs to another user"), "{error}");
        }
    }

    #[test]
    fn lock_that_is_a_link_or_a_fifo_is_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let locks = cache.dir("locks").unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, locks.join("linked")).unwrap();
        assert!(cache.lock("linked", &Ui::silent()).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        nix::unistd::mkfifo(&locks.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(cache.lock("fifo", &Ui::silent()).is_err());
    }

    #[test]
    fn unwritable_cache_names_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Cache::at(file.join("dirleak")).unwrap_err();
        assert!(error.to_string().contains("set XDG_CACHE_HOME"), "{error}");
    }
}
