//! The files of one cache in sysfs, which may go and come again.

use crate::error::{Context, Error, Result};
use crate::probe::procfs::number;
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where objects are counted.
pub(super) struct Place {
    pub(super) dir: PathBuf,
    /// A cache can go and come again under its name, as those of knfsd do when it is restarted. `None` while it is gone.
    pub(super) files: RefCell<Option<Files>>,
}

pub(super) struct Files {
    objects: File,
    /// `None` where it may only be read, as in most containers.
    shrink: Option<File>,
}

impl Place {
    pub(super) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { dir: dir.to_owned(), files: RefCell::new(Some(Files::open(dir)?)) })
    }

    /// Returns whether each processor keeps objects of it in sheaves (seen on Linux 6.18 to 7.3).
    pub(super) fn has_sheaves(&self) -> bool {
        let capacity = std::fs::read_to_string(self.dir.join("sheaf_capacity"));
        capacity.is_ok_and(|text| text.trim() != "0")
    }

    pub(super) fn shrink(&self) {
        // A cache that cannot shrink is counted as it is.
        let shrunk = self.with_files(|files| files.shrink.as_ref().map_or(Ok(()), |mut file| file.write_all(b"1")));
        drop(shrunk);
    }

    /// Returns how many objects are in use; 0 if the cache is gone.
    pub(super) fn count(&self) -> Result<i64> {
        let mut text = [0; 128];
        let shown = || self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let length = self
            .with_files(|files| files.objects.read_at(&mut text, 0))
            .machine(|| format!("cannot read objects of {}", shown()))?;
        match length {
            None => Ok(0),
            Some(length) => parse_objects(&text[..length])
                .ok_or_else(|| Error::machine(format!("cannot understand objects of {}", shown()))),
        }
    }

    /// Does something to the cache's files, to those of its successor if it has gone, or to none if there is none.
    pub(super) fn with_files<T>(
        &self,
        mut work: impl FnMut(&Files) -> std::io::Result<T>,
    ) -> std::io::Result<Option<T>> {
        let mut files = self.files.borrow_mut();
        if let Some(open) = files.as_ref() {
            match work(open) {
                // What sysfs says of a file whose object is gone.
                Err(e) if e.raw_os_error() == Some(libc::ENODEV) => {}
                result => return result.map(Some),
            }
        }
        *files = if self.dir.is_dir() { Some(Files::open(&self.dir).map_err(std::io::Error::other)?) } else { None };
        files.as_ref().map(work).transpose()
    }
}

impl Files {
    fn open(dir: &Path) -> Result<Self> {
        let cannot =
            |path: &Path, e| Error::kernel(format!("cannot open {}: {e}; is CONFIG_SLUB_DEBUG set?", path.display()));
        let (objects, shrink) = (dir.join("objects"), dir.join("shrink"));
        let shrink = match File::options().write(true).open(&shrink) {
            Err(e) if [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied].contains(&e.kind()) => None,
            opened => Some(opened.map_err(|e| cannot(&shrink, e))?),
        };
        Ok(Self { objects: File::open(&objects).map_err(|e| cannot(&objects, e))?, shrink })
    }
}

/// Reads the total of "`total` N0=`on node 0` ...".
pub(in crate::probe) fn parse_objects(text: &[u8]) -> Option<i64> {
    let digits = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..digits]).ok().and_then(number)
}
