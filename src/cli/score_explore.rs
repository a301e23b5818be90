//! The part of `dirleak score` that lets random workloads look for known leaks.

use super::explore::{LARGEST_CACHE, duration, side_by_side};
use crate::error::Result;
use crate::explore::known::{by_library, find_known, signature};
use crate::explore::search::Plan;
use crate::kernel;
use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::run::options::Options;
use crate::score::explored::ExploredRow;
use crate::score::header::{Header, Kind};
use crate::vm::qemu::Accelerator;
use std::time::Duration;

/// Beginning of the class of leaks that only an odd combination shows.
const ODD: &str = "odd-";
/// Where in the cache an exploration keeps what it goes on with until it ends.
const SCORE: &str = "score";

/// Random workloads, and how often and how long they look.
#[derive(clap::Args, Debug)]
pub struct ExploreArgs {
    /// Let random workloads look for the leaks that only an odd combination shows, and for anything in honest kernels, for so long at most (90s,
    /// 5m, 1h), and the library for the same time.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "5m",
          value_parser = duration, conflicts_with_all = ["also", "clean", "alone", "no_patches"])]
    pub(super) explore: Option<Duration>,
    /// Leave the library out of what random workloads are compared with.
    #[arg(long, requires = "explore")]
    pub(super) without_library: bool,
}

/// What all of them share.
pub struct Explorer<'a> {
    pub series: &'a str,
    pub stock: &'a Kernel,
    pub accelerator: Accelerator,
    pub cache: &'a Cache,
    pub ui: &'a Ui,
    /// Guests side by side, if the user says so.
    pub jobs: Option<u8>,
}

/// Returns whether random workloads are to look for what a patch with this header does.
pub fn is_explored(header: &Header) -> bool {
    match &header.kind {
        Kind::Leak(leak) => leak.class.starts_with(ODD),
        Kind::Honest => header.fails.is_empty(),
    }
}

impl ExploreArgs {
    /// Explores the kernels of these headers, one after the other, each with as many seeds as `seeds` has.
    pub fn explored(&self, headers: &[Header], seeds: std::ops::Range<u64>, by: &Explorer) -> Result<Vec<ExploredRow>> {
        let Some(time) = self.explore else { return Ok(Vec::new()) };
        let plain = kernel::build::ingredients::Options::default();
        let build =
            |header: &Header| kernel::resolve(&format!("{}+{}", by.series, header.name), &plain, by.cache, by.ui);
        let kernels: Vec<Kernel> = headers.iter().map(build).collect::<Result<_>>()?;
        let mut rows = Vec::new();
        for (header, kernel) in headers.iter().zip(&kernels) {
            for seed in seeds.clone() {
                rows.push(self.row(header, kernel, (time, seed), by)?);
            }
        }
        Ok(rows)
    }

    fn row(
        &self,
        header: &Header,
        kernel: &Kernel,
        (time, seed): (Duration, u64),
        by: &Explorer,
    ) -> Result<ExploredRow> {
        let options = Options { largest_cache: LARGEST_CACHE, ..Options::seeded(seed) };
        let plan = Plan {
            kernel,
            accelerator: by.accelerator,
            options: &options,
            cache: by.cache,
            ui: by.ui,
            time,
            jobs: side_by_side(by.jobs.map(u32::from))?,
            // The kernels of the other parts have no fault injection, either.
            can_fail: false,
            is_guided: false,
            shard: None,
            from: Vec::new(),
            sought: signature(header),
        };
        let mut row = find_known(&plan, header, by.stock, &by.cache.dir(SCORE)?)?;
        if row.is_leak && !self.without_library {
            row.library = Some(by_library(&plan, header)?);
        }
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::patches;

    #[test]
    fn six_odd_leaks_at_least_are_looked_for_and_honest_growth() {
        let explored: Vec<Header> = patches("6.1").unwrap().into_iter().filter(is_explored).collect();
        let (leaks, honest): (Vec<_>, Vec<_>) = explored.iter().partition(|header| header.kind != Kind::Honest);
        assert!(leaks.len() >= 6 && honest.len() >= 6, "{} leaks, {} honest", leaks.len(), honest.len());
        assert!(leaks.iter().any(|header| header.name == "seek-from-end"));
    }
}
