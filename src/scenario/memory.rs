//! How much memory the guest needs for a scenario's directory.
//!
//! Sizes were read from `/proc/slabinfo` of the Linux 6.1 that dirleak builds, on x86-64, with slab debugging recording
//! who allocated and who freed an object (72 bytes behind each). 100,000 files with names of 24 bytes on a tmpfs took
//! 1,075 bytes each, 50,000 with names of 60 bytes 1,246. What the kernel can give back at any time (the client's inodes
//! and dentries) is not counted, its cache of one listing is.

use super::types::{FileSystem, Scenario, ServerKind};

/// `shmem_inode_cache`, of which 20 fit 16 KiB: a file of the export.
const TMPFS_INODE_BYTES: u64 = 820;
/// `dentry`: pins the file of a tmpfs; names of up to 31 bytes are stored in it.
const DENTRY_BYTES: u64 = 256;
const DENTRY_INLINE_NAME_BYTES: u64 = 31;
/// `struct external_name` before a longer name, and the byte after it.
const EXTERNAL_NAME_BYTES: u64 = 25;
/// A file's label: an object of `lsm_inode_cache`, and the extended attribute of the tmpfs with its name (kmalloc-64,
/// kmalloc-32). 50,000 files with names of 24 bytes took 1,516 bytes each.
const LABEL_BYTES: u64 = 120 + 192 + 128;
/// What user tracking adds to an object of kmalloc.
const TRACK_BYTES: u64 = 72;
/// `struct nfs_cache_array_entry`: cookie, file id, pointer to the name, length, type.
const CACHE_ENTRY_BYTES: u64 = 32;
/// What the check for completeness keeps of an entry: its inode number, where these do not follow each other, and a few bits for
/// the places to which readers go back.
const CHECK_BYTES: u64 = 8 + 2;
/// An entry of ext4 and its like: an inode of 256 bytes, which is in the file that holds the file system, and in the page cache of
/// the loop device above it; and what names it, twice as well.
const DISK_ENTRY_BYTES: u64 = 2 * (256 + 16);
const DISK_BASE_BYTES: u64 = 64 << 20;
/// The kernel, its initramfs, the servers' programs, and room to work in.
const KNFSD_BASE_BYTES: u64 = 96 << 20;
const SYNTHETIC_BASE_BYTES: u64 = 48 << 20;

impl Scenario {
    /// Returns how much memory the guest needs for this scenario, in MiB.
    pub fn memory_needed_mib(&self) -> u64 {
        let entries = self.directory.entries.saturating_add(self.directory.shape.directories());
        let name = self.directory.names.mean_bytes(entries);
        let cached = CACHE_ENTRY_BYTES + kmalloc_bytes(name + 1);
        let (base, file) = match self.server {
            ServerKind::Synthetic => (SYNTHETIC_BASE_BYTES, 0),
            ServerKind::Knfsd if self.export.file_system != FileSystem::Tmpfs => {
                (KNFSD_BASE_BYTES + DISK_BASE_BYTES, DISK_ENTRY_BYTES + 2 * name)
            }
            ServerKind::Knfsd if self.guest.security_labels => (KNFSD_BASE_BYTES, file_bytes(name) + LABEL_BYTES),
            ServerKind::Knfsd => (KNFSD_BASE_BYTES, file_bytes(name)),
        };
        let per_entry = CHECK_BYTES + cached + file;
        (base + entries.saturating_mul(per_entry)).div_ceil(1 << 20)
    }

    /// Returns why the guest's memory is too small for this scenario, in a sentence; `None` if it is not.
    pub fn memory_shortfall(&self) -> Option<String> {
        let (needed, given) = (self.memory_needed_mib(), u64::from(self.guest.memory_mib));
        (needed > given).then(|| {
            format!(
                "{} entries need about {needed} MiB of memory and the guest of {} has {given} MiB; \
                 raise guest.memory_mib in the scenario, or make fewer entries with -n",
                self.directory.entries, self.name
            )
        })
    }
}

/// Returns the bytes of a file of a tmpfs.
fn file_bytes(name: u64) -> u64 {
    let long_name = if name > DENTRY_INLINE_NAME_BYTES { kmalloc_bytes(name + EXTERNAL_NAME_BYTES) } else { 0 };
    TMPFS_INODE_BYTES + DENTRY_BYTES + long_name
}

/// Returns what an allocation of `bytes` takes with tracking. kmalloc's sizes are powers of two, which are aligned to
/// themselves, and two sizes between them, which are not.
fn kmalloc_bytes(bytes: u64) -> u64 {
    match bytes {
        65..=96 => 96 + TRACK_BYTES,
        129..=192 => 192 + TRACK_BYTES,
        _ => {
            let size = bytes.next_power_of_two().max(8);
            (size + TRACK_BYTES).next_multiple_of(size)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::parse;
    use super::*;

    /// Compares object sizes with those of `/proc/slabinfo`, and memory per file with that of `/proc/meminfo`.
    #[test]
    fn sizes_are_those_that_were_measured() {
        for (bytes, measured) in [(32, 128), (96, 168), (128, 256), (256, 512)] {
            assert_eq!(kmalloc_bytes(bytes), measured);
        }
        for (name, measured) in [(24, 1075), (60, 1246)] {
            assert!(file_bytes(name).abs_diff(measured) < 10, "{}", file_bytes(name));
        }
        assert!((file_bytes(24) + LABEL_BYTES).abs_diff(1516) < 10);
    }

    #[test]
    fn entries_beyond_what_the_guest_can_hold_are_told_with_the_way_out() {
        let mut scenario = parse("quick.toml", include_str!("../../scenarios/quick.toml")).unwrap();
        assert_eq!(scenario.memory_shortfall(), None);
        scenario.directory.entries = 10_000_000;
        let sentence = scenario.memory_shortfall().unwrap();
        assert!(sentence.contains("10000000 entries need about"), "{sentence}");
        assert!(sentence.contains("the guest of quick has 256 MiB; raise guest.memory_mib"), "{sentence}");
        scenario.guest.memory_mib = scenario.memory_needed_mib() as u32;
        assert_eq!(scenario.memory_shortfall(), None);
    }

    #[test]
    fn files_that_are_real_cost_more_than_a_formula() {
        let mut scenario = parse("huge-flat.toml", include_str!("../../scenarios/huge-flat.toml")).unwrap();
        let real = scenario.memory_needed_mib();
        scenario.server = ServerKind::Synthetic;
        // 100,000 inodes and dentries of some 1.1 KiB, and the servers' programs.
        assert!(real > scenario.memory_needed_mib() + 100);
        scenario.server = ServerKind::Knfsd;
        scenario.guest.security_labels = true;
        // 100,000 labels of 440 bytes.
        assert_eq!(scenario.memory_needed_mib() - real, 42);
    }
}
