//! Per-CPU memory: allocations from debugfs `percpu_stats` (CONFIG_PERCPU_STATS), else pages from `/proc/meminfo`.

use super::source::CounterSource;
use crate::error::{Context, Result};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::procfs::{number, read_all};
use crate::sample::PAGE_BYTES;
use std::fs::File;

const STATS: &str = "/sys/kernel/debug/percpu_stats";
const MEMINFO: &str = "/proc/meminfo";
const KIB_PER_PAGE: i64 = PAGE_BYTES as i64 / 1024;

/// The file that is read, kept open, and what in it counts.
pub struct Percpu {
    file: File,
    key: &'static str,
    per_object: i64,
}

impl Percpu {
    /// Opens the more exact one that there is; `None` if there is neither.
    pub fn open(files: &KernelFiles) -> Option<Self> {
        let exact = files.open(STATS).ok().map(|file| Self { file, key: "nr_cur_alloc", per_object: 1 });
        let pages = || files.open(MEMINFO).ok().map(|file| Self { file, key: "Percpu", per_object: KIB_PER_PAGE });
        let works = |percpu: &Self| percpu.count().ok().flatten().is_some();
        exact.filter(works).or_else(|| pages().filter(works))
    }
}

impl CounterSource for Percpu {
    /// Returns whether it is allocations that are counted, so that a few are seen.
    fn is_exact(&self) -> bool {
        self.per_object == 1
    }

    /// Returns how many allocations there are, or pages where the kernel does not count allocations.
    fn count(&self) -> Result<Option<i64>> {
        let text = read_all(&self.file).machine(|| "cannot read how much per-CPU memory there is".into())?;
        Ok(value(&text, self.key).map(|n| n / self.per_object))
    }
}

/// Returns the number of the first line "`key` : `number`".
pub(in crate::probe) fn value(text: &str, key: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(key))?;
    line.trim().strip_prefix(':')?.split_whitespace().next().and_then(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn values_are_found_in_both_files() {
        let stats = "Global Stats:\n  nr_alloc            :      1345\n  nr_dealloc          :       100\n\
                     \x20 nr_cur_alloc        :      1245\n  nr_max_alloc        :      1250\n";
        assert_eq!(value(stats, "nr_cur_alloc"), Some(1245));
        assert_eq!(value("MemFree: 3 kB\nPercpu:      264 kB\n", "Percpu"), Some(264));
        assert_eq!(value("", "Percpu"), None);
    }

    #[test]
    fn allocations_are_counted_where_the_kernel_tells_them_and_pages_where_not() {
        let made = MadeFiles::machine();
        let exact = Percpu::open(&made.files).unwrap();
        assert_eq!((exact.count().unwrap(), exact.is_exact(), exact.sites().unwrap()), (Some(1245), true, None));
        made.remove(STATS);
        let pages = Percpu::open(&made.files).unwrap();
        assert_eq!((pages.count().unwrap(), pages.is_exact()), (Some(20), false));
        // Before Linux 4.19.
        made.write(MEMINFO, "MemTotal: 12000 kB\n");
        assert!(Percpu::open(&made.files).is_none());
    }

    #[test]
    fn statistics_of_another_shape_leave_the_pages() {
        let made = MadeFiles::machine();
        made.write(STATS, "Percpu Memory Statistics\n");
        assert!(!Percpu::open(&made.files).unwrap().is_exact());
    }
}
