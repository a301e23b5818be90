//! What a sweep found: each allocation of a unit made to fail once.

use crate::stats::estimate::finite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The allocation that failed in the units of a run, and how they ended.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FailingRecord {
    /// Which of a unit's: `slab:7` is the seventh object of a slab cache, `page:2` the second page.
    pub allocation: String,
    /// Who asked for it; empty if it never failed, or the kernel did not say.
    pub function: String,
    /// From there outwards.
    pub stack: Vec<String>,
    /// Units in which it failed.
    pub failed: u64,
    /// How listings ended in which it failed, by errno (`mount` for a mount that failed); those that went through are not among them.
    pub errors: BTreeMap<String, u64>,
    /// Only of a sweep: how many allocations of a unit are asked for at this very place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alike: Option<u64>,
}

impl FailingRecord {
    /// Begins the record of an allocation that has not failed yet.
    pub fn new(allocation: &str) -> Self {
        Self { allocation: allocation.into(), ..Self::default() }
    }

    /// Says what failed, in a few words: `slab:7 in nfs_opendir`.
    pub fn place(&self) -> String {
        match self.function.as_str() {
            "" => self.allocation.clone(),
            function => format!("{} in {function}", self.allocation),
        }
    }

    /// Says how units ended in which it failed: `ENOMEM`, `went through`, or both with how often.
    pub fn outcome(&self) -> String {
        let ended: u64 = self.errors.values().sum();
        let through = self.failed.saturating_sub(ended);
        let mut ways: Vec<(&str, u64)> = self.errors.iter().map(|(errno, times)| (errno.as_str(), *times)).collect();
        if through > 0 {
            ways.push(("went through", through));
        }
        match ways.as_slice() {
            [] => "never failed".into(),
            [(way, _)] => (*way).to_owned(),
            several => several.iter().map(|(way, times)| format!("{way} {times}")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// A scenario of which each allocation was made to fail; the records of its places follow each other in `results`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct SweepRecord {
    /// The scenario by its name.
    pub scenario: String,
    /// The kernel as the command line has it.
    pub kernel: String,
    /// What one unit is.
    pub unit: String,
    /// Objects of slab caches that a unit asks for.
    pub slab_allocations: u64,
    /// Pages that a unit asks for.
    pub page_allocations: u64,
    /// Those of them that slab caches, page tables and processes take for themselves, which were not made to fail.
    pub passed_over: u64,
    /// Places in the kernel that ask for the others, which are that many records.
    pub places: u64,
    /// Whether more was asked for than was made to fail.
    pub cut_short: bool,
    /// Guests that a failure ended.
    pub guests_lost: u64,
    /// From the first guest's start to the last place's verdict in it.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// What else is to be known, in sentences.
    pub notes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_how_they_ended() {
        let of = |failed, errors: &[(&str, u64)]| FailingRecord {
            failed,
            errors: errors.iter().map(|(errno, times)| ((*errno).to_owned(), *times)).collect(),
            ..FailingRecord::new("slab:7")
        };
        assert_eq!(of(0, &[]).outcome(), "never failed");
        assert_eq!(of(9, &[]).outcome(), "went through");
        assert_eq!(of(9, &[("ENOMEM", 9)]).outcome(), "ENOMEM");
        assert_eq!(of(9, &[("ENOMEM", 2), ("EIO", 3)]).outcome(), "EIO 3, ENOMEM 2, went through 4");
        assert_eq!(of(9, &[]).place(), "slab:7");
        assert_eq!(FailingRecord { function: "nfs_opendir".into(), ..of(1, &[]) }.place(), "slab:7 in nfs_opendir");
    }
}
