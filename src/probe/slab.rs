//! How many objects every slab cache holds, exactly: from `/sys/kernel/slab/*/objects`.
//!
//! `objects` counts what lies free in per-CPU lists as in use, so `shrink` is written before each reading
//! (Documentation/ABI/testing/sysfs-kernel-slab). `/proc/slabinfo` is not used where sysfs exists: since Linux 6.10
//! it only estimates caches with more than 10,000 partial slabs (count_partial_free_approx in mm/slub.c).

use super::procfs::number;
use crate::error::{Context, Error, Result};
use crate::sample::Sample;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where SLUB shows its caches.
const SYSFS: &str = "/sys/kernel/slab";
/// How the names of the caches begin in which kmemleak has a note of every other object: what grows there grows elsewhere.
const NOTES_OF_KMEMLEAK: &str = "kmemleak_";

/// The files of all caches, kept open so that reading allocates next to nothing.
pub struct Slabs {
    caches: Vec<Cache>,
}

struct Cache {
    /// What it is counted under.
    name: String,
    dir: PathBuf,
    /// A cache can go and come again under its name, as those of knfsd do when it is restarted. `None` while it is gone.
    files: RefCell<Option<Files>>,
    layout: Layout,
}

struct Files {
    objects: File,
    shrink: File,
}

/// How large the objects of a cache are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of an object, debugging data not counted.
    pub object_bytes: u64,
    /// Bytes that it takes.
    pub slot_bytes: u64,
}

/// Returns what a cache is counted under. kmalloc-rnd-`copy`-`size` (CONFIG_RANDOM_KMALLOC_CACHES, Linux 6.6) and
/// kmalloc-part-`copy`-`size` (7.x) are copies of kmalloc-`size`; which of them a caller allocates from is drawn by lot at
/// each boot.
pub fn counted_as(cache: &str) -> String {
    let copy = ["kmalloc-rnd-", "kmalloc-part-"].iter().find_map(|prefix| cache.strip_prefix(prefix));
    match copy.and_then(|rest| rest.split_once('-')) {
        Some((number, size)) if number.bytes().all(|b| b.is_ascii_digit()) && !size.contains('-') => {
            format!("kmalloc-{size}")
        }
        _ => cache.to_owned(),
    }
}

/// Returns the names of all caches that are counted under `name`.
pub fn members(name: &str) -> Vec<String> {
    let entries = fs::read_dir(SYSFS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|cache| counted_as(cache) == name).collect()
}

/// Returns whether the kernel empties the caches that are counted under `name` when it wants memory, as it does inodes and
/// dentries.
pub fn is_reclaimable(name: &str) -> bool {
    let told = |cache: String| fs::read_to_string(Path::new(SYSFS).join(cache).join("reclaim_account"));
    members(name).into_iter().any(|cache| told(cache).is_ok_and(|text| text.trim() == "1"))
}

impl Slabs {
    /// Opens every cache there is now.
    pub fn open() -> Result<Self> {
        Self::open_at(Path::new(SYSFS))
    }

    fn open_at(root: &Path) -> Result<Self> {
        let entries = fs::read_dir(root).map_err(|_| {
            Error::kernel(format!(
                "this kernel shows no {}: it lacks CONFIG_SLUB_DEBUG or CONFIG_SYSFS, without which objects cannot be counted",
                root.display()
            ))
        })?;
        let mut caches = Vec::new();
        for entry in entries {
            let entry = entry.machine(|| format!("cannot list {}", root.display()))?;
            // A merged cache's names are links to the one directory that counts.
            let counts = !entry.file_name().to_string_lossy().starts_with(NOTES_OF_KMEMLEAK);
            if counts && entry.file_type().is_ok_and(|t| t.is_dir()) {
                caches.push(Cache::open(&entry.path())?);
            }
        }
        caches.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { caches })
    }

    /// Hands back what lies free in per-CPU lists and empty slabs, so that the count is exact.
    pub fn shrink(&self) {
        for cache in &self.caches {
            // A cache that cannot shrink is counted as it is.
            let shrunk = cache.with_files(|files| (&files.shrink).write_all(b"1"));
            drop(shrunk);
        }
    }

    /// Reads how many objects are in use in every cache.
    pub fn read(&self) -> Result<Sample> {
        let mut sample = Sample::default();
        for cache in &self.caches {
            *sample.objects.entry(cache.name.clone()).or_default() += cache.count()?;
        }
        Ok(sample)
    }

    /// Returns the bytes of one object of each cache, without debugging data.
    pub fn object_bytes(&self) -> BTreeMap<String, u64> {
        self.layouts().into_iter().map(|(name, layout)| (name, layout.object_bytes)).collect()
    }

    /// Returns how large the objects of each cache are.
    pub fn layouts(&self) -> BTreeMap<String, Layout> {
        self.caches.iter().map(|c| (c.name.clone(), c.layout)).collect()
    }
}

impl Cache {
    fn open(dir: &Path) -> Result<Self> {
        let name = counted_as(&dir.file_name().unwrap_or_default().to_string_lossy());
        let bytes = |file: &str| fs::read_to_string(dir.join(file)).ok().and_then(|text| text.trim().parse().ok());
        let layout =
            Layout { object_bytes: bytes("object_size").unwrap_or(0), slot_bytes: bytes("slab_size").unwrap_or(0) };
        let files = RefCell::new(Some(Files::open(dir)?));
        Ok(Self { name, dir: dir.to_owned(), files, layout })
    }

    /// Returns how many objects are in use; 0 if the cache is gone.
    fn count(&self) -> Result<i64> {
        let mut text = [0; 128];
        let length = self
            .with_files(|files| files.objects.read_at(&mut text, 0))
            .machine(|| format!("cannot read objects of {}", self.name))?;
        match length {
            None => Ok(0),
            Some(length) => parse_objects(&text[..length])
                .ok_or_else(|| Error::machine(format!("cannot understand objects of {}", self.name))),
        }
    }

    /// Does something to the cache's files, to those of its successor if it has gone, or to none if there is none.
    fn with_files<T>(&self, mut work: impl FnMut(&Files) -> std::io::Result<T>) -> std::io::Result<Option<T>> {
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
        let open =
            |file: &str, write: bool| {
                let path = dir.join(file);
                File::options().read(!write).write(write).open(&path).map_err(|e| {
                    Error::kernel(format!("cannot open {}: {e}; is CONFIG_SLUB_DEBUG set?", path.display()))
                })
            };
        Ok(Self { objects: open("objects", false)?, shrink: open("shrink", true)? })
    }
}

/// Reads the total of "`total` N0=`on node 0` ...".
pub(super) fn parse_objects(text: &[u8]) -> Option<i64> {
    let digits = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..digits]).ok().and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_the_total_over_the_nodes() {
        assert_eq!(parse_objects(b"355 N0=300 N1=55\n"), Some(355));
        assert_eq!(parse_objects(b"0\n"), Some(0));
        assert_eq!(parse_objects(b"\n"), None);
    }

    fn cache(root: &Path, name: &str, objects: u64) {
        let dir = root.join(name);
        fs::create_dir(&dir).unwrap();
        let total = format!("{objects} N0={objects}\n");
        for (file, text) in
            [("objects", total.as_str()), ("shrink", ""), ("object_size", "32\n"), ("slab_size", "64\n")]
        {
            fs::write(dir.join(file), text).unwrap();
        }
    }

    #[test]
    fn aliases_are_not_counted_twice() {
        let root = tempfile::tempdir().unwrap();
        cache(root.path(), "kmalloc-32", 12);
        std::os::unix::fs::symlink("kmalloc-32", root.path().join("alias")).unwrap();
        let slabs = Slabs::open_at(root.path()).unwrap();
        assert_eq!(slabs.read().unwrap().objects, [("kmalloc-32".to_owned(), 12)].into());
        assert_eq!(slabs.object_bytes()["kmalloc-32"], 32);
    }

    #[test]
    fn copies_of_a_size_class_are_one_counter() {
        let root = tempfile::tempdir().unwrap();
        let caches = [("kmalloc-32", 12), ("kmalloc-rnd-01-32", 3), ("kmalloc-part-15-32", 4), ("kmalloc-cg-32", 5)];
        caches.iter().for_each(|(name, objects)| cache(root.path(), name, *objects));
        let slabs = Slabs::open_at(root.path()).unwrap();
        let expected = [("kmalloc-32".to_owned(), 19), ("kmalloc-cg-32".to_owned(), 5)].into();
        assert_eq!(slabs.read().unwrap().objects, expected);
        assert_eq!(slabs.layouts()["kmalloc-32"], Layout { object_bytes: 32, slot_bytes: 64 });
        assert_eq!(counted_as("kmalloc-rnd-like-mine"), "kmalloc-rnd-like-mine");
    }

    #[test]
    fn cache_that_goes_has_no_objects_until_it_is_there_again() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("nfsd_file");
        cache(root.path(), "nfsd_file", 3);
        let slabs = Slabs::open_at(root.path()).unwrap();
        let count = || slabs.caches[0].count().unwrap();
        assert_eq!(count(), 3);
        fs::remove_dir_all(&dir).unwrap();
        // The file of a plain directory can still be read; that of sysfs cannot.
        *slabs.caches[0].files.borrow_mut() = None;
        assert_eq!(count(), 0);
        cache(root.path(), "nfsd_file", 5);
        assert_eq!(count(), 5);
    }

    #[test]
    fn kernel_without_slub_debug_is_told() {
        let error = Slabs::open_at(Path::new("/dirleak-no-such-dir")).err().unwrap();
        assert!(error.to_string().contains("CONFIG_SLUB_DEBUG"), "{error}");
    }

    #[test]
    fn name_that_only_looks_like_a_copy_is_counted_as_itself() {
        assert_eq!(counted_as("kmalloc-rnd-07-64"), "kmalloc-64");
        assert_eq!(counted_as("kmalloc-rnd-07-rnd-07-64"), "kmalloc-rnd-07-rnd-07-64");
        assert_eq!(parse_objects(b"9223372036854775807 N0=1"), None);
    }
}
