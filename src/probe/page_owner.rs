//! Who allocated the pages that are in use: from debugfs `page_owner` (CONFIG_PAGE_OWNER and page_owner=on).

pub(in crate::probe) mod budget;
pub(in crate::probe) mod depot;
pub(in crate::probe) mod record;

use super::kernel_files::KernelFiles;
use super::procfs::release_of;
use super::version::Version;
use crate::sample::Site;
use budget::{Budget, SEARCH};
use record::{FILE, RECORD_BYTES, Stacks, frame_of, open_watching};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// What a kernel shows that keeps a list of its own of all stacks (mm/page_owner.c of 6.12).
const LIST: &str = "/sys/kernel/debug/page_owner_stacks";
/// What reading all records may take. A machine of 256 GiB has up to 64 million, and a record takes some 10 us, or 0.1 ms in an emulated guest.
const ALL: Budget = Budget { records: 1 << 20, time: Duration::from_secs(30) };
/// Page frames between two records that are looked at in a search.
const STRIDE: u64 = 16;

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

#[cfg(test)]
mod tests {
    use super::depot::DepotSearch;
    use super::record::tests::record;
    use super::*;
    use crate::probe::kernel_files::made::{MadeFiles, OWNED_PAGE};

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
}
