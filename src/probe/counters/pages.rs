//! Pages that are in use and that nothing else explains: neither slabs nor page cache, processes, page tables, vmalloc
//! or per-CPU memory.
//!
//! Free pages alone wander by hundreds, because whatever is cached or parked for a processor is not free. Everything
//! that is accounted for by another counter is therefore subtracted page by page (`/proc/zoneinfo`, `/proc/meminfo`),
//! after `/proc/sys/vm/stat_refresh` has folded what each processor counts for itself (mm/vmstat.c).

use super::source::CounterSource;
use crate::error::{Context, Result};
use crate::probe::page_owner;
use crate::probe::procfs::{number, read_all};
use crate::sample::{PAGE_BYTES, Site};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Node and zone statistics of pages that have an owner elsewhere. `nr_kernel_stack` is in KiB.
const EXPLAINED: [&str; 8] = [
    "nr_inactive_anon",
    "nr_active_anon",
    "nr_inactive_file",
    "nr_active_file",
    "nr_unevictable",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_page_table_pages",
];
const KIB_PER_PAGE: i64 = PAGE_BYTES as i64 / 1024;

/// The files, kept open.
pub struct Pages {
    refresh: File,
    zoneinfo: File,
    meminfo: File,
}

impl Pages {
    /// Opens the files; `None` if the kernel lacks one.
    pub fn open() -> Option<Self> {
        let refresh = File::options().write(true).open("/proc/sys/vm/stat_refresh").ok()?;
        let pages =
            Self { refresh, zoneinfo: File::open("/proc/zoneinfo").ok()?, meminfo: File::open("/proc/meminfo").ok()? };
        // A kernel whose statistics look otherwise is one without this source.
        pages.count().ok().flatten().map(|_| pages)
    }
}

impl CounterSource for Pages {
    /// Returns how many pages are in use that nothing explains.
    fn count(&self) -> Result<Option<i64>> {
        self.refresh.write_all_at(b"1", 0).machine(|| "cannot refresh the kernel's statistics".into())?;
        let text = |file, name: &str| read_all(file).machine(|| format!("cannot read /proc/{name}"));
        Ok(unexplained(&text(&self.zoneinfo, "zoneinfo")?, &text(&self.meminfo, "meminfo")?))
    }

    fn sites(&self) -> Result<Option<Vec<Site>>> {
        Ok(page_owner::read())
    }
}

pub(in crate::probe) fn unexplained(zoneinfo: &str, meminfo: &str) -> Option<i64> {
    let (mut managed, mut known) = (None, 0);
    for line in zoneinfo.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        let count = || second.and_then(number);
        match first {
            "managed" => *managed.get_or_insert(0) += count()?,
            "pages" if second == Some("free") => known += words.next().and_then(number)?,
            // What is parked for a processor.
            "count:" => known += count()?,
            "nr_kernel_stack" => known += count()? / KIB_PER_PAGE,
            name if EXPLAINED.contains(&name) => known += count()?,
            _ => {}
        }
    }
    for line in meminfo.lines() {
        let Some((name, rest)) = line.split_once(':') else { continue };
        if ["VmallocUsed", "Percpu"].contains(&name) {
            known += number(rest.trim().trim_end_matches(" kB"))? / KIB_PER_PAGE;
        }
    }
    managed.map(|managed| managed - known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZONEINFO: &str = "Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 10\n      nr_active_file 20\n\
        \x20     nr_slab_unreclaimable 300\n      nr_kernel_stack 80\n      nr_page_table_pages 5\n  pages free     1000\n\
        \x20       min      7\n        managed  2000\n      nr_free_pages 1000\n      nr_zone_inactive_anon 10\n\
        \x20 pagesets\n    cpu: 0\n              count: 40\n              high:  90\n\
        Node 0, zone    DMA32\n  pages free     500\n        managed  1000\n  pagesets\n    cpu: 0\n              count: 2\n";
    const MEMINFO: &str = "MemTotal: 12000 kB\nVmallocTotal: 99999 kB\nVmallocUsed: 400 kB\nPercpu:  80 kB\n";

    #[test]
    fn pages_that_have_an_owner_are_subtracted() {
        let known = 10 + 20 + 300 + 20 + 5 + 1000 + 40 + 500 + 2 + 100 + 20;
        assert_eq!(unexplained(ZONEINFO, MEMINFO), Some(3000 - known));
    }

    #[test]
    fn statistics_of_another_shape_are_no_source() {
        assert_eq!(unexplained("", MEMINFO), None);
        assert_eq!(unexplained(&ZONEINFO.replace("managed  2000", "managed  many"), MEMINFO), None);
    }
}
