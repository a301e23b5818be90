//! A fix on one branch, in the result file.

use super::bisection::Commit;
use super::proof::Proof;
use super::record::{RunRecord, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fix on one branch.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BranchRecord {
    /// As the user named it.
    pub branch: String,
    /// The commit.
    pub commit: Commit,
    /// Whether the fix applies there.
    pub applies: Applies,
    /// Whether every scenario leaks without the fix (of a set: one); none if that was not found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaked_before: Option<bool>,
    /// Whether every scenario is clean with the fix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_after: Option<bool>,
    /// Whether every listing with the fix gave each name exactly once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing_complete: Option<bool>,
    /// Its kernels are those in `results`, and empty if they were not built.
    #[serde(flatten)]
    pub proof: Proof,
}

/// Whether a fix applies to a branch.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Applies {
    /// As it is.
    Yes,
    /// The branch has it; it was taken out to see what was there before.
    Already,
    /// Not at all.
    No,
}

impl BranchRecord {
    /// Fills in the answers to what a row asks, from records in pairs, unpatched first.
    pub fn fill(&mut self, records: &[RunRecord], one_is_enough: bool) {
        let side = |which: usize| records.iter().skip(which).step_by(2).map(|record| record.verdict);
        let unsure = |verdict: Verdict| !matches!(verdict, Verdict::Leak | Verdict::Clean);
        let leaks = side(0).filter(|verdict| *verdict == Verdict::Leak).count();
        self.leaked_before = if leaks == side(0).count() || (one_is_enough && leaks > 0) {
            Some(true)
        } else {
            (!side(0).any(unsure)).then_some(false)
        };
        self.clean_after = if side(1).any(|verdict| matches!(verdict, Verdict::Leak | Verdict::Crash)) {
            Some(false)
        } else {
            (!side(1).any(unsure)).then_some(true)
        };
        self.listing_complete = if side(1).any(|verdict| verdict == Verdict::Broken) {
            Some(false)
        } else {
            (!side(1).any(unsure)).then_some(true)
        };
    }
}
