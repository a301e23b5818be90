//! The pages of the kernel's depot of stacks, as `page_owner` has them.

use super::budget::{Budget, FIRST_SEARCH, SEARCH};
use super::record::{DEPOT_ORDER, RECORD_BYTES, frame_of, is_of_depot, open_watching, order_of};
use crate::probe::kernel_files::KernelFiles;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

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
        open_watching(files).map(Self::of)
    }

    /// Makes one that has not searched yet.
    fn of(file: File) -> Self {
        Self { file, kept: RefCell::default(), last: Cell::default(), has_given_up: Cell::default() }
    }

    /// Makes one whose first search took more than it may.
    #[cfg(test)]
    pub fn that_gave_up(file: File) -> Self {
        Self { has_given_up: Cell::new(true), ..Self::of(file) }
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
pub(in crate::probe) struct KeptPools(HashMap<u64, bool>);

impl KeptPools {
    /// Returns how many pages the depot of stacks has, given how to read the first record at or behind a page frame. Of four frames
    /// that a pool could fill, one record is read, and none where it is known what is there for good.
    pub fn depot_pages(&mut self, mut record_from: impl FnMut(u64) -> Option<String>) -> i64 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::page_owner::record::Stacks;
    use crate::probe::page_owner::record::tests::record;
    use std::time::Duration;

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
    fn searches_beyond_the_budget_end_without_a_number() {
        let mut left = Budget { records: 3, time: Duration::from_secs(3600) }.begin();
        let pages = KeptPools::default().depot_pages(|from| {
            left.take_one()?;
            Some(record(2, "node=0", "stack_depot_save").replace("4711", &from.to_string()))
        });
        assert_eq!((pages, left.is_used_up), (12, true));
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
        let depot = DepotSearch::of(opened);
        assert_eq!((depot.pages(), depot.has_given_up()), (Some(0), false));
        std::fs::write(file.path(), record).unwrap();
        assert_eq!((depot.pages(), depot.has_given_up()), (Some(4), false));
    }

    #[test]
    fn depot_that_takes_too_long_is_not_searched_again() {
        let depot = DepotSearch::that_gave_up(tempfile::tempfile().unwrap());
        assert_eq!((depot.pages(), depot.has_given_up()), (None, true));
    }
}
