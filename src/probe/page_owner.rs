//! Who allocated the pages that are in use: from debugfs `page_owner` (CONFIG_PAGE_OWNER and page_owner=on).

use super::page_allocator::who_asked;
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
/// No order of pages is as large (MAX_ORDER in include/linux/mmzone.h is 11 and less).
const MOST_ORDER: u32 = 20;
/// Page frames between two records that are looked at in a search.
const STRIDE: u64 = 16;

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

/// Whose pages the depot of stacks has (lib/stackdepot.c): the function that takes them, whose name has a prefix or a suffix by version, or,
/// where page_owner itself asked for a stack to be kept, the one that stands for a stack it must not ask for once more (mm/page_owner.c).
const DEPOT: [&str; 2] = ["stack_depot_save", "register_dummy_stack"];

/// Of a pool of that depot: STACK_ALLOC_ORDER in lib/stackdepot.c of Linux 6.1, DEPOT_POOL_ORDER in that of 6.12.
pub(super) const DEPOT_ORDER: u32 = 2;

/// The pages of the depot of stacks, as page_owner has them. Seen on Linux 5.10 and 6.1.
pub struct DepotSearch(File);

impl DepotSearch {
    /// Opens the file; `None` if the kernel does not keep owners.
    pub fn open() -> Option<Self> {
        let file = File::open(FILE).ok()?;
        // Without page_owner=on the file is there and says nothing.
        let says_something = file.read_at(&mut [0; RECORD_BYTES], 0).is_ok_and(|length| length > 0);
        says_something.then_some(Self(file))
    }

    /// Returns how many pages the depot has.
    pub fn pages(&self) -> i64 {
        let mut buffer = vec![0; RECORD_BYTES];
        depot_pages(|frame| {
            let length = self.0.read_at(&mut buffer, frame).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
    }
}

/// Returns how many pages the depot of stacks has, given how to read the first record at or behind a page frame. Of four frames
/// that a pool could fill, one record is read.
pub(super) fn depot_pages(mut record_from: impl FnMut(u64) -> Option<String>) -> i64 {
    let (mut from, mut found) = (0, 0);
    while let Some(record) = record_from(from) {
        let (Some(frame), Some(order)) = (frame_of(&record), order_of(&record)) else { break };
        if frame < from {
            break;
        }
        if order == DEPOT_ORDER && is_of_depot(&record) {
            found += 1 << DEPOT_ORDER;
        }
        // What is larger is aligned to its size, too.
        from = frame + (1 << order.max(DEPOT_ORDER));
        from -= from % (1 << DEPOT_ORDER);
    }
    found
}

fn is_of_depot(record: &str) -> bool {
    DEPOT.iter().any(|function| record.contains(function))
}

/// Returns the order of a record's pages: its first line is "Page allocated via order `n`, ...".
fn order_of(record: &str) -> Option<u32> {
    let order: u32 = record.strip_prefix("Page allocated via order ")?.split(',').next()?.parse().ok()?;
    (order <= MOST_ORDER).then_some(order)
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
        let Some(order) = order_of(head) else { return };
        let flags = place.rsplit_once('(').map_or("", |(_, flags)| flags.trim_end_matches(')'));
        // Those belong to other counters, or to the page cache.
        if flags.split('|').any(|flag| flag == "slab" || flag == "lru") {
            return;
        }
        // Those are not counted.
        if order == DEPOT_ORDER && is_of_depot(stack) {
            return;
        }
        let pages = 1 << order;
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

fn site(text: &str, objects: i64) -> Site {
    let frames = text.lines().map(str::trim).filter(|line| line.contains("+0x"));
    let stack: Vec<String> = frames.map(without_offset).collect();
    Site { function: who_asked(&stack), stack, objects }
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
    fn pages_of_kernels_with_numa_are_told_by_who_asked_for_them() {
        let record = |order: u32, frames: &[&str]| {
            let stack: String = frames.iter().map(|frame| format!(" {frame}+0x1f/0x350\n")).collect();
            format!(
                "Page allocated via order {order}, mask 0xcc0(GFP_KERNEL), pid 7, tgid 7 (ls), ts 12 ns, free_ts 0 ns\n\
                 PFN 0x1a2b3 type Unmovable Block 209 type Unmovable Flags 0xfffffc0000000(node=0|zone=1)\n{stack}\n"
            )
        };
        let mut stacks = Stacks::default();
        stacks.add(&record(
            0,
            &[
                "post_alloc_hook",
                "get_page_from_freelist",
                "__alloc_frozen_pages_noprof",
                "alloc_pages_mpol",
                "alloc_pages_noprof",
                "folio_alloc_noprof",
                "nfs_readdir_folio_array_alloc",
                "nfs_readdir_xdr_to_array",
            ],
        ));
        stacks.add(&record(
            8,
            &[
                "post_alloc_hook",
                "get_page_from_freelist",
                "__alloc_pages_slowpath.constprop.0",
                "__alloc_pages",
                "alloc_pages_mpol",
                "alloc_pages",
                "__get_free_pages",
                "demo_init",
            ],
        ));
        let told: Vec<_> = stacks.sites().into_iter().map(|site| (site.function, site.objects)).collect();
        assert_eq!(told, [("demo_init".to_owned(), 256), ("nfs_readdir_folio_array_alloc".to_owned(), 1)]);
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
    fn pages_of_the_depot_of_stacks_are_counted_and_are_nobodys() {
        let at = |frame: u64, order, caller: &str| record(order, "node=0", caller).replace("4711", &frame.to_string());
        let records = [
            (9, at(9, 0, "__stack_depot_save")),
            (12, at(12, 2, "__stack_depot_save")),
            (16, at(16, 3, "skb_page_frag_refill")),
            (25, at(25, 0, "svc_recv")),
            (27, at(27, 0, "svc_recv")),
            (28, at(28, 2, "x").replace("get_page_from_freelist", "register_dummy_stack")),
            (32, at(32, 2, "nfs_readdir_alloc_pages")),
        ];
        let mut reads = Vec::new();
        let pages = depot_pages(|from| {
            let (frame, record) = records.iter().find(|(frame, _)| *frame >= from)?;
            reads.push(*frame);
            Some(record.clone())
        });
        assert_eq!(pages, 8, "two pools");
        assert_eq!(reads, [9, 12, 16, 25, 28, 32]);
        let mut stacks = Stacks::default();
        records.iter().for_each(|(_, record)| stacks.add(record));
        let functions: Vec<_> = stacks.sites().into_iter().map(|site| (site.function, site.objects)).collect();
        assert!(!functions.iter().any(|(function, _)| function == "register_dummy_stack"), "{functions:?}");
        assert!(functions.contains(&("nfs_readdir_alloc_pages".into(), 4)));
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
