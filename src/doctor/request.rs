//! What is asked, and where things are looked for.

use crate::boot::guest_image::MKFS_PLACES;
use crate::os::search_path::SearchPath;
use crate::scenario::Scenario;
use std::path::Path;

/// What a verify without arguments does.
pub struct CheckRequest {
    pub kernels: Vec<String>,
    pub scenarios: Vec<Scenario>,
}

/// Where things are looked for on this machine.
pub struct Places {
    /// Programs.
    pub path: SearchPath,
    /// Programs that make file systems.
    pub mkfs: SearchPath,
}

impl Places {
    /// Returns the places that the other commands look in.
    pub fn from_user() -> Self {
        Self { path: SearchPath::from_env(), mkfs: SearchPath::new(&MKFS_PLACES.map(Path::new)) }
    }
}
