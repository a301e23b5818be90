//! Who allocated the pages that are in use: from debugfs `page_owner` (CONFIG_PAGE_OWNER and page_owner=on).

use super::traces::{Site, without_offset};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::Read;

const FILE: &str = "/sys/kernel/debug/page_owner";
/// One read gives one page's record, if it fits.
const RECORD_BYTES: usize = 16 * 1024;

/// Functions that hand out pages to whoever asks (mm/page_alloc.c, mm/mempolicy.c, include/linux/gfp.h); the one that asked is
/// told.
const ALLOCATORS: [&str; 19] = [
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
    "folio_alloc",
    "__folio_alloc",
    "__alloc_pages_bulk",
];

/// Pages in use by stack, slabs and page cache left out; `None` if the kernel does not keep them.
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

/// Pages by the text of their stack, offsets and all.
#[derive(Default)]
struct Stacks(HashMap<String, i64, BuildHasherDefault<DefaultHasher>>);

impl Stacks {
    /// Adds one record: a line "Page allocated via order `n`, ...", a line "PFN ... Flags 0x...(`names`)", the stack.
    fn add(&mut self, record: &str) {
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

    fn sites(self) -> Vec<Site> {
        let mut sites: Vec<Site> = self.0.into_iter().map(|(stack, objects)| site(&stack, objects)).collect();
        sites.sort_by_key(|site| -site.objects);
        sites
    }
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
}
