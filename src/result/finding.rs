//! What grew, by how much, and who allocated it.

use crate::sample::CounterKind;
use crate::stats::estimate::{Estimate, finite};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A counter whose growth follows the dose.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Finding {
    /// Where the counter is read.
    pub source: CounterKind,
    /// Name of the slab cache or counter.
    pub name: String,
    /// Objects per unit.
    pub objects_per_listing: Estimate,
    /// Bytes per unit.
    #[serde(serialize_with = "finite")]
    pub bytes_per_listing: f64,
    /// Whether it was still there after the file system was unmounted; if not, the growth is bounded by a mount.
    pub survives_unmount: bool,
    /// Who allocated it, largest share first.
    pub call_sites: Vec<CallSite>,
    /// Per READDIR and READDIRPLUS call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_per_rpc: Option<Estimate>,
    /// Per entry listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_per_entry: Option<Estimate>,
    /// Growth over the whole run, late frees counted.
    #[serde(default)]
    pub net_objects: i64,
    /// The largest cache that this growth excludes, in objects: one that fills to no more would have stopped before. Missing of what
    /// does not grow with the units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_cache_objects: Option<u64>,
    /// The other names of the slab cache, where the kernel has merged it with others whose objects are alike: any of them may have grown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares_with: Vec<String>,
}

/// A place in the kernel that allocated what grew.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CallSite {
    /// The function of the directory code, not the allocator's wrapper that it called.
    pub function: String,
    /// Of the growth, 0 to 1.
    #[serde(serialize_with = "finite")]
    pub share: f64,
    /// Innermost function first.
    pub stack: Vec<String>,
}

/// A line of the kernel's source and what it allocated that nobody freed, by the kernel's own account (`/proc/allocinfo`).
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct AllocationSite {
    /// From the top of the kernel's tree.
    pub file: String,
    /// Counted from 1.
    pub line: u32,
    /// The function that the line is in.
    pub function: String,
    /// The module that it is in, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Bytes per unit, with what slub_debug keeps beside each object where that is on.
    #[serde(serialize_with = "finite")]
    pub bytes_per_listing: f64,
    /// Allocations per unit that stay.
    #[serde(serialize_with = "finite")]
    pub calls_per_listing: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_per_nothing_is_no_rate() {
        let rate = Estimate { estimate: 24.0, low: 23.0, high: 25.0 };
        assert_eq!(rate.per(0.0), None);
        assert_eq!(rate.per(2.0), Some(Estimate { estimate: 12.0, low: 11.5, high: 12.5 }));
    }
}
