//! A file that the user named: checked before anything is measured, and put in its place whole.

use super::owned;
use crate::error::{Error, Result};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A place for a result file that could be written when it was checked.
#[derive(Debug)]
pub struct OutputFile {
    /// As the user called it.
    named: PathBuf,
    /// The file itself, behind symbolic links.
    path: PathBuf,
    /// Devices and pipes are written to; renaming over `/dev/null` would replace it.
    in_place: bool,
    /// What the file is, in words.
    what: &'static str,
    /// The directory that it is to be in, open: whoever may rename things leads nobody elsewhere.
    dir: Option<File>,
}

impl OutputFile {
    /// Makes sure that `path` can be written, and changes nothing.
    pub fn check(path: &Path) -> Result<Self> {
        Self::check_other(path, "result file")
    }

    /// Checks the same of a file that is `what`.
    pub fn check_other(path: &Path, what: &'static str) -> Result<Self> {
        let unwritable = |path: &Path, reason: &str| unwritable(what, path, reason);
        if let Some(reason) = link_of_another(path) {
            return Err(unwritable(path, &reason));
        }
        let path_behind_links = behind_links(path);
        let in_place = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(unwritable(path, "it is a directory")),
            Ok(meta) => !meta.is_file() || path.starts_with("/dev"),
            Err(e) if e.kind() == ErrorKind::NotFound => false,
            Err(e) => return Err(unwritable(path, &e.to_string())),
        };
        if path.file_name().is_none() {
            return Err(unwritable(path, "that is no name for a file"));
        }
        let mut target = Self { named: path.to_owned(), path: path_behind_links, in_place, what, dir: None };
        target.try_out().map_err(|reason| unwritable(path, &reason))?;
        Ok(target)
    }

    fn try_out(&mut self) -> std::result::Result<(), String> {
        if self.path.exists() {
            // Asked, not opened: opening a pipe that nobody reads yet would block.
            nix::unistd::access(&self.path, nix::unistd::AccessFlags::W_OK)
                .map_err(|e| std::io::Error::from(e).to_string())?;
        }
        if self.in_place {
            return Ok(());
        }
        let parent = parent_of(&self.path);
        if !parent.is_dir() {
            return Err(format!("there is no directory {}", parent.display()));
        }
        // Behind links there is none, unless somebody has put one there since.
        let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(parent);
        let tried = opened.and_then(|dir| tempfile::tempfile_in(by_descriptor(&dir)).map(|_| dir));
        let dir = tried.map_err(|_| format!("the directory {} cannot be written", parent.display()))?;
        self.dir = Some(dir);
        Ok(())
    }

    /// Puts the file in its place, whole or not at all.
    pub fn write(&self, file: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(file)
            .map_err(|e| Error::machine(format!("a bug of dirleak: the result cannot be written as JSON: {e}")))?;
        text.push(b'\n');
        self.write_bytes(&text)
    }

    /// Writes any content in the same way.
    pub fn write_bytes(&self, text: &[u8]) -> Result<()> {
        let written = if self.in_place { self.write_in_place(text) } else { self.write_whole(text) };
        written.map_err(|e| unwritable(self.what, &self.named, &e.to_string()))
    }

    fn write_in_place(&self, text: &[u8]) -> std::io::Result<()> {
        OpenOptions::new().write(true).open(&self.path)?.write_all(text)
    }

    fn write_whole(&self, text: &[u8]) -> std::io::Result<()> {
        let mut builder = tempfile::Builder::new();
        let dir = self.dir.as_ref().map_or_else(|| parent_of(&self.path).to_owned(), by_descriptor);
        // The permissions of an ordinary new file (the umask applies), or those of the file that is replaced.
        let mode = fs::metadata(&self.path).map_or(0o666, |meta| meta.permissions().mode() & 0o777);
        let mut fresh = builder.prefix(".dirleak-").permissions(fs::Permissions::from_mode(mode)).tempfile_in(&dir)?;
        fresh.write_all(text)?;
        fresh.as_file().sync_all()?;
        fresh.persist(dir.join(self.path.file_name().unwrap_or_default())).map_err(|e| e.error)?;
        Ok(())
    }
}

/// Returns why a path is not followed: what others make leads where they want, and root would overwrite any file for them. Of the directories on
/// the way that is asked for root alone; who else is led elsewhere can write there anyway.
fn link_of_another(path: &Path) -> Option<String> {
    let is_others =
        |part: &Path| fs::symlink_metadata(part).is_ok_and(|meta| meta.is_symlink() && !owned::is_of_us_or_root(&meta));
    if is_others(path) {
        return Some("it is a symbolic link of another user, which is not followed".into());
    }
    let absolute = std::path::absolute(path).ok().filter(|_| nix::unistd::geteuid().is_root())?;
    let link = absolute.ancestors().find(|part| is_others(part))?;
    Some(format!("{} is a symbolic link of another user, which is not followed", link.display()))
}

/// Returns where a file is or will be, in a directory that no link leads to.
fn behind_links(path: &Path) -> PathBuf {
    let in_its_directory = || Some(fs::canonicalize(parent_of(path)).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_its_directory).unwrap_or_else(|| path.to_owned())
}

/// Returns the directory that a file is in.
fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Returns a path to an open directory, whatever it is called now.
fn by_descriptor(dir: &File) -> PathBuf {
    format!("/proc/self/fd/{}", dir.as_raw_fd()).into()
}

pub fn unwritable(what: &str, path: &Path, reason: &str) -> Error {
    let path = path.display();
    Error::machine(format!("cannot write the {what} {path}: {reason}; name another place"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::result::file::ResultFile;
    use crate::result::read::read;
    use crate::result::record::{KernelRecord, RunRecord};

    fn sample() -> ResultFile {
        let mut file = ResultFile::new();
        file.results.push(RunRecord::begin("quick", KernelRecord::default(), 1));
        file
    }

    fn names_in(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn check_changes_nothing_and_a_write_leaves_one_whole_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        let target = OutputFile::check(&path).unwrap();
        assert!(names_in(dir.path()).is_empty());
        target.write(&sample()).unwrap();
        assert_eq!(names_in(dir.path()), ["out.json"]);
        assert_eq!(read(&path).unwrap(), sample());
    }

    #[test]
    fn result_that_cannot_be_written_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.json");
        fs::write(&path, "old").unwrap();
        let mut file = sample();
        file.results[0].seconds = f64::NAN;
        assert_eq!(OutputFile::check(&path).unwrap().write(&file).unwrap_err().exit(), Exit::Machine);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names_in(dir.path()), ["out.json"]);
    }

    #[test]
    fn symbolic_link_is_followed_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.json");
        let link = dir.path().join("link.json");
        fs::write(&real, "old").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("real.json", &link).unwrap();
        OutputFile::check(&link).unwrap().write(&sample()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(read(&real).unwrap(), sample());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn link_of_another_user_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, link) = (dir.path().join("precious"), dir.path().join("link.json"));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        // Only root can give a link away, and only to root is it another one's then.
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
            let error = OutputFile::check(&link).unwrap_err();
            assert!(error.to_string().contains("a symbolic link of another user, which is not followed"), "{error}");
            let (system, way) = (dir.path().join("system"), dir.path().join("way"));
            fs::create_dir(&system).unwrap();
            std::os::unix::fs::symlink(&system, &way).unwrap();
            assert!(OutputFile::check(&way.join("out.json")).is_ok(), "a link of root's own");
            std::os::unix::fs::lchown(&way, Some(65534), None).unwrap();
            let error = OutputFile::check(&way.join("out.json")).unwrap_err();
            assert!(error.to_string().contains(&format!("{} is a symbolic link of", way.display())), "{error}");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }

    #[test]
    fn directory_that_is_exchanged_meanwhile_leads_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (user, system) = (dir.path().join("user"), dir.path().join("system"));
        fs::create_dir(&user).unwrap();
        fs::create_dir(&system).unwrap();
        fs::write(system.join("out.json"), "precious").unwrap();
        let target = OutputFile::check(&user.join("out.json")).unwrap();
        fs::rename(&user, dir.path().join("away")).unwrap();
        std::os::unix::fs::symlink(&system, &user).unwrap();
        target.write(&sample()).unwrap();
        assert_eq!(fs::read_to_string(system.join("out.json")).unwrap(), "precious");
        assert_eq!(read(&dir.path().join("away/out.json")).unwrap(), sample());
    }

    #[test]
    fn device_is_written_to_and_not_replaced() {
        OutputFile::check(Path::new("/dev/null")).unwrap().write(&sample()).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn places_that_cannot_be_written_are_told_before_anything_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let missing = dir.path().join("missing");
        let table = [
            (dir.path().to_owned(), "it is a directory".to_owned()),
            (missing.join("out.json"), format!("there is no directory {}", missing.display())),
            (file.join("out.json"), "Not a directory".to_owned()),
            (PathBuf::from("/proc/out.json"), "the directory /proc cannot be written".to_owned()),
        ];
        for (path, reason) in table {
            let error = OutputFile::check(&path).unwrap_err();
            assert_eq!(error.exit(), Exit::Machine);
            assert!(error.to_string().contains(&reason), "{error}");
            assert!(error.to_string().contains(&format!("result file {}", path.display())), "{error}");
        }
    }
}
