//! Who allocated the pages that are in use: from debugfs `page_owner` (CONFIG_PAGE_OWNER and page_owner=on).

use super::kernel_files::KernelFiles;
use super::page_allocator::who_asked;
use super::procfs::release_of;
use super::site_text::without_offset;
use super::version::Version;
use crate::sample::Site;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const FILE: &str = "/sys/kernel/debug/page_owner";
/// What a kernel shows that keeps a list of its own of all stacks (mm/page_owner.c of 6.12).
const LIST: &str = "/sys/kernel/debug/page_owner_stacks";
/// What reading all records may take. A machine of 256 GiB has up to 64 million, and a record takes some 10 us, or 0.1 ms in an emulated guest.
const ALL: Budget = Budget { records: 1 << 20, time: Duration::from_secs(30) };
/// What a search may take that looks at a part of them.
const SEARCH: Budget = Budget { records: 1 << 18, time: Duration::from_secs(10) };
/// And the first one, by which it is judged whether there are to be any.
const FIRST_SEARCH: Budget = Budget { records: 1 << 17, time: Duration::from_secs(10) };
/// One read gives one page's record, if it fits.
const RECORD_BYTES: usize = 16 * 1024;
/// An address has 64 bits, of which 12 are those of a page's bytes.
const MOST_FRAMES: u64 = 1 << 52;
/// No order of pages is as large (MAX_ORDER in include/linux/mmzone.h is 11 and less).
const MOST_ORDER: u32 = 20;
/// Page frames between two records that are looked at in a search.
const STRIDE: u64 = 16;

/// How many records a reading may have, and how long it may take.
#[derive(Clone, Copy, Debug)]
struct Budget {
    records: u64,
    time: Duration,
}

/// What is left of a budget.
struct Left {
    records: u64,
    end: Instant,
    is_used_up: bool,
}

impl Budget {
    fn begin(self) -> Left {
        Left { records: self.records, end: Instant::now() + self.time, is_used_up: false }
    }
}

impl Left {
    /// Takes one record off; `None` if there may be no further one.
    fn take_one(&mut self) -> Option<()> {
        if self.records == 0 || Instant::now() >= self.end {
            self.is_used_up = true;
            return None;
        }
        self.records -= 1;
        Some(())
    }
}

/// Who allocated the pages in use, as far as the kernel tells.
#[derive(Debug, PartialEq)]
pub enum Owners {
    /// It does not keep them.
    NotKept,
    /// It has more records than are read.
    TooMany,
    /// By stack, slabs left out, and of the page cache all but NFS's.
    Read(Vec<Site>),
}

/// Reads the pages in use by stack.
pub fn read(files: &KernelFiles) -> Owners {
    let Ok(mut file) = files.open(FILE) else { return Owners::NotKept };
    read_records(ALL, |buffer| file.read(buffer))
}

/// Does the same, given how to read the next record into a buffer.
fn read_records(budget: Budget, mut next: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> Owners {
    let mut buffer = vec![0; RECORD_BYTES];
    let mut stacks = Stacks::default();
    let mut left = budget.begin();
    while left.take_one().is_some() {
        match next(&mut buffer) {
            Ok(0) => break,
            Ok(length) => stacks.add(&String::from_utf8_lossy(&buffer[..length])),
            Err(_) => return Owners::NotKept,
        }
    }
    match left {
        _ if left.is_used_up => Owners::TooMany,
        // Without page_owner=on the file is there and says nothing.
        _ if left.records + 1 == budget.records => Owners::NotKept,
        _ => Owners::Read(stacks.sites()),
    }
}

/// Returns whether asking this machine who allocated slab objects would lock it up: page_owner watches, and takes an object of kmalloc for each
/// new stack ([`takes_objects`]).
pub fn locks_up_slabs(files: &KernelFiles) -> bool {
    // What cannot be read may have been switched on.
    open_watching(files).is_some()
        && (files.path(LIST).is_dir() || release_of(files).map_or(true, |release| takes_objects(&release)))
}

/// Opens the file; `None` if the kernel does not keep owners. Without page_owner=on the file is there and says nothing.
fn open_watching(files: &KernelFiles) -> Option<File> {
    let file = files.open(FILE).ok()?;
    file.read_at(&mut [0; RECORD_BYTES], 0).is_ok_and(|length| length > 0).then_some(file)
}

/// Returns whether page_owner of the kernel with this `uname -r` takes an object of kmalloc for a new stack, so that `alloc_traces` must not be
/// asked while it watches.
///
/// Since Linux 6.8 ("mm,page_owner: Maintain own list of stack_records structs") it does. Reading `alloc_traces` of that size class then
/// deadlocks: slab_debug_trace_open() holds the cache's list_lock while its table grows by pages, page_owner notes their stack, and the object
/// for it is looked for under the same lock, with interrupts off. Seen on 7.2.12; see docs/finds.md. A distribution may have that earlier,
/// which its list of stacks shows ([`LIST`]).
pub fn takes_objects(release: &str) -> bool {
    const FIRST: Version = Version { major: 6, minor: 8 };
    !release.parse::<Version>().is_ok_and(|version| version < FIRST)
}

/// Counts pages that a function is said to have allocated, up to `enough`; `None` if the kernel does not keep who did, or has too many records
/// to find them.
///
/// Not every record is read, because one takes 0.1 ms in an emulated guest and there may be a hundred thousand: only every
/// 16th page frame is looked at, and all around it once one is found. So pages that lie alone may be missed.
pub fn search(files: &KernelFiles, function: &str, enough: i64) -> Option<i64> {
    let file = files.open(FILE).ok()?;
    let mut buffer = vec![0; RECORD_BYTES];
    let mut left = SEARCH.begin();
    let record_from = |frame: u64| {
        left.take_one()?;
        let length = file.read_at(&mut buffer, frame).ok()?;
        let text = String::from_utf8_lossy(&buffer[..length]);
        Some((frame_of(&text)?, text.contains(function)))
    };
    let found = search_frames(record_from, enough);
    (!left.is_used_up).then_some(found)
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

/// Who allocates the pages of the files that a kernel unpacks when it boots (init/initramfs.c): none of them is removed. Of a guest's 2,400 records
/// 1,380 are theirs, with stacks that take long to write.
const UNPACKED: &str = "unpack_to_rootfs";

/// The pages of the depot of stacks, as page_owner has them. Seen so on Linux 6.1; 5.10 has functions of these names.
pub struct DepotSearch {
    file: File,
    /// What was found in earlier searches.
    kept: RefCell<KeptPools>,
    /// What the last search that came to its end found.
    last: Cell<Option<i64>>,
    /// Whether there are too many records for a search at each reading.
    has_given_up: Cell<bool>,
}

impl DepotSearch {
    /// Opens the file; `None` if the kernel does not keep owners.
    pub fn open(files: &KernelFiles) -> Option<Self> {
        open_watching(files).map(|file| Self {
            file,
            kept: RefCell::default(),
            last: Cell::default(),
            has_given_up: Cell::default(),
        })
    }

    /// Makes one whose first search took more than it may.
    #[cfg(test)]
    pub fn that_gave_up(file: File) -> Self {
        Self { file, kept: RefCell::default(), last: Cell::default(), has_given_up: Cell::new(true) }
    }

    /// Returns how many pages the depot has; `None` if the first search took more than it may.
    pub fn pages(&self) -> Option<i64> {
        if !self.has_given_up.get() {
            let budget = if self.last.get().is_none() { FIRST_SEARCH } else { SEARCH };
            self.last.set(search_depot(&self.file, &mut self.kept.borrow_mut(), budget).or(self.last.get()));
            self.has_given_up.set(self.last.get().is_none());
        }
        self.last.get()
    }

    /// Returns whether it is not searched any more.
    pub fn has_given_up(&self) -> bool {
        self.has_given_up.get()
    }
}

/// Returns how many pages the depot of stacks has; `None` if that takes more than the budget.
fn search_depot(file: &File, kept: &mut KeptPools, budget: Budget) -> Option<i64> {
    let mut buffer = vec![0; RECORD_BYTES];
    let mut left = budget.begin();
    let pages = kept.depot_pages(|frame| {
        left.take_one()?;
        let length = file.read_at(&mut buffer, frame).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    });
    (!left.is_used_up).then_some(pages)
}

/// Page frames that a pool could fill, by the first of them, in which there is something for good; whether that is a pool.
#[derive(Default)]
pub(super) struct KeptPools(HashMap<u64, bool>);

impl KeptPools {
    /// Returns how many pages the depot of stacks has, given how to read the first record at or behind a page frame. Of four frames
    /// that a pool could fill, one record is read, and none where it is known what is there for good.
    pub(super) fn depot_pages(&mut self, mut record_from: impl FnMut(u64) -> Option<String>) -> i64 {
        const FRAMES: u64 = 1 << DEPOT_ORDER;
        let (mut from, mut pools) = (0, 0);
        loop {
            if let Some(is_pool) = self.0.get(&from) {
                pools += i64::from(*is_pool);
                from += FRAMES;
                continue;
            }
            let Some(record) = record_from(from) else { break };
            let (Some(frame), Some(order)) = (frame_of(&record), order_of(&record)) else { break };
            if frame < from {
                break;
            }
            let first = frame - frame % FRAMES;
            if self.0.contains_key(&first) {
                from = first;
                continue;
            }
            let is_pool = order == DEPOT_ORDER && is_of_depot(&record);
            pools += i64::from(is_pool);
            if is_pool || record.contains(UNPACKED) {
                self.0.insert(first, is_pool);
            }
            // What is larger is aligned to its size, too.
            from = frame + (1 << order.max(DEPOT_ORDER));
            from -= from % FRAMES;
        }
        pools << DEPOT_ORDER
    }
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

/// What the names of all functions of an NFS client or server have in them.
const NFS: &str = "nfs";

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
    use crate::probe::kernel_files::made::{MadeFiles, OWNED_PAGE};

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
        stacks.add(&record(0, "uptodate|lru", "nfs_symlink"));
        stacks.add(&record(0, "uptodate|lru", "page_cache_ra_unbounded").replace("nfs_readdir", "ext4_readdir"));
        stacks.add("no record");
        let sites = stacks.sites();
        assert_eq!((sites.len(), sites[1].function.as_str(), sites[1].objects), (2, "nfs_symlink", 1));
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
        let mut kept = KeptPools::default();
        let pages = kept.depot_pages(|from| {
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
    fn records_beyond_the_budget_are_not_read_which_is_told() {
        let read = |budget: Budget, there: u64| {
            let mut reads = 0;
            let text = record(0, "node=0", "nfs_readdir_alloc_pages");
            let owners = read_records(budget, |buffer| {
                if reads == there {
                    return Ok(0);
                }
                reads += 1;
                buffer[..text.len()].copy_from_slice(text.as_bytes());
                Ok(text.len())
            });
            (owners, reads)
        };
        let hour = Duration::from_secs(3600);
        let few = Budget { records: 100, time: hour };
        assert_eq!(read(few, 64_000_000), (Owners::TooMany, 100));
        assert_eq!(read(Budget { records: u64::MAX, time: Duration::ZERO }, 64_000_000), (Owners::TooMany, 0));
        assert_eq!(read(few, 0), (Owners::NotKept, 0), "page_owner is off");
        let (Owners::Read(sites), 99) = read(few, 99) else { panic!("it fits") };
        assert_eq!((sites.len(), sites[0].objects), (1, 99));
        assert_eq!(read_records(few, |_| Err(std::io::ErrorKind::PermissionDenied.into())), Owners::NotKept);
    }

    #[test]
    fn searches_beyond_the_budget_end_without_a_number() {
        let mut left = Budget { records: 3, time: Duration::from_secs(3600) }.begin();
        let pages = KeptPools::default().depot_pages(|from| {
            left.take_one()?;
            Some(record(2, "node=0", "stack_depot_save").replace("4711", &from.to_string()))
        });
        assert_eq!((pages, left.is_used_up), (12, true));
    }

    #[test]
    fn kernels_that_would_lock_up_are_told_by_their_version_or_are_not_known() {
        let safe = ["4.18.0-553.el8.x86_64", "5.10.262", "6.1.192", "6.7", "6.7.12-200.fc39.x86_64"];
        assert_eq!(safe.map(takes_objects), [false; 5]);
        let locks_up = ["6.8.0-45-generic", "6.12.118+deb13-cloud-amd64", "7.2.12", "10.0", "next", ""];
        assert_eq!(locks_up.map(takes_objects), [true; 6]);
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

    #[test]
    fn frame_beyond_what_a_machine_can_have_is_none() {
        let record = |frame: u64| format!("Page allocated via order 0, mask 0x0\nPFN {frame} type Unmovable\n");
        assert_eq!(frame_of(&record(MOST_FRAMES - 1)), Some(MOST_FRAMES - 1));
        assert_eq!(frame_of(&record(MOST_FRAMES)), None);
    }

    #[test]
    fn places_of_pools_and_of_files_unpacked_at_boot_are_read_once() {
        let at = |frame: u64, order, caller: &str| record(order, "node=0", caller).replace("4711", &frame.to_string());
        let mut records =
            vec![(4, at(4, 2, "__stack_depot_save")), (9, at(9, 0, "unpack_to_rootfs")), (12, at(12, 0, "svc_recv"))];
        let mut kept = KeptPools::default();
        let mut search = |records: &[(u64, String)]| {
            let mut reads = Vec::new();
            let pages = kept.depot_pages(|from| {
                let (frame, record) = records.iter().find(|(frame, _)| *frame >= from)?;
                reads.push(*frame);
                Some(record.clone())
            });
            (pages, reads)
        };
        assert_eq!(search(&records), (4, vec![4, 9, 12]));
        // What is in front of a known place is read again, and that place by the way at most.
        assert_eq!(search(&records), (4, vec![4, 12]));
        records[2].1 = at(12, 2, "__stack_depot_save");
        records.push((16, at(16, 2, "__stack_depot_save")));
        assert_eq!(search(&records), (12, vec![4, 12, 16]), "new pools are found beside known ones");
    }

    #[test]
    fn depot_is_searched_again_at_each_reading() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let record = "Page allocated via order 2, mask 0x0\nPFN 0 type Unmovable\n stack_depot_save+0x1/0x2\n";
        std::fs::write(file.path(), record.replace("stack_depot_save", "somebody_else")).unwrap();
        let opened = File::open(file.path()).unwrap();
        let depot = DepotSearch {
            file: opened,
            has_given_up: Cell::default(),
            ..DepotSearch::that_gave_up(tempfile::tempfile().unwrap())
        };
        assert_eq!((depot.pages(), depot.has_given_up()), (Some(0), false));
        std::fs::write(file.path(), record).unwrap();
        assert_eq!((depot.pages(), depot.has_given_up()), (Some(4), false));
    }

    /// Makes the file as it is for one page: whoever reads from a page frame up to its own gets its record, and behind it there is none.
    fn one_page(frame: usize, function: &str) -> MadeFiles {
        let record = record(0, "node=0", function).replace("4711", &frame.to_string());
        let (first, rest) = record.split_once('\n').unwrap();
        MadeFiles::new(&[(FILE, &format!("{first:frame$}\n{rest}"))])
    }

    #[test]
    fn pages_of_a_function_are_found_by_its_name_and_those_of_others_are_not() {
        let made = one_page(1000, "pipe_write");
        assert_eq!(search(&made.files, "pipe_write", 64), Some(1));
        assert_eq!(search(&made.files, "nfs_opendir", 64), Some(0));
        assert_eq!(search(&MadeFiles::new(&[]).files, "pipe_write", 64), None, "the kernel keeps no owners");
    }

    #[test]
    fn owners_are_kept_by_a_kernel_that_tells_of_a_page() {
        let made = one_page(1000, "pipe_write");
        assert!(open_watching(&made.files).is_some() && DepotSearch::open(&made.files).is_some());
        made.write(FILE, "");
        assert!(open_watching(&made.files).is_none(), "it was not booted with page_owner=on");
        assert!(open_watching(&MadeFiles::new(&[]).files).is_none() && read(&made.files) == Owners::NotKept);
    }

    #[test]
    fn machine_locks_up_where_owners_are_kept_and_stacks_take_objects() {
        let made = one_page(1000, "pipe_write");
        let of = |release: &str| {
            made.write("/proc/sys/kernel/osrelease", release);
            locks_up_slabs(&made.files)
        };
        assert!(!of("6.1.192\n") && of("7.2.12\n"));
        made.write(&format!("{LIST}/show_stacks"), "");
        assert!(of("6.1.192\n"), "a distribution has the list of stacks earlier");
        made.write(FILE, "");
        assert!(!of("7.2.12\n"), "it does not watch");
        made.write(FILE, OWNED_PAGE);
        made.remove("/proc/sys/kernel/osrelease");
        assert!(locks_up_slabs(&made.files), "nobody knows what it is");
    }

    #[test]
    fn depot_that_takes_too_long_is_not_searched_again() {
        let depot = DepotSearch::that_gave_up(tempfile::tempfile().unwrap());
        assert_eq!((depot.pages(), depot.has_given_up()), (None, true));
    }
}
