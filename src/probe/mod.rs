//! Reading the kernel's memory, and bringing it to rest first.

pub mod hold;
pub mod mountstats;
pub mod rest;
pub mod slab;
pub mod traces;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every counter the probe can read, at one moment: objects per slab cache.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Sample {
    /// Objects in use, by name of the cache.
    pub objects: BTreeMap<String, i64>,
}

impl Sample {
    /// The largest difference of any counter between two samples, in objects.
    pub fn distance(&self, other: &Self) -> i64 {
        let ours = self.objects.iter().map(|(name, n)| (n - other.objects.get(name).unwrap_or(&0)).abs());
        ours.max().unwrap_or(0)
    }
}
