//! Pages of the kernel's depot of stacks (lib/stackdepot.c): what it costs to remember who allocated what.
//!
//! Each stack that slub_debug=U or page_owner sees for the first time is kept for ever, and every hundred of them or so take a
//! new pool of pages. Which stacks there are depends on who interrupts whom, so on a busy machine new ones come for minutes.
//! They are the instrument's, not the workload's.

use super::kernel_files::KernelFiles;
use super::page_owner::depot::DepotSearch;
use super::page_owner::record::DEPOT_ORDER;
use super::procfs::{number, read_all};
use std::fs::File;

/// With CONFIG_DEBUG_FS. It is there on Linux 6.12 and 7.3, and is not on 6.1.
const STATS: &str = "/sys/kernel/debug/stackdepot/stats";

/// What is said where the first search took too long.
const NOT_SEARCHED: &str = "pages in which the kernel keeps the stacks of slub_debug and page_owner count among pages: page_owner has too many records \
    to be searched for them at each reading";

/// Where this kernel tells it, if it does.
pub struct StackDepot {
    /// page_owner tells who took the pages of pools.
    owned: Option<DepotSearch>,
    /// It counts its pools. One more may be there already for the next stacks; it is taken for one of the pools that are not.
    pools: Option<File>,
}

impl StackDepot {
    /// Opens what there is.
    pub fn open(files: &KernelFiles) -> Self {
        Self { owned: DepotSearch::open(files), pools: files.open(STATS).ok() }
    }

    /// Returns, in a sentence, what is counted because it was not searched for; `None` if nothing.
    pub fn note(&self) -> Option<&'static str> {
        let is_not_searched = self.owned.as_ref().is_some_and(DepotSearch::has_given_up) && self.pools.is_none();
        is_not_searched.then_some(NOT_SEARCHED)
    }

    /// Returns how many pages it has taken, as far as this kernel tells. Takes a tenth of a second where page_owner must be
    /// asked.
    pub fn pages(&self) -> i64 {
        let pools = || pools(&read_all(self.pools.as_ref()?).ok()?).map(|pools| pools << DEPOT_ORDER);
        self.owned.as_ref().and_then(DepotSearch::pages).or_else(pools).unwrap_or(0)
    }
}

/// Returns the number of the line "pools: `number`".
fn pools(stats: &str) -> Option<i64> {
    number(stats.lines().find_map(|line| line.strip_prefix("pools:"))?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_told_by_their_line() {
        assert_eq!(pools("pools: 34\nrefcounted_allocations: 0\npersistent_count: 3\n"), Some(34));
        assert_eq!(pools("persistent_count: 3\n"), None);
        assert_eq!(pools("pools: many\n"), None);
    }

    #[test]
    fn pages_are_four_for_each_pool_where_no_owner_is_told() {
        use std::io::Write;
        let mut stats = tempfile::tempfile().unwrap();
        stats.write_all(b"pools: 34\n").unwrap();
        let depot = StackDepot { owned: None, pools: Some(stats) };
        assert_eq!((depot.pages(), depot.note()), (34 * 4, None));
        let untold = StackDepot { owned: None, pools: None };
        assert_eq!((untold.pages(), untold.note()), (0, None));
    }

    #[test]
    fn depot_that_is_not_searched_is_told_unless_its_pools_are_counted() {
        let gave_up = || Some(DepotSearch::that_gave_up(tempfile::tempfile().unwrap()));
        let untold = StackDepot { owned: gave_up(), pools: None };
        assert_eq!((untold.pages(), untold.note()), (0, Some(NOT_SEARCHED)));
        let made = crate::probe::kernel_files::made::MadeFiles::new(&[(STATS, "pools: 3\n")]);
        let counted = StackDepot { owned: gave_up(), ..StackDepot::open(&made.files) };
        assert_eq!((counted.pages(), counted.note()), (12, None));
    }
}
