//! Pages that are in use and that nothing else explains: neither slabs nor page cache, processes, page tables, vmalloc
//! or per-CPU memory.
//!
//! Free pages alone wander by hundreds, because whatever is cached or parked for a processor is not free. Everything
//! that is accounted for by another counter is therefore subtracted page by page (`/proc/zoneinfo`, `/proc/meminfo`),
//! after `/proc/sys/vm/stat_refresh` has folded what each processor counts for itself (mm/vmstat.c).
//!
//! Pages of processes and of page cache are those that are mapped or cached (`nr_anon_pages`, `nr_file_pages`), not those on
//! the lists of reclaim: up to 15 new ones a processor wait before they are on a list (lru_add in mm/swap.c), and one that
//! was taken out of the page cache while somebody keeps a reference, which is a leak, stays on it.
//!
//! Pages of the depot that keeps stacks for the kernel's own debugging are taken off, too (`stack_depot.rs`).
//!
//! Seen so on Linux 5.2, 5.10, 6.1, 6.6, 6.12, 6.18 and 7.3. What differs is `VmallocUsed` in `/proc/meminfo`: it is 0 from 4.4
//! (a5ad88ce8c7f) to 5.2, and a number again since 5.3 (97105f0ab7b8). Where it is 0 the pages of all areas are added up
//! (`/proc/vmallocinfo`), which is the same number: both are what `__vmalloc_area_node()` in mm/vmalloc.c has allocated.

use super::source::CounterSource;
use super::vmalloc;
use crate::error::{Context, Result};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::page_owner::{self, Owners};
use crate::probe::procfs::{number, read_all, read_into};
use crate::probe::stack_depot::StackDepot;
use crate::sample::{PAGE_BYTES, Site};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Node and zone statistics of pages that have an owner elsewhere.
const EXPLAINED: [&str; 6] = [
    "nr_anon_pages",
    "nr_file_pages",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_page_table_pages",
    "nr_sec_page_table_pages",
];
/// Pages of the swap cache are among `nr_file_pages`, and those that stay there are mapped again, thus in `nr_anon_pages`, too.
const COUNTED_TWICE: &str = "nr_swapcached";
/// In KiB.
const STACKS: &str = "nr_kernel_stack";
const KIB_PER_PAGE: i64 = PAGE_BYTES as i64 / 1024;
/// What is said of a machine whose memory is too large for that.
const TOO_MANY_OWNERS: &str = "page_owner has more records than a million, or than 30 s read, so it was not asked to its end; who allocated pages is \
    told by a trace";
/// Searches for pages of the depot of stacks in one reading: the first one's own stacks may be new.
const MOST_SEARCHES: u32 = 3;

/// The files, kept open, and room for what they say.
pub struct Pages {
    files: KernelFiles,
    refresh: File,
    zoneinfo: File,
    meminfo: File,
    /// Asked where meminfo does not tell what vmalloc has taken; `None` if the kernel lacks it.
    vmallocinfo: Option<File>,
    stacks: Stacks,
    /// Kept from one reading to the next: a page that a buffer takes between the refresh and the reading would be one
    /// that a processor has counted for itself only.
    texts: RefCell<[Vec<u8>; 2]>,
    depot: StackDepot,
    /// Whether page_owner has more records than are read.
    too_many_owners: Cell<bool>,
    /// Pages that nothing but the depot of stacks explains, and those of the depot, when it was last asked.
    last: Cell<Option<(i64, i64)>>,
}

impl Pages {
    /// Opens the files; `None` if the kernel lacks one that it needs.
    pub fn open(files: &KernelFiles) -> Option<Self> {
        let refresh = files.open_to_write("/proc/sys/vm/stat_refresh").ok()?;
        let open = |name: &str| files.open(name).ok();
        let (zoneinfo, meminfo) = (open("/proc/zoneinfo")?, open("/proc/meminfo")?);
        let vmallocinfo = open(vmalloc::FILE);
        let stack_pages = kib(&read_all(&meminfo).ok()?, "KernelStack")? / KIB_PER_PAGE;
        let areas = vmallocinfo.as_ref().and_then(|file| read_all(file).ok()).unwrap_or_default();
        let stacks = if vmalloc::has_stacks(&areas, stack_pages) { Stacks::InVmalloc } else { Stacks::Apart };
        let (texts, depot, last) = (RefCell::default(), StackDepot::open(files), Cell::new(None));
        let (files, too_many_owners) = (files.clone(), Cell::new(false));
        let pages =
            Self { files, refresh, zoneinfo, meminfo, vmallocinfo, stacks, texts, depot, too_many_owners, last };
        // A kernel whose statistics look otherwise is one without this source. What is read first makes the buffers as
        // large as they must be.
        pages.pages_and_depot().ok().flatten().map(|_| pages)
    }
}

impl CounterSource for Pages {
    /// Returns how many pages are in use that nothing explains. The depot of stacks is only asked after a change, since that
    /// takes long, and until none comes meanwhile.
    fn count(&self) -> Result<Option<i64>> {
        for _ in 0..MOST_SEARCHES {
            let Some(pages) = self.pages_and_depot()? else { return Ok(None) };
            match self.last.get() {
                Some((last, _)) if last == pages => break,
                _ => self.last.set(Some((pages, self.depot.pages()))),
            }
        }
        Ok(self.last.get().map(|(pages, depot)| pages - depot))
    }

    /// Returns the same with the depot of stacks as it was found last.
    fn count_roughly(&self) -> Result<Option<i64>> {
        let depot = self.last.get().map_or(0, |(_, depot)| depot);
        Ok(self.pages_and_depot()?.map(|pages| pages - depot))
    }

    /// Returns who allocated them. Of a machine with too many records that is not asked again, and a trace tells it.
    fn sites(&self) -> Result<Option<Vec<Site>>> {
        if self.too_many_owners.get() {
            return Ok(None);
        }
        Ok(match page_owner::read(&self.files) {
            Owners::NotKept => None,
            Owners::TooMany => {
                self.too_many_owners.set(true);
                None
            }
            Owners::Read(sites) => Some(sites),
        })
    }

    fn notes(&self) -> Vec<&'static str> {
        self.too_many_owners.get().then_some(TOO_MANY_OWNERS).into_iter().chain(self.depot.note()).collect()
    }
}

impl Pages {
    /// Returns how many pages are in use that nothing but the depot of stacks explains.
    fn pages_and_depot(&self) -> Result<Option<i64>> {
        let mut texts = self.texts.borrow_mut();
        let [zoneinfo, meminfo] = &mut *texts;
        self.refresh.write_all_at(b"1", 0).machine(|| "cannot refresh the kernel's statistics".into())?;
        read_into(&self.zoneinfo, zoneinfo).machine(|| "cannot read /proc/zoneinfo".into())?;
        read_into(&self.meminfo, meminfo).machine(|| "cannot read /proc/meminfo".into())?;
        let (zoneinfo, meminfo) = (String::from_utf8_lossy(zoneinfo), String::from_utf8_lossy(meminfo));
        let of_areas = || vmalloc::pages(&read_all(self.vmallocinfo.as_ref()?).ok()?);
        let vmalloc = vmalloc_pages(&meminfo, of_areas);
        Ok(vmalloc.and_then(|vmalloc| unexplained(&zoneinfo, &meminfo, vmalloc, self.stacks)))
    }
}

/// Returns the pages of vmalloc, from `/proc/meminfo` or, where that has 0 because it does not tell them, by adding up areas.
fn vmalloc_pages(meminfo: &str, of_areas: impl FnOnce() -> Option<i64>) -> Option<i64> {
    match kib(meminfo, "VmallocUsed")? {
        0 => of_areas(),
        kib => Some(kib / KIB_PER_PAGE),
    }
}

/// Returns the KiB of the line "`name`: `number` kB".
fn kib(meminfo: &str, name: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    number(line.trim().trim_end_matches(" kB"))
}

/// Where the stacks of threads are: with CONFIG_VMAP_STACK among the pages of vmalloc.
#[derive(Clone, Copy, PartialEq)]
pub(in crate::probe) enum Stacks {
    InVmalloc,
    Apart,
}

/// Returns pages in use that nothing explains, `vmalloc` of them being vmalloc's; `None` if the texts are not as they are known
/// to be.
pub(in crate::probe) fn unexplained(zoneinfo: &str, meminfo: &str, vmalloc: i64, stacks: Stacks) -> Option<i64> {
    let (mut managed, mut known) = (None, vmalloc);
    for line in zoneinfo.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        let count = || second.and_then(number);
        match first {
            "managed" => *managed.get_or_insert(0) += count()?,
            "pages" if second == Some("free") => known += words.next().and_then(number)?,
            // What is parked for a processor.
            "count:" => known += count()?,
            COUNTED_TWICE => known -= count()?,
            STACKS if stacks == Stacks::Apart => known += count()? / KIB_PER_PAGE,
            name if EXPLAINED.contains(&name) => known += count()?,
            _ => {}
        }
    }
    known += kib(meminfo, "Percpu").unwrap_or(0) / KIB_PER_PAGE;
    managed.map(|managed| managed - known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::{MEMINFO, MadeFiles, OWNED_PAGE, ZONEINFO};

    #[test]
    fn pages_that_have_an_owner_are_subtracted() {
        let known = 12 - 2 + 20 + 300 + 20 + 5 + 1000 + 40 + 500 + 2 + 100 + 20;
        assert_eq!(unexplained(ZONEINFO, MEMINFO, 100, Stacks::Apart), Some(3000 - known));
        assert_eq!(unexplained(ZONEINFO, MEMINFO, 100, Stacks::InVmalloc), Some(3000 - known + 20), "once");
    }

    #[test]
    fn pages_that_wait_for_a_list_of_reclaim_are_explained() {
        let all = |text: &str| unexplained(text, MEMINFO, 100, Stacks::Apart);
        let waiting = ZONEINFO.replace("nr_inactive_anon 7", "nr_inactive_anon 3");
        assert_eq!(all(&waiting), all(ZONEINFO));
        // And one that is on such a list, but no longer in the page cache, is not.
        assert_eq!(
            all(&ZONEINFO.replace("nr_file_pages 20", "nr_file_pages 19")),
            all(ZONEINFO).map(|pages| pages + 1)
        );
    }

    #[test]
    fn statistics_of_another_shape_are_no_source() {
        assert_eq!(unexplained("", MEMINFO, 0, Stacks::Apart), None);
        assert_eq!(unexplained(&ZONEINFO.replace("managed  2000", "managed  many"), MEMINFO, 0, Stacks::Apart), None);
    }

    #[test]
    fn pages_of_vmalloc_are_told_by_meminfo_or_else_by_its_areas() {
        assert_eq!(vmalloc_pages(MEMINFO, || panic!("meminfo tells it")), Some(100));
        let untold = MEMINFO.replace("400 kB", "0 kB");
        assert_eq!(vmalloc_pages(&untold, || Some(66)), Some(66));
        assert_eq!(vmalloc_pages(&untold, || None), None, "0 there says nothing");
        assert_eq!(vmalloc_pages("MemTotal: 12000 kB\n", || Some(66)), None, "no kernel is known to lack the line");
    }

    /// Returns the pages that nothing explains of the machine that is made, its stacks being no areas of vmalloc.
    const UNEXPLAINED: i64 = 3000 - (12 - 2 + 20 + 300 + 20 + 5 + 1000 + 40 + 500 + 2 + 100 + 20);

    #[test]
    fn stacks_of_threads_are_taken_off_once_wherever_they_are() {
        let made = MadeFiles::machine();
        let count = || Pages::open(&made.files).unwrap().count().unwrap();
        assert_eq!(count(), Some(UNEXPLAINED));
        // With CONFIG_VMAP_STACK: 80 kB are five stacks.
        let area = "0x0-0x0   20480 kernel_clone+0xb8/0x400 pages=4 vmalloc N0=4\n";
        made.write("/proc/vmallocinfo", area.repeat(5));
        assert_eq!(count(), Some(UNEXPLAINED + 20));
        made.write("/proc/vmallocinfo", area.repeat(2));
        assert_eq!(count(), Some(UNEXPLAINED), "two areas are not the stacks of all threads");
    }

    #[test]
    fn depot_of_stacks_is_asked_after_a_change_alone() {
        let made = MadeFiles::machine();
        let pools = |pools: u32| made.write("/sys/kernel/debug/stackdepot/stats", format!("pools: {pools}\n"));
        let free = |pages: &str| made.write("/proc/zoneinfo", ZONEINFO.replace("free     500", pages));
        pools(3);
        let pages = Pages::open(&made.files).unwrap();
        assert_eq!(pages.count().unwrap(), Some(UNEXPLAINED - 12));
        pools(4);
        assert_eq!(pages.count().unwrap(), Some(UNEXPLAINED - 12), "nothing else has changed");
        free("free     490");
        assert_eq!(pages.count_roughly().unwrap(), Some(UNEXPLAINED + 10 - 12), "it is not asked");
        assert_eq!(pages.count().unwrap(), Some(UNEXPLAINED + 10 - 16));
        assert_eq!(pages.count_roughly().unwrap(), Some(UNEXPLAINED + 10 - 16));
        free("free     some");
        assert_eq!(pages.count().unwrap(), None);
    }

    #[test]
    fn owners_of_pages_are_told_unless_there_are_too_many() {
        let made = MadeFiles::machine();
        let pages = Pages::open(&made.files).unwrap();
        assert_eq!((pages.sites().unwrap(), pages.notes()), (None, vec![]), "the kernel keeps none");
        made.write("/sys/kernel/debug/page_owner", OWNED_PAGE);
        assert_eq!(pages.sites().unwrap().unwrap()[0].function, "pipe_write");
        pages.too_many_owners.set(true);
        assert_eq!((pages.sites().unwrap(), pages.notes()), (None, vec![TOO_MANY_OWNERS]));
    }

    #[test]
    fn kernel_that_lacks_a_file_counts_no_pages() {
        for file in ["/proc/sys/vm/stat_refresh", "/proc/zoneinfo", "/proc/meminfo"] {
            let made = MadeFiles::machine();
            made.remove(file);
            assert!(Pages::open(&made.files).is_none(), "{file}");
        }
        let made = MadeFiles::machine();
        made.write("/proc/zoneinfo", "Node 0, zone DMA\n");
        assert!(Pages::open(&made.files).is_none(), "its statistics have another shape");
    }

    #[test]
    fn pages_that_are_not_said_to_be_free_are_not_taken_for_free() {
        let more = ZONEINFO.replace("  pages free     500", "  pages free     500\n  pages scanned  77");
        let all = |text: &str| unexplained(text, MEMINFO, 100, Stacks::Apart);
        assert_eq!(all(&more), all(ZONEINFO));
    }
}
