//! A record of `page_owner`: who allocated one page.

use crate::probe::kernel_files::KernelFiles;
use crate::probe::page_allocator::who_asked;
use crate::probe::site_text::without_offset;
use crate::sample::Site;
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::os::unix::fs::FileExt;

pub(in crate::probe) const FILE: &str = "/sys/kernel/debug/page_owner";
/// One read gives one page's record, if it fits.
pub(in crate::probe) const RECORD_BYTES: usize = 16 * 1024;
/// An address has 64 bits, of which 12 are those of a page's bytes.
pub(in crate::probe) const MOST_FRAMES: u64 = 1 << 52;
/// No order of pages is as large (MAX_ORDER in include/linux/mmzone.h is 11 and less).
pub(in crate::probe) const MOST_ORDER: u32 = 20;
/// Whose pages the depot of stacks has (lib/stackdepot.c): the function that takes them, whose name has a prefix or a suffix by version, or,
/// where page_owner itself asked for a stack to be kept, the one that stands for a stack it must not ask for once more (mm/page_owner.c).
pub(in crate::probe) const DEPOT: [&str; 2] = ["stack_depot_save", "register_dummy_stack"];
/// Of a pool of that depot: STACK_ALLOC_ORDER in lib/stackdepot.c of Linux 6.1, DEPOT_POOL_ORDER in that of 6.12.
pub(in crate::probe) const DEPOT_ORDER: u32 = 2;
/// What the names of all functions of an NFS client or server have in them.
pub(in crate::probe) const NFS: &str = "nfs";

/// Opens the file; `None` if the kernel does not keep owners. Without page_owner=on the file is there and says nothing.
pub(in crate::probe) fn open_watching(files: &KernelFiles) -> Option<File> {
    let file = files.open(FILE).ok()?;
    file.read_at(&mut [0; RECORD_BYTES], 0).is_ok_and(|length| length > 0).then_some(file)
}

pub(in crate::probe) fn is_of_depot(record: &str) -> bool {
    DEPOT.iter().any(|function| record.contains(function))
}

/// Returns the order of a record's pages: its first line is "Page allocated via order `n`, ...".
pub(in crate::probe) fn order_of(record: &str) -> Option<u32> {
    let order: u32 = record.strip_prefix("Page allocated via order ")?.split(',').next()?.parse().ok()?;
    (order <= MOST_ORDER).then_some(order)
}

/// Returns the number of the page frame of a record, which newer kernels write in hexadecimal.
pub(in crate::probe) fn frame_of(record: &str) -> Option<u64> {
    let number = record.lines().nth(1)?.strip_prefix("PFN ")?.split_whitespace().next()?;
    let frame: Option<u64> = match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    };
    frame.filter(|frame| *frame < MOST_FRAMES)
}

/// Pages by the text of their stack, offsets and all.
#[derive(Default)]
pub(in crate::probe) struct Stacks(HashMap<String, i64, BuildHasherDefault<DefaultHasher>>);

impl Stacks {
    /// Adds one record: a line "Page allocated via order `n`, ...", a line "PFN ... Flags 0x...(`names`)", the stack.
    pub fn add(&mut self, record: &str) {
        let Some((head, rest)) = record.split_once('\n') else { return };
        let Some((place, stack)) = rest.split_once('\n') else { return };
        let Some(order) = order_of(head) else { return };
        let flags = place.rsplit_once('(').map_or("", |(_, flags)| flags.trim_end_matches(')'));
        let has = |name: &str| flags.split('|').any(|flag| flag == name);
        // Those of slabs belong to other counters. One that was taken out of the page cache while somebody keeps a reference stays on the
        // lists of reclaim: NFS's own are told, those of other file systems are in use as a rule.
        if has("slab") || (has("lru") && !stack.contains(NFS)) {
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

    pub fn sites(self) -> Vec<Site> {
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
pub(in crate::probe) mod tests {
    use super::*;

    /// Makes the record of page frame 4711.
    pub(in crate::probe) fn record(order: u32, flags: &str, caller: &str) -> String {
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
        stacks.add(&record(0, "uptodate|lru", "nfs_symlink"));
        stacks.add(&record(0, "uptodate|lru", "page_cache_ra_unbounded").replace("nfs_readdir", "ext4_readdir"));
        stacks.add("no record");
        let sites = stacks.sites();
        assert_eq!((sites.len(), sites[1].function.as_str(), sites[1].objects), (2, "nfs_symlink", 1));
        assert_eq!((sites[0].function.as_str(), sites[0].objects), ("nfs_readdir_alloc_pages", 5));
        assert_eq!(sites[0].stack.last().unwrap(), "nfs_readdir");
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

    #[test]
    fn frame_beyond_what_a_machine_can_have_is_none() {
        let record = |frame: u64| format!("Page allocated via order 0, mask 0x0\nPFN {frame} type Unmovable\n");
        assert_eq!(frame_of(&record(MOST_FRAMES - 1)), Some(MOST_FRAMES - 1));
        assert_eq!(frame_of(&record(MOST_FRAMES)), None);
    }
}
