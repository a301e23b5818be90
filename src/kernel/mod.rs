//! What to boot: from one word on the command line to a kernel image in the cache.

pub mod catalog;
pub mod config;
pub mod image;
pub mod program;
pub mod source;
pub mod spec;

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
    /// Names of the patches applied, in order.
    pub patches: Vec<String>,
}
