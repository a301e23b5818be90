//! Who allocated the pages that are in use: from debugfs `page_owner` (CONFIG_PAGE_OWNER and page_owner=on).

use super::site_text::without_offset;
use crate::sample::Site;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::Read;
use std::os::unix::fs::FileExt;

const FILE: &str = "/sys/kernel/debug/page_owner";
/// One read gives one page's record, if it fits.
const RECORD_BYTES: usize = 16 * 1024;
/// An address has 64 bits, of which 12 are those of a page's bytes.
const MOST_FRAMES: u64 = 1 << 52;
/// Page frames between two records that are looked at in a search.
const STRIDE: u64 = 16;

/// Functions that hand out pages to whoever asks (mm/page_alloc.c, mm/mempolicy.c, include/linux/gfp.h); the one that asked is
/// told.
const ALLOCATORS: [&str; 23] = [
    "post_alloc_hook",
    "prep_new_page",
    "get_page_from_freelist",
    "__alloc_pages",
    "__alloc_pages_nodemask",
    "__alloc_pages_noprof",
    "__alloc_frozen_pages_noprof",
    "alloc_frozen_pages_noprof",
    "alloc_pages",
    "alloc_pages_noprof",
    "alloc_pages_current",
    "alloc_pages_mpol_noprof",
    "__get_free_pages",
    "get_free_pages_noprof",
    "get_zeroed_page",
    "get_zeroed_page_noprof",
    "alloc_pages_node_noprof",
    "folio_alloc",
    "folio_alloc_noprof",
    "__folio_alloc",
    "__folio_alloc_noprof",
    "__alloc_pages_bulk",
    "alloc_pages_bulk_noprof",
];

/// Reads the pages in use by stack, slabs and page cache left out; `None` if the kernel does not keep them.
pub fn read() -> Option<Vec<Site>> {
    let mut file = File::open(FILE).ok()?;
    let mut buffer = vec![0; RECORD_BYTES];
    let mut stacks = Stacks::default();
    let mut records = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => stacks.add(&String::from_utf8_lossy(&buffer[..length])),
            Err(_) => return None,
        }
        records += 1;
    }
    // Without page_owner=on the file is there and says nothing.
    (records > 0).then(|| stacks.sites())
}

/// Counts pages that a function is said to have allocated, up to `enough`; `None` if the kernel does not keep who did.
///
/// Not every record is read, because one takes 0.1 ms in an emulated guest and there may be a hundred thousand: only every
/// 16th page frame is looked at, and all around it once one is found. So pages that lie alone may be missed.
pub fn search(function: &str, enough: i64) -> Option<i64> {
    let file = File::open(FILE).ok()?;
    let mut buffer = vec![0; RECORD_BYTES];
    let record_from = |frame: u64| {
        let length = file.read_at(&mut buffer, frame).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Some((frame_of(&text)?, text.contains(function)))
    };
    Some(search_frames(record_from, enough))
}

/// Does the same, given how to read the first record at or behind a page frame: its frame, and whether it is one of
/// those.
pub(super) fn search_frames(mut record_from: impl FnMut(u64) -> Option<(u64, bool)>, enough: i64) -> i64 {
    // Frames below `close_to` are looked at one by one.
    let (mut from, mut unseen, mut close_to, mut found) = (0, 0, 0, 0);
    while found < enough {
        let Some((frame, is_one)) = record_from(from) else { break };
        if is_one && frame >= close_to {
            from = frame.saturating_sub(STRIDE - 1).max(unseen);
            close_to = frame + STRIDE;
            continue;
        }
        if is_one {
            found += 1;
            close_to = frame + STRIDE;
        }
        unseen = frame + 1;
        from = if frame < close_to { frame + 1 } else { frame + STRIDE };
    }
    found
}

/// Returns the number of the page frame of a record, which newer kernels write in hexadecimal.
pub(super) fn frame_of(record: &str) -> Option<u64> {
    let number = record.lines().nth(1)?.strip_prefix("PFN ")?.split_whitespace().next()?;
    let frame: Option<u64> = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    };
    frame.filter(|frame| *frame < MOST_FRAMES)
}

/// Pages by the text of their stack, offsets and all.
#[derive(Default)]
pub(super) struct Stacks(HashMap<String, i64, BuildHasherDefault<DefaultHasher>>);

impl Stacks {
    /// Adds one record: a line "Page allocated via order `n`, ...", a line "PFN ... Flags 0x...(`names`)", the stack.
    pub(super) fn add(&mut self, record: &str) {
        let Some((head, rest)) = record.split_once('\n') else { return };
        let Some((place, stack)) = rest.split_once('\n') else { return };
        let order =
            head.strip_prefix("Page allocated via order ").and_then(|t| t.split(',').next()?.parse::<u32>().ok());
        let Some(order) = order else { return };
        let flags = place.rsplit_once('(').map_or("", |(_, flags)| flags.trim_end_matches(')'));
        // Those belong to other counters, or to the page cache.
        if flags.split('|').any(|flag| flag == "slab" || flag == "lru") {
            return;
        }
        let pages = 1 << order.min(20);
        match self.0.get_mut(stack) {
            Some(count) => *count += pages,
            None => {
                self.0.insert(stack.to_owned(), pages);
            }
        }
    }

    pub(super) fn sites(self) -> Vec<Site> {
        let mut sites: Vec<Site> = self.0.into_iter().map(|(stack, objects)| site(&stack, objects)).collect();
        sites.sort_by_key(|site| -site.objects);
        sites
    }
}

/// Functions that take pages for what other counters count, or for the page cache and processes; where no flags of a page
/// tell that, its stack does.
const COUNTED_ELSEWHERE: [&str; 16] = [
    "allocate_slab",
    "new_slab",
    "handle_mm_fault",
    "__handle_mm_fault",
    "pte_alloc_one",
    "__pte_alloc",
    "__pmd_alloc",
    "__pud_alloc",
    "pgd_alloc",
    "__vmalloc_node_range",
    "__vmalloc_node_range_noprof",
    "pcpu_populate_chunk",
    "copy_process",
    "page_cache_ra_unbounded",
    "shmem_alloc_folio",
    "shmem_get_folio_gfp",
];

/// Returns the function that asked for pages, given the stack of their allocation; `None` if another counter counts them.
pub(super) fn who_asked_for_pages(stack: &[String]) -> Option<String> {
    if stack.iter().any(|f| COUNTED_ELSEWHERE.contains(&f.as_str())) {
        return None;
    }
    Some(stack.iter().find(|f| !ALLOCATORS.contains(&f.as_str())).cloned().unwrap_or_default())
}

fn site(text: &str, objects: i64) -> Site {
    let frames = text.lines().map(str::trim).filter(|line| line.contains("+0x"));
    let stack: Vec<String> = frames.map(without_offset).collect();
    let function = stack.iter().find(|f| !ALLOCATORS.contains(&f.as_str())).cloned().unwrap_or_default();
    Site { function, stack, objects }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(order: u32, flags: &str, caller: &str) -> String {
        format!(
            "Page allocated via order {order}, mask 0xcc0(GFP_KERNEL), pid 1, tgid 1 (init), ts 12 ns, free_ts 0 ns\n\
             PFN 4711 type Unmovable Block 9 type Unmovable Flags 0x100({flags})\n \
             get_page_from_freelist+0x14b/0x180\n __alloc_pages+0xdd/0x210\n {caller}+0x2c/0x110\n nfs_readdir+0x1/0x2\n\n"
        )
    }

    #[test]
    fn pages_of_other_counters_are_left_out_by_their_stack() {
        let stack = |frames: &[&str]| frames.iter().map(|f| f.to_string()).collect::<Vec<_>>();
        let asked = |frames: &[&str]| who_asked_for_pages(&stack(frames));
        assert_eq!(asked(&["__alloc_pages", "__get_free_pages", "nfsd_readdir"]).as_deref(), Some("nfsd_readdir"));
        assert_eq!(asked(&["__alloc_pages", "allocate_slab", "___slab_alloc"]), None);
        // As a trace of 7.3 has them.
        let folio = ["__alloc_frozen_pages_noprof", "__folio_alloc_noprof", "nfs_readdir_folio_filler"];
        assert_eq!(asked(&folio).as_deref(), Some("nfs_readdir_folio_filler"));
        let packet = ["__alloc_frozen_pages_noprof", "alloc_pages_node_noprof", "skb_page_frag_refill"];
        assert_eq!(asked(&packet).as_deref(), Some("skb_page_frag_refill"));
    }

    #[test]
    fn pages_are_told_by_who_asked_for_them() {
        let mut stacks = Stacks::default();
        stacks.add(&record(0, "node=0|zone=1", "nfs_readdir_alloc_pages"));
        stacks.add(&record(2, "node=0|zone=1", "nfs_readdir_alloc_pages"));
        stacks.add(&record(0, "slab|node=0", "allocate_slab"));
        stacks.add(&record(0, "uptodate|lru", "page_cache_ra_unbounded"));
        stacks.add("no record");
        let sites = stacks.sites();
        assert_eq!(sites.len(), 1);
        assert_eq!((sites[0].function.as_str(), sites[0].objects), ("nfs_readdir_alloc_pages", 5));
        assert_eq!(sites[0].stack.last().unwrap(), "nfs_readdir");
    }

    #[test]
    fn search_finds_whole_runs_of_pages_and_reads_few_others() {
        // Frames 100 to 999 are in use, and those of these runs are what is looked for.
        let runs = [250..350, 353..360, 700..764];
        let mut reads = 0;
        let found = |enough, reads: &mut u64| {
            let record_from = |from: u64| {
                *reads += 1;
                let frame = from.max(100);
                (frame < 1000).then(|| (frame, runs.iter().any(|run| run.contains(&frame))))
            };
            search_frames(record_from, enough)
        };
        assert_eq!(found(1000, &mut reads), 171);
        assert!(reads < 300, "{reads} records were read");
        assert_eq!(found(120, &mut reads), 120);
    }

    #[test]
    fn page_frames_are_read_in_both_notations() {
        assert_eq!(frame_of(&record(0, "node=0", "f")), Some(4711));
        assert_eq!(frame_of(&record(0, "node=0", "f").replace("4711", "0x1267")), Some(4711));
        assert_eq!(frame_of("No record"), None);
    }

    #[test]
    fn frames_that_no_memory_has_are_no_frames() {
        assert_eq!(frame_of("x\nPFN 0xffffffffffffffff type\n"), None);
        assert_eq!(frame_of("x\nPFN 18446744073709551615 type\n"), None);
    }
}
