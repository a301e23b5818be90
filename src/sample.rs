//! A reading of the kernel's memory: objects by counter, growth between two readings, and the kinds of counters with their names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

/// The name of the counter.
pub const PAGES: &str = "pages";

/// The name of the counter.
pub const PERCPU: &str = "percpu";

/// Objects alive that were allocated at one place.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Site {
    /// The function that called the allocator, as SLUB names it.
    pub function: String,
    /// The call stack, innermost first, without offsets; empty where the kernel stores none (before 5.19).
    pub stack: Vec<String>,
    /// Objects alive.
    pub objects: i64,
}

/// Objects of functions whose name begins with `prefix`.
pub fn objects_of(sites: &[Site], prefix: &str) -> i64 {
    sites.iter().filter(|site| site.function.starts_with(prefix)).map(|site| site.objects).sum()
}

/// What grew between two readings, most first.
pub fn since(before: &[Site], after: &[Site]) -> Vec<Site> {
    let mut grown: BTreeMap<(&String, &Vec<String>), i64> = BTreeMap::new();
    for (sites, sign) in [(after, 1), (before, -1)] {
        for site in sites {
            *grown.entry((&site.function, &site.stack)).or_default() += sign * site.objects;
        }
    }
    let mut sites: Vec<_> = grown
        .into_iter()
        .filter(|(_, objects)| *objects > 0)
        .map(|((function, stack), objects)| Site { function: function.clone(), stack: stack.clone(), objects })
        .collect();
    sites.sort_by_key(|site| -site.objects);
    sites
}

/// The name of the counter.
pub const VMALLOC: &str = "vmalloc";

/// Where a counter is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Source")]
pub enum CounterKind {
    /// Objects of a slab cache.
    Slab,
    /// Pages of the page allocator.
    Pages,
    /// Areas of vmalloc.
    Vmalloc,
    /// Per-CPU memory: allocations, or pages where the kernel does not count them.
    Percpu,
    /// What the kernel complains about when a file system is unmounted.
    Unmount,
}

impl CounterKind {
    /// Where the counter of this name is read.
    pub fn from_counter(name: &str) -> Self {
        match name {
            PAGES => Self::Pages,
            VMALLOC => Self::Vmalloc,
            PERCPU => Self::Percpu,
            _ => Self::Slab,
        }
    }
}

/// Growth of every counter over some time, in objects.
pub type Growth = BTreeMap<String, i64>;

/// What grew from one reading to a later one. A counter missing from one of them was 0 there.
pub fn growth(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> Growth {
    let names = before.keys().chain(after.keys());
    let grown = |name: &String| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    names.map(|name| (name.clone(), grown(name))).collect()
}
