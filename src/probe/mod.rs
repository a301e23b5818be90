//! Reading the kernel's memory, and bringing it to rest first.

pub mod alloc_calls;
pub mod counters;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hold;
pub mod kmemleak;
pub mod memory;
pub mod mountstats;
pub mod page_owner;
pub mod pages;
pub mod percpu;
pub mod rest;
pub mod slab;
pub mod slabinfo;
pub mod stat;
pub mod trace;
pub mod traces;
pub mod vmalloc;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// No number of things in a kernel's memory is larger: so many objects of 8 bytes are more than any machine has.
pub const MOST: i64 = 1 << 40;

/// A number of things, as the kernel writes it.
fn number(word: &str) -> Option<i64> {
    word.parse().ok().filter(|number| (-MOST..=MOST).contains(number))
}

/// Every counter the probe can read, at one moment: objects per slab cache, and under the names of the other sources
/// pages, vmalloc areas and per-CPU allocations.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Sample {
    /// Objects in use, by name of the cache or source.
    pub objects: BTreeMap<String, i64>,
}

impl Sample {
    /// The largest difference of any counter between two samples, in objects.
    pub fn distance(&self, other: &Self) -> i64 {
        let ours = self.objects.iter().map(|(name, n)| (n - other.objects.get(name).unwrap_or(&0)).abs());
        ours.max().unwrap_or(0)
    }
}
