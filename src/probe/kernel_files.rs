//! Where the kernel shows what it has: the files of the running one, or, for a test, a directory with what some kernel shows.

use std::fs::{self, DirEntry, File};
use std::io;
use std::path::{Path, PathBuf};

/// The root below which `/proc` and `/sys` are.
#[derive(Clone, Debug)]
pub struct KernelFiles(PathBuf);

impl KernelFiles {
    /// Returns those of the kernel that runs.
    pub fn of_this_machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// Takes a directory that has some of them.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Returns where a file is, given its path from the root.
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.join(file.trim_start_matches('/'))
    }

    /// Opens a file to read it.
    pub fn open(&self, file: &str) -> io::Result<File> {
        File::open(self.path(file))
    }

    /// Opens a file to write into it what it takes; one that is not there is not made.
    pub fn open_to_write(&self, file: &str) -> io::Result<File> {
        File::options().write(true).open(self.path(file))
    }

    /// Reads a text.
    pub fn text(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(self.path(file))
    }
}

/// Returns what is in a directory; nothing if it cannot be listed.
pub fn entries(dir: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    fs::read_dir(dir).into_iter().flatten().flatten()
}

#[cfg(test)]
pub mod made;

#[cfg(test)]
mod tests {
    use super::*;
    use made::MadeFiles;

    #[test]
    fn files_of_this_machine_are_those_below_its_root() {
        let here = KernelFiles::of_this_machine();
        assert_eq!(here.path("/proc/meminfo"), Path::new("/proc/meminfo"));
        assert!(here.text("/proc/meminfo").unwrap().starts_with("MemTotal:"));
    }

    #[test]
    fn file_that_is_not_there_is_not_made_by_writing() {
        use std::io::Write;
        let made = MadeFiles::new(&[("/proc/there", "")]);
        assert!(made.files.open_to_write("/proc/missing").is_err() && made.files.open("/proc/missing").is_err());
        made.files.open_to_write("/proc/there").unwrap().write_all(b"3").unwrap();
        assert_eq!(made.files.text("/proc/there").unwrap(), "3");
        let names: Vec<_> = entries(&made.files.path("/proc")).map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["there"]);
        assert_eq!(entries(&made.files.path("/sys")).count(), 0);
    }
}
