//! A kernel that is ready to boot.

use super::build::coverage;
use std::path::PathBuf;

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The word of the command line it came from.
    pub spec: String,
    /// The image: an uncompressed vmlinux with a PVH note, or a bzImage.
    pub image: PathBuf,
    /// `uname -r`, as far as it is known before the boot.
    pub release: String,
    /// SHA-256 of the image, in hexadecimal.
    pub image_sha256: String,
    /// The directory of its modules, if it has some.
    pub modules: Option<PathBuf>,
    /// The directory of modules that were rebuilt with patches, if some were: they take the places of others.
    pub patched_modules: Option<PathBuf>,
    /// Names of the patches applied, in order.
    pub patches: Vec<String>,
    /// The series it was built from, or the name of the tree in the cache.
    pub series: Option<String>,
    /// Version of the source package it was built from, for instance `6.1.192-2`, or the commit.
    pub source_version: Option<String>,
    /// Whether it came as a package, as a distribution builds it.
    pub is_package: bool,
    /// What it took to get it.
    pub effort: Effort,
}

impl Kernel {
    /// Returns the directory of the compiler's notes (.gcno) that go with the image; `None` if its code does not count what is executed.
    pub fn coverage_notes(&self) -> Option<PathBuf> {
        coverage::notes(&self.image)
    }
}

/// What it took to get a kernel; nothing, if it was in the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    pub seconds: f64,
    pub downloaded_bytes: u64,
    pub built: bool,
}
