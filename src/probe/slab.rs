//! How many objects every slab cache holds, exactly: from `/sys/kernel/slab/*/objects`.
//!
//! `objects` counts what lies free in per-CPU lists as in use, so `shrink` is written before each reading
//! (Documentation/ABI/testing/sysfs-kernel-slab). `/proc/slabinfo` is not used where sysfs exists: since Linux 6.10
//! it only estimates caches with more than 10,000 partial slabs (count_partial_free_approx in mm/slub.c).

use super::Sample;
use crate::error::{Context, Error, Result};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where SLUB shows its caches.
const SYSFS: &str = "/sys/kernel/slab";
/// How the names of the caches begin in which kmemleak has a note of every other object: what grows there grows elsewhere.
const NOTES_OF_KMEMLEAK: &str = "kmemleak_";

/// The files of all caches, kept open so that reading allocates next to nothing.
pub struct Slabs {
    caches: Vec<Cache>,
}

struct Cache {
    name: String,
    objects: File,
    shrink: File,
    object_bytes: u64,
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
            let _ = (&cache.shrink).write_all(b"1");
        }
    }

    /// Objects in use in every cache.
    pub fn read(&self) -> Result<Sample> {
        let mut sample = Sample::default();
        for cache in &self.caches {
            sample.objects.insert(cache.name.clone(), cache.count()?);
        }
        Ok(sample)
    }

    /// Bytes of one object of each cache, without debugging data.
    pub fn object_bytes(&self) -> BTreeMap<String, u64> {
        self.caches.iter().map(|c| (c.name.clone(), c.object_bytes)).collect()
    }
}

impl Cache {
    fn open(dir: &Path) -> Result<Self> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let open =
            |file: &str, write: bool| {
                let path = dir.join(file);
                File::options().read(!write).write(write).open(&path).map_err(|e| {
                    Error::kernel(format!("cannot open {}: {e}; is CONFIG_SLUB_DEBUG set?", path.display()))
                })
            };
        let object_bytes = fs::read_to_string(dir.join("object_size")).unwrap_or_default();
        Ok(Self {
            objects: open("objects", false)?,
            shrink: open("shrink", true)?,
            object_bytes: object_bytes.trim().parse().unwrap_or(0),
            name,
        })
    }

    fn count(&self) -> Result<i64> {
        let mut text = [0; 128];
        let length = self.objects.read_at(&mut text, 0).machine(|| format!("cannot read objects of {}", self.name))?;
        parse_objects(&text[..length])
            .ok_or_else(|| Error::machine(format!("cannot understand objects of {}", self.name)))
    }
}

/// The total of "`total` N0=`on node 0` ...".
fn parse_objects(text: &[u8]) -> Option<i64> {
    let digits = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    std::str::from_utf8(&text[..digits]).ok()?.parse().ok()
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

    #[test]
    fn aliases_are_not_counted_twice() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("kmalloc-32");
        fs::create_dir(&dir).unwrap();
        for (file, text) in [("objects", "12 N0=12\n"), ("shrink", ""), ("object_size", "32\n")] {
            fs::write(dir.join(file), text).unwrap();
        }
        std::os::unix::fs::symlink("kmalloc-32", root.path().join("alias")).unwrap();
        let slabs = Slabs::open_at(root.path()).unwrap();
        assert_eq!(slabs.read().unwrap().objects, [("kmalloc-32".to_owned(), 12)].into());
        assert_eq!(slabs.object_bytes()["kmalloc-32"], 32);
    }

    #[test]
    fn a_kernel_without_slub_debug_is_told() {
        let error = Slabs::open_at(Path::new("/dirleak-no-such-dir")).err().unwrap();
        assert!(error.to_string().contains("CONFIG_SLUB_DEBUG"), "{error}");
    }
}
