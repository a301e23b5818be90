//! All runs of a score.

use super::catches::Catch;
use super::clean::CleanRun;
use super::explored::ExploredRow;
use super::row::{LEAST_COVERAGE_PERCENT, Row};
use crate::result::record::Verdict;
use serde::Serialize;

/// Everything that was tried.
#[derive(Debug, Serialize)]
pub struct Score {
    pub series: String,
    /// The version of the source that all kernels were built from.
    pub source_version: String,
    /// One per patch and seed.
    pub rows: Vec<Row>,
    /// The same leaks in other scenarios.
    pub catches: Vec<Catch>,
    /// Runs on the kernel as it is.
    pub clean: Vec<CleanRun>,
    /// Explorations of kernels with a known leak or honest growth.
    pub explored: Vec<ExploredRow>,
}

impl Score {
    /// Returns whether there is nothing to complain of: each verdict and function is right, and as many bounds contain the
    /// true rate as they must.
    pub fn all_right(&self) -> bool {
        let rates: Vec<bool> = self.rows.iter().filter_map(|row| row.rate_right).collect();
        let right = rates.iter().filter(|right| **right).count();
        self.rows.iter().all(|row| row.right && row.function_right != Some(false))
            && right * 100 >= LEAST_COVERAGE_PERCENT * rates.len()
            && self.catches.iter().all(|catch| catch.caught)
            && self.clean.iter().all(|run| run.verdict == Verdict::Clean)
            && self.explored.iter().all(ExploredRow::right)
    }
}
