//! What grew, by how much, and who allocated it.

use crate::probe::{pages, percpu, vmalloc};
use crate::verdict::fit::Fit;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A counter whose growth follows the dose.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Finding {
    pub source: Source,
    /// Name of the slab cache or counter.
    pub name: String,
    pub objects_per_listing: Rate,
    #[serde(serialize_with = "finite")]
    pub bytes_per_listing: f64,
    /// Whether it was still there after the file system was unmounted; if not, the growth is bounded by a mount.
    pub survives_unmount: bool,
    /// Who allocated it, largest share first.
    pub call_sites: Vec<CallSite>,
    /// Per READDIR and READDIRPLUS call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_per_rpc: Option<Rate>,
    /// Per entry listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects_per_entry: Option<Rate>,
    /// Growth over the whole run, late frees counted.
    #[serde(default)]
    pub net_objects: i64,
    /// The largest cache that this growth excludes, in objects: one that fills to no more would have stopped before. Missing of what
    /// does not grow with the units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excluded_cache_objects: Option<u64>,
}

/// Where a counter is read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
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

impl Source {
    /// Where the counter of this name is read.
    pub fn of_counter(name: &str) -> Self {
        match name {
            pages::COUNTER => Self::Pages,
            vmalloc::COUNTER => Self::Vmalloc,
            percpu::COUNTER => Self::Percpu,
            _ => Self::Slab,
        }
    }
}

/// An estimate and what it lies between, for all counters and all looks together.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Rate {
    #[serde(serialize_with = "finite")]
    pub estimate: f64,
    #[serde(serialize_with = "finite")]
    pub low: f64,
    #[serde(serialize_with = "finite")]
    pub high: f64,
}

impl From<&Fit> for Rate {
    fn from(fit: &Fit) -> Self {
        Self { estimate: fit.estimate, low: fit.low, high: fit.high }
    }
}

impl Rate {
    /// The same rate per another unit, of which one old unit holds `per_unit`.
    pub fn per(self, per_unit: f64) -> Option<Self> {
        (per_unit > 0.0).then(|| Self {
            estimate: self.estimate / per_unit,
            low: self.low / per_unit,
            high: self.high / per_unit,
        })
    }
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

/// JSON has no NaN and no infinity; `null` in their place would break every reader, so they are refused.
pub(super) fn finite<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() {
        to.serialize_f64(*number)
    } else {
        Err(serde::ser::Error::custom("a number is not finite"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_per_nothing_is_no_rate() {
        let rate = Rate { estimate: 24.0, low: 23.0, high: 25.0 };
        assert_eq!(rate.per(0.0), None);
        assert_eq!(rate.per(2.0), Some(Rate { estimate: 12.0, low: 11.5, high: 12.5 }));
    }
}
