//! Directories that are made outside of the cache, taken away by their maker or, if it was killed, by a later run.
//!
//! They are made and emptied by file descriptors, as root may work in a directory of a user who renames things meanwhile; and nothing but
//! empty files is ever removed.

use super::mark::{Maker, Mark};
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::CString;
use std::fs::DirBuilder;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A directory, and no link that was put in its place.
const NO_LINK: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);
/// What was made before this machine was started anew is removed when it is as old as this: another machine may go by the same name.
const OLD_SECONDS: i64 = 24 * 3600;

/// Where a directory is made that only has to be somewhere: file systems in memory first.
const LOCAL: [&str; 3] = ["/dev/shm", "/run", "/tmp"];
/// How its name begins: the next run removes one that was left by a kill.
const LOCAL_PREFIX: &str = "dirleak-";

/// Names that are kept in memory while a directory is emptied, which may have millions.
const AT_ONCE: usize = 10_000;
/// Names among which what was left is looked for: whoever has a directory with millions waits for no listing of it.
const LOOKED_AT: usize = 100_000;

/// A directory of our own with empty files in it; it is gone when this is dropped.
#[derive(Debug)]
pub struct OwnDirectory {
    parent: OwnedFd,
    dir: OwnedFd,
    name: CString,
    path: PathBuf,
    is_gone: bool,
}

impl OwnDirectory {
    /// Makes one in the directory that `parent` is open at, which is shown as `shown`, and removes those there whose makers were killed.
    /// Gives their names, too.
    pub fn make(parent: OwnedFd, shown: &Path, prefix: &str) -> std::io::Result<(Self, Vec<String>)> {
        let beginning = format!("{prefix}{}", Mark::from_this_process());
        let within = format!("/proc/self/fd/{}", parent.as_raw_fd());
        let made = tempfile::Builder::new()
            .prefix(&beginning)
            .make_in(within, |path| DirBuilder::new().mode(0o700).create(path))?;
        let ((), path) = made.keep().map_err(|e| e.error)?;
        let name = path.file_name().unwrap_or_default();
        let (name, path) = (CString::new(name.as_bytes())?, shown.join(name));
        let dir = match openat(&parent, name.as_c_str(), NO_LINK | OFlag::O_PATH, Mode::empty()) {
            Ok(dir) => dir,
            Err(errno) => {
                let _ = unlinkat(&parent, name.as_c_str(), UnlinkatFlags::RemoveDir);
                return Err(errno.into());
            }
        };
        let own = Self { parent, dir, name, path, is_gone: false };
        let removed = own.remove_dead(prefix);
        Ok((own, removed))
    }

    /// Makes one on this machine, in memory if that can be.
    pub fn make_local() -> Result<Self> {
        let make = |parent: &Path| Self::make(open_parent(parent).ok()?, parent, LOCAL_PREFIX).ok();
        let made = LOCAL.iter().find_map(|parent| make(Path::new(parent)));
        made.map(|(dir, _)| dir)
            .ok_or_else(|| Error::machine(format!("cannot make a local directory in any of {}", LOCAL.join(", "))))
    }

    /// Returns where it was made. Who may rename it can have something else be there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a path that leads to it whatever it is called now.
    pub fn path_by_descriptor(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.dir.as_raw_fd()).into()
    }

    /// Returns another holder of it, of which one has to leave it to the other.
    pub fn twin(&self) -> std::io::Result<Self> {
        let (parent, dir) = (self.parent.try_clone()?, self.dir.try_clone()?);
        Ok(Self { parent, dir, name: self.name.clone(), path: self.path.clone(), is_gone: false })
    }

    /// Leaves it to who else holds it.
    pub fn leave(mut self) {
        self.is_gone = true;
    }

    /// Takes it away; what was left is told.
    pub fn remove(mut self) -> Result<()> {
        self.is_gone = true;
        let removed = empty(&self.dir).and_then(|()| self.unlink());
        removed.map_err(|errno| Error::machine(format!("cannot remove the directory {}: {errno}", self.path.display())))
    }

    fn unlink(&self) -> std::result::Result<(), Errno> {
        unlinkat(&self.parent, self.name.as_c_str(), UnlinkatFlags::RemoveDir)
    }

    /// Removes what killed runs left beside it, as far as it belongs to whom this one belongs to.
    fn remove_dead(&self, prefix: &str) -> Vec<String> {
        let Ok(owner) = fstat(&self.dir).map(|stat| stat.st_uid) else { return Vec::new() };
        let mut removed = Vec::new();
        for name in names(&self.parent, LOOKED_AT).unwrap_or_default() {
            let shown = name.to_string_lossy().into_owned();
            let Some(mark) = Mark::parse(&shown, prefix) else { continue };
            let Ok(dir) = openat(&self.parent, name.as_c_str(), NO_LINK | OFlag::O_PATH, Mode::empty()) else {
                continue;
            };
            let is_dead = fstat(&dir).is_ok_and(|stat| stat.st_uid == owner && is_left(&mark, &stat));
            if is_dead
                && empty(&dir).and_then(|()| unlinkat(&self.parent, name.as_c_str(), UnlinkatFlags::RemoveDir)).is_ok()
            {
                removed.push(shown);
            }
        }
        removed
    }
}

impl Drop for OwnDirectory {
    fn drop(&mut self) {
        if !self.is_gone {
            let _ = empty(&self.dir).and_then(|()| self.unlink());
        }
    }
}

/// Tells whether nobody will take away what bears this mark.
fn is_left(mark: &Mark, stat: &FileStat) -> bool {
    match mark.maker() {
        Maker::MayLive => false,
        Maker::IsDead => true,
        Maker::WasBefore => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
            now - stat.st_mtime > OLD_SECONDS
        }
    }
}

/// Removes the empty files in a directory, and nothing else.
fn empty(dir: &OwnedFd) -> std::result::Result<(), Errno> {
    loop {
        let names = names(dir, AT_ONCE)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let stat = fstatat(dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let is_file = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG;
            if !is_file || stat.st_size != 0 {
                return Err(Errno::ENOTEMPTY);
            }
            unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir)?;
        }
    }
}

/// Reads the first `most` names in a directory.
fn names(dir: &OwnedFd, most: usize) -> std::result::Result<Vec<CString>, Errno> {
    let read = |e: std::io::Error| Errno::from_raw(e.raw_os_error().unwrap_or_default());
    let entries = std::fs::read_dir(format!("/proc/self/fd/{}", dir.as_raw_fd())).map_err(read)?;
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        CString::new(entry.map_err(read)?.file_name().as_bytes()).map_err(|_| Errno::EINVAL)
    };
    entries.take(most).map(name).collect()
}

/// Opens a directory that others make something in, too.
pub fn open_parent(dir: &Path) -> Result<OwnedFd> {
    open(dir, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_PATH, Mode::empty())
        .machine(|| format!("cannot open {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    const PREFIX: &str = ".dirleak-";

    fn make(parent: &Path) -> (OwnDirectory, Vec<String>) {
        OwnDirectory::make(open_parent(parent).unwrap(), parent, PREFIX).unwrap()
    }

    /// Makes a directory as a process that is no more left it.
    fn left(parent: &Path, files: &[&str]) -> PathBuf {
        let dir = parent.join(format!("{PREFIX}{}Ab3xYz", Mark::dead()));
        fs::create_dir(&dir).unwrap();
        files.iter().for_each(|file| fs::write(dir.join(file), "").unwrap());
        dir
    }

    #[test]
    fn directory_with_two_holders_goes_with_the_one_that_does_not_leave_it() {
        let home = tempfile::tempdir().unwrap();
        for leaves_first in [true, false] {
            let (first, _) = make(home.path());
            let (path, second) = (first.path().to_owned(), first.twin().unwrap());
            fs::write(path.join("file"), "").unwrap();
            let (leaving, staying) = if leaves_first { (first, second) } else { (second, first) };
            leaving.leave();
            assert!(path.exists());
            drop(staying);
            assert!(!path.exists());
        }
    }

    #[test]
    fn directory_is_gone_with_its_maker_and_those_of_the_dead_with_the_next() {
        let home = tempfile::tempdir().unwrap();
        let dead = left(home.path(), &["a", "b"]);
        let (first, removed) = make(home.path());
        assert_eq!(removed, [dead.file_name().unwrap().to_str().unwrap()]);
        assert!(!dead.exists());
        fs::write(first.path_by_descriptor().join("file"), "").unwrap();
        assert!(first.path().join("file").exists());
        let (second, removed) = make(home.path());
        assert_eq!(removed, [""; 0], "the first one's maker lives");
        second.remove().unwrap();
        drop(first);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    /// Makes a directory with something in it that must stay, and one that others can write to, too.
    fn victim_and_parent(home: &Path) -> (PathBuf, PathBuf) {
        let made = ["victim", "parent"].map(|name| home.join(name));
        made.iter().for_each(|dir| fs::create_dir(dir).unwrap());
        let [victim, parent] = made;
        fs::write(victim.join("precious"), "").unwrap();
        (victim, parent)
    }

    #[test]
    fn directory_that_was_exchanged_is_filled_and_emptied_where_it_is() {
        let home = tempfile::tempdir().unwrap();
        let (victim, parent) = victim_and_parent(home.path());
        let (own, _) = make(&parent);
        // Who owns the parent puts a link in its place.
        fs::rename(own.path(), parent.join("away")).unwrap();
        symlink(&victim, own.path()).unwrap();
        fs::write(own.path_by_descriptor().join("made"), "").unwrap();
        assert!(!victim.join("made").exists() && parent.join("away/made").exists());
        let error = own.remove().unwrap_err();
        assert!(error.to_string().starts_with("cannot remove the directory "), "{error}");
        assert!(victim.join("precious").exists() && !parent.join("away/made").exists());
    }

    #[test]
    fn directory_that_bears_a_mark_but_is_none_of_ours_stays() {
        let home = tempfile::tempdir().unwrap();
        let full = left(home.path(), &[]);
        fs::create_dir(full.join("below")).unwrap();
        fs::write(full.join("below/precious"), "").unwrap();
        let (_own, removed) = make(home.path());
        assert_eq!(removed, [""; 0]);
        assert!(full.join("below/precious").exists(), "directories are not entered");
        fs::remove_dir_all(full.join("below")).unwrap();
        fs::write(full.join("precious"), "text").unwrap();
        assert_eq!(make(home.path()).1, [""; 0]);
        assert!(full.join("precious").exists(), "files with something in them are not removed");
    }

    #[test]
    fn directory_from_before_the_last_boot_is_removed_after_a_day() {
        let home = tempfile::tempdir().unwrap();
        let mark = Mark::dead().to_string();
        let (machine, rest) = mark.split_once('-').unwrap();
        let (boot, rest) = rest.split_once('-').unwrap();
        let dir = home.path().join(format!("{PREFIX}{machine}-{}-{rest}Ab3xYz", "0".repeat(boot.len())));
        fs::create_dir(&dir).unwrap();
        let age = |seconds: i64| {
            let then = SystemTime::now() - std::time::Duration::from_secs(seconds as u64);
            fs::File::open(&dir).unwrap().set_modified(then).unwrap();
        };
        age(OLD_SECONDS - 60);
        assert_eq!(make(home.path()).1, [""; 0]);
        age(OLD_SECONDS + 60);
        assert_eq!(make(home.path()).1.len(), 1);
        assert!(!dir.exists());
    }

    #[test]
    fn link_with_the_name_of_a_dead_run_leads_nowhere() {
        let home = tempfile::tempdir().unwrap();
        let (victim, parent) = victim_and_parent(home.path());
        symlink(&victim, parent.join(format!("{PREFIX}{}Ab3xYz", Mark::dead()))).unwrap();
        assert_eq!(make(&parent).1, [""; 0]);
        assert!(victim.join("precious").exists());
    }

    #[test]
    fn parent_that_is_no_directory_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(open_parent(file.path()).unwrap_err().to_string().starts_with("cannot open "));
    }
}
