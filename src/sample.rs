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
    /// Returns the largest difference of any counter between two samples, in objects.
    pub fn distance(&self, other: &Self) -> i64 {
        let ours = self.objects.iter().map(|(name, n)| (n - other.objects.get(name).unwrap_or(&0)).abs());
        ours.max().unwrap_or(0)
    }
}

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

/// Counts the objects of functions whose name begins with `prefix`.
pub fn objects_of(sites: &[Site], prefix: &str) -> i64 {
    sites.iter().filter(|site| site.function.starts_with(prefix)).map(|site| site.objects).sum()
}

/// Returns what grew between two readings, most first.
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

/// A line of the kernel's source, and by how much what it allocated and nobody has freed grew.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct SourceLine {
    /// As the compiler was told it, from the top of the kernel's tree.
    pub file: String,
    pub line: u32,
    /// The function that the line is in.
    pub function: String,
    /// The module that it is in, if it is in one.
    pub module: Option<String>,
    pub bytes: i64,
    /// Allocations.
    pub calls: i64,
}

/// Bytes of a page of the kernel, on x86-64.
pub const PAGE_BYTES: usize = 4096;

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

/// What is to be known of a kind of counter.
#[derive(Debug)]
pub struct KindInfo {
    pub kind: CounterKind,
    /// Its name in sentences, as in results.
    pub name: &'static str,
    /// Whether one counter has this name, too; otherwise each counter has one of its own, or there is none.
    pub is_counter: bool,
    /// What is counted, in the plural.
    pub unit: &'static str,
    /// What a finding calls it; behind the counter's own name, where it has one.
    pub noun: &'static str,
    /// Bytes of one, if that is the same on every kernel.
    pub bytes: Option<u64>,
    /// How it is shown that the kind is seen.
    pub control: Control,
}

/// How a control shows that a kind of counter is seen, and how exactly it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Control {
    /// Each thing that is held is one object, and nothing else makes any while the kernel is at rest.
    Exact,
    /// Each is one, among others that come and go.
    Each,
    /// Each is one or a few, always as many, among others that come and go.
    Several,
    /// Lines are printed, and each is heard.
    Console,
}

/// Every kind, in the order of results: a new one is a row here.
#[rustfmt::skip]
pub static KINDS: [KindInfo; 5] = [
    KindInfo { kind: CounterKind::Slab, name: "slab", is_counter: false, unit: "objects",
      noun: "objects", bytes: None, control: Control::Exact },
    KindInfo { kind: CounterKind::Pages, name: "pages", is_counter: true, unit: "pages",
      noun: "pages", bytes: Some(PAGE_BYTES as u64), control: Control::Each },
    KindInfo { kind: CounterKind::Vmalloc, name: "vmalloc", is_counter: true, unit: "areas",
      noun: "vmalloc areas", bytes: None, control: Control::Several },
    KindInfo { kind: CounterKind::Percpu, name: "percpu", is_counter: true, unit: "allocations",
      noun: "per-CPU allocations", bytes: None, control: Control::Several },
    KindInfo { kind: CounterKind::Unmount, name: "unmount", is_counter: false, unit: "lines",
      noun: "that unmounting left behind, as the kernel complained", bytes: None, control: Control::Console },
];

impl CounterKind {
    /// Returns the kind of the counter of this name.
    pub fn from_counter(name: &str) -> Self {
        KINDS.iter().find(|info| info.is_counter && info.name == name).map_or(Self::Slab, |info| info.kind)
    }

    /// Returns what is to be known of the kind.
    pub fn info(self) -> &'static KindInfo {
        &KINDS[self as usize]
    }

    /// Returns the name of the kind's only counter; `None` if it has others.
    pub fn counter(self) -> Option<&'static str> {
        let info = self.info();
        info.is_counter.then_some(info.name)
    }
}

/// Growth of every counter over some time, in objects.
pub type Growth = BTreeMap<String, i64>;

/// Returns what grew from one reading to a later one. A counter missing from one of them was 0 there.
pub fn growth(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> Growth {
    let names = before.keys().chain(after.keys());
    let grown = |name: &String| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    names.map(|name| (name.clone(), grown(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_found_by_its_row_and_by_its_counter() {
        for (row, info) in KINDS.iter().enumerate() {
            assert_eq!(info.kind as usize, row, "the rows are in the order of the kinds");
            assert_eq!(serde_json::to_value(info.kind).unwrap(), info.name, "sentences call it as results do");
            let expected = if info.is_counter { info.kind } else { CounterKind::Slab };
            assert_eq!(CounterKind::from_counter(info.name), expected);
        }
        assert_eq!(CounterKind::from_counter("kmalloc-64"), CounterKind::Slab);
    }
}
