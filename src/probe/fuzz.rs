//! Fuzzing of what reads the kernel's texts about its memory.

use super::counters::{pages, percpu, vmalloc};
use super::mountstats::{self, operations_since, readdirs};
use super::{alloc_calls, allocinfo, kmemleak, memory, page_allocator, page_owner, procfs, slab, slabinfo};
use crate::sample::{objects_of, since};

/// Reads call sites: `alloc_traces`, `alloc_calls`, kmemleak, `/proc/vmallocinfo`, `/proc/allocinfo`.
pub fn sites(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sites = super::site_text::parse(&text);
    assert!(sites.iter().all(|site| site.objects > 0), "a site has no objects");
    let all = alloc_calls::sites(&text, 100).unwrap_or_default();
    assert!(all.len() <= sites.len() + 1, "sites came from nowhere");
    assert!(objects_of(&sites, "") >= objects_of(&sites, "nfs_readdir"));
    assert_eq!(since(&sites, &sites), [], "something grew between a reading and itself");
    let grown = since(&[], &sites);
    assert!(grown.is_sorted_by_key(|site| -site.objects));
    let reported = kmemleak::parse(&text);
    assert!(reported.functions.values().sum::<u64>() <= reported.objects);
    vmalloc::pages(&text);
    let areas = vmalloc::areas(&text);
    assert!(areas.count() <= text.lines().count());
    let lines = allocinfo::parse(&text).unwrap_or_default();
    assert_eq!(lines.since(&lines), [], "a line grew between a reading and itself");
    let grown = lines.since(&allocinfo::AllocInfo::default());
    assert!(grown.is_sorted_by_key(|line| -line.bytes) && grown.iter().all(|line| line.bytes > 0 && line.calls > 0));
}

/// Reads records of `page_owner`, parted by empty lines.
pub fn page_owner(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut stacks = page_owner::record::Stacks::default();
    for record in text.split("\n\n") {
        let frame = page_owner::record::frame_of(record);
        stacks.add(record);
        let found = page_owner::search_frames(|from| Some((frame?.max(from), true)), 3);
        assert!(found <= 3 && (found == 0) == frame.is_none());
        let of_depot =
            page_owner::depot::KeptPools::default().depot_pages(|from| (frame? >= from).then(|| record.to_owned()));
        assert!(of_depot == 0 || of_depot == 1 << page_owner::record::DEPOT_ORDER);
    }
    for site in stacks.sites() {
        assert!(site.objects > 0);
        assert!(page_allocator::who_asked_for_pages(&site.stack).is_none_or(|function| function == site.function));
    }
}

/// Reads numbers: of slab caches, `/proc/slabinfo`, `/proc/meminfo`, `/proc/zoneinfo`, `/proc/vmstat`, `/proc/stat`,
/// `percpu_stats`.
pub fn counts(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    slab::parse_objects(data);
    slabinfo::parse(&text);
    for line in text.lines() {
        let name = slab::counted_as(line);
        assert_eq!(slab::counted_as(&name), name, "what a cache is counted under is counted under itself");
    }
    memory::parse(&text, "MemTotal");
    percpu::value(&text, "nr_cur_alloc");
    percpu::value(&text, "Percpu");
    procfs::parse_busy(&text);
    procfs::parse_page_cache(&text);
    let (zoneinfo, meminfo) = text.split_once("\n\n\n").unwrap_or((&text, &text));
    pages::unexplained(zoneinfo, meminfo, 0, pages::Stacks::Apart);
}

/// Reads `/proc/self/mountstats`, before and after a line of its own.
pub fn mountstats(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (before, after) = text.split_once("\n\n").unwrap_or((&text, &text));
    let read = |text: &str| mountstats::parse(text, "/mnt");
    let (before, after) = (read(before), read(after));
    let grown = operations_since(&before, &after);
    assert!(grown.keys().all(|name| after.contains_key(name)));
    assert!(operations_since(&after, &after).is_empty(), "calls were made between a reading and itself");
    let (before, after) = (mountstats::calls(before), mountstats::calls(after));
    assert!(readdirs(&mountstats::since(&before, &after)) <= readdirs(&after));
    mountstats::parse_options(&text, "/mnt");
}
