//! The processors of a machine: which there are, which may be used, and what each keeps for itself.

use super::kernel_files::KernelFiles;
use crate::error::{Context, Result};
use crate::sample::PAGE_BYTES;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use nix::unistd::Pid;
use std::ffi::c_void;
use std::fs::{self, File};
use std::net::{Ipv4Addr, UdpSocket};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::Duration;

/// Which processors work, as a list of ranges (Documentation/admin-guide/cputopology.rst).
pub const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Returns how many processors work, whoever may use them; `None` if the kernel does not tell.
pub fn online(files: &KernelFiles) -> Option<usize> {
    count(files.text(ONLINE).ok()?.trim())
}

/// Returns how many numbers are in a list of ranges, "0-3,5".
fn count(ranges: &str) -> Option<usize> {
    let length = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    ranges.split(',').map(length).sum()
}

/// Returns the numbers of the processors that this process may use.
pub fn allowed() -> nix::Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or(false)).collect())
}

/// A packet to the own processor is there when sending it returns, unless a thread of the kernel takes it in.
const PACKET_LIMIT: Duration = Duration::from_millis(10);

/// As many objects as fit a page of pointers to them, and a few more (KVFREE_BULK_MAX_ENTR in kernel/rcu/tree.c). It is even: what is renamed
/// goes by its first name again.
const FILLS_LIST_OF_FREED: usize = 512;
/// In bytes: names of up to 39, or 31 and 35 on older kernels, are in the dentry itself (DNAME_INLINE_LEN in include/linux/dcache.h).
const LONG_NAME: usize = 60;

/// A file that is renamed, so that its names are freed.
pub struct Renamed([PathBuf; 2]);

impl Renamed {
    /// Makes it in a directory.
    pub fn make(dir: &Path) -> Result<Self> {
        let names = ["a", "b"].map(|letter| dir.join(letter.repeat(LONG_NAME)));
        File::create(&names[0]).machine(|| format!("cannot make a file in {}", dir.display()))?;
        Ok(Self(names))
    }

    /// Renames it so often. Where that cannot be done what is to be freed stays a while.
    fn rename(&self, times: usize) {
        let [a, b] = &self.0;
        let names = [(a, b), (b, a)].into_iter().cycle().take(times);
        names.take_while(|(from, to)| fs::rename(from, to).is_ok()).for_each(drop);
    }
}

/// Has every processor give back what it keeps for itself and what no shrinker asks of it.
///
/// A page in a processor's batch for the LRU lists has one reference more than drop_caches expects, so it stays, and with it the
/// names of the last directory that was listed. Linux 6.1 and before do not drain the batches themselves. madvise with MADV_DONTNEED
/// drains those of the processor it runs on (zap_page_range in mm/memory.c), whatever the memory.
///
/// Since Linux 5.19 a packet that is freed on another processor than the one that made it waits on a list of that one, up to 64 of them
/// with the pages that they hold, until it takes in a packet (skb_attempt_defer_free in net/core/skbuff.c, net_rx_action in
/// net/core/dev.c). So each processor sends itself one.
pub struct ProcessorDrain {
    page: NonNull<c_void>,
    processors: Vec<usize>,
    /// Connected to itself; `None` where there is nothing to drain, or no loopback.
    packets: Option<UdpSocket>,
}

const PAGE: NonZeroUsize = NonZeroUsize::new(PAGE_BYTES).expect("it is not zero");

impl ProcessorDrain {
    /// Finds those that this process may use.
    pub fn new() -> Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, which nobody else knows of.
        let page = unsafe { mmap_anonymous(None, PAGE, protection, MapFlags::MAP_PRIVATE) }
            .machine(|| "cannot map a page".into())?;
        let processors = allowed().machine(|| "cannot tell the processors".into())?;
        let packets = if processors.len() > 1 { talking_to_itself().ok() } else { None };
        Ok(Self { page, processors, packets })
    }

    /// Returns those that are visited.
    pub fn processors(&self) -> &[usize] {
        &self.processors
    }

    /// Drains them all.
    pub fn drain(&self) -> Result<()> {
        self.on_each(|| {
            // SAFETY: the page is ours and nothing is kept in it.
            unsafe { madvise(self.page, PAGE_BYTES, MmapAdvise::MADV_DONTNEED) }
                .machine(|| "cannot drain LRU batches".into())?;
            if let Some(packets) = &self.packets {
                // Taken back on the same processor. Where it does not arrive, the list stays as it is.
                let _ = packets.send(&[0]).and_then(|_| packets.recv(&mut [0]));
            }
            Ok(())
        })
    }

    /// Does `work` on each processor that is still there, and then may run on any again.
    fn on_each(&self, work: impl Fn() -> Result<()>) -> Result<()> {
        for processor in &self.processors {
            if self.run_on(&[*processor])? {
                work()?;
            }
        }
        self.run_on(&self.processors).map(drop)
    }

    /// Has each processor free what it keeps for later. What kfree_rcu() is given, as nfs_closedir() does with what was made when a
    /// directory was opened, waits on a list of the processor for up to 5 s (KFREE_DRAIN_JIFFIES in kernel/rcu/tree.c of 6.1.192 and 6.12.118;
    /// 20 ms in 5.10.262), unless the list gets as long as fits a page, when all of it goes with the next tick (schedule_delayed_monitor_work).
    ///
    /// A long name is freed so, too, when its file is renamed (copy_name in fs/dcache.c), and is in a cache that is not read. So it does not
    /// matter how many of them are still on the list.
    pub fn fill_lists_of_freed(&self, renamed: &Renamed) -> Result<()> {
        self.on_each(|| {
            renamed.rename(FILLS_LIST_OF_FREED);
            Ok(())
        })
    }

    /// Does `work` on one processor alone, always the same. Whatever takes an object, as reading a count does (show_slab_objects in
    /// mm/slub.c takes one of kmalloc-8), leaves its processor with a slab of its own whose free objects count as in use. Of a
    /// reader that moves meanwhile there are two, and a size class seems to grow by some hundred.
    pub fn stay_on_one<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.run_on(&self.processors[..1])?;
        let done = work();
        self.run_on(&self.processors)?;
        done
    }

    /// Returns whether it is done: not if the processor has been taken away meanwhile.
    fn run_on(&self, processors: &[usize]) -> Result<bool> {
        let mut set = CpuSet::new();
        processors.iter().try_for_each(|n| set.set(*n)).machine(|| "too many processors".into())?;
        match sched_setaffinity(Pid::from_raw(0), &set) {
            Err(Errno::EINVAL) => Ok(false),
            chosen => chosen.map(|()| true).machine(|| "cannot choose a processor".into()),
        }
    }
}

/// Returns a socket whose packets come back to it.
fn talking_to_itself() -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(socket.local_addr()?)?;
    socket.set_read_timeout(Some(PACKET_LIMIT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn processors_that_work_are_counted_from_their_ranges() {
        let of = |list: &str| online(&MadeFiles::new(&[(ONLINE, list)]).files);
        assert_eq!(["0\n", "0-3\n", "0-1,3\n"].map(of), [Some(1), Some(4), Some(3)]);
        assert_eq!(["", "0-", "3-0", "x"].map(count), [None; 4]);
        assert_eq!(online(&MadeFiles::new(&[]).files), None);
    }

    #[test]
    fn every_processor_is_visited_and_one_that_is_not_there_is_passed_over() {
        let mut drain = ProcessorDrain::new().unwrap();
        let all = drain.processors.clone();
        assert!(!drain.run_on(&[CpuSet::count() - 1]).unwrap(), "no machine has so many");
        assert!(all.iter().all(|n| drain.run_on(&[*n]).unwrap()));
        drain.processors.push(CpuSet::count() - 1);
        drain.drain().unwrap();
        let here = drain.stay_on_one(|| Ok(sched_getaffinity(Pid::from_raw(0)).unwrap())).unwrap();
        assert!((0..CpuSet::count()).all(|n| here.is_set(n).unwrap() == (n == all[0])), "it may move");
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
        assert!(all.iter().all(|n| allowed.is_set(*n).unwrap()), "a processor is not used any more");
    }

    #[test]
    fn lists_of_what_is_freed_are_filled_and_no_processor_is_given_up() {
        let home = tempfile::tempdir().unwrap();
        let renamed = Renamed::make(home.path()).unwrap();
        let names =
            || -> Vec<_> { fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect() };
        let made = names();
        assert!(made.len() == 1 && made[0].len() > 40, "{made:?}");
        let drain = ProcessorDrain::new().unwrap();
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        drain.fill_lists_of_freed(&renamed).unwrap();
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
        assert_eq!(names(), made, "renamed as often back as there");
        fs::remove_dir_all(home.path()).unwrap();
        renamed.rename(2);
        std::mem::forget(home);
    }

    #[test]
    fn packet_to_itself_is_taken_in() {
        let socket = talking_to_itself().unwrap();
        socket.send(&[7]).unwrap();
        let mut taken = [0];
        assert_eq!(socket.recv(&mut taken).unwrap(), 1);
        assert_eq!(taken, [7]);
    }

    #[test]
    fn each_processor_that_is_there_sends_a_packet() {
        let hears = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sends = talking_to_itself().unwrap();
        sends.connect(hears.local_addr().unwrap()).unwrap();
        let mut drain = ProcessorDrain::new().unwrap();
        let there = drain.processors.len();
        drain.processors.push(CpuSet::count() - 1);
        drain.packets = Some(sends);
        drain.drain().unwrap();
        hears.set_nonblocking(true).unwrap();
        assert_eq!(std::iter::from_fn(|| hears.recv(&mut [0]).ok()).count(), there);
    }
}
