//! Bringing the kernel's memory to rest, so that what is left is what is kept.

use super::counters::Counters;
use crate::error::{Context, Error, Result};
use crate::sample::{PAGE_BYTES, Sample};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use nix::unistd::Pid;
use std::cell::Cell;
use std::ffi::c_void;
use std::fs::File;
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

/// How far apart the two readings are that must agree.
const APART: Duration = Duration::from_millis(300);
/// How far two readings may differ and still agree, in objects of one cache, if they have not come closer for a
/// while: the noise of a counter at rest.
const AGREE_OBJECTS: i64 = 2;
/// Readings that are waited for until two agree to the object.
const EXACT_READINGS: u32 = 4;
/// Rest is not waited for longer than this.
const LONGEST: Duration = Duration::from_secs(5);
/// What never came to rest before is not waited for as long again.
const ONCE_MISSED: Duration = Duration::from_millis(1500);
/// Passes before one reading.
const MOST_PASSES: u32 = 8;
/// Drops in a pass: what has been used twice survives the first (the second chance of dentries and inodes), and an
/// inode can only go after its dentry.
const DROPS: u32 = 3;
/// Idle time in which a grace period ends on a single processor, whatever its tick.
const IDLE: Duration = Duration::from_millis(30);
/// Kept open: closing a file leaves an object behind until the next grace period.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Passes before one reading of a machine that does other things, too: the second frees what the first has let go of.
const LIGHT_PASSES: u32 = 2;

/// How hard a machine is brought to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuiesceMode {
    /// Until nothing moves any more: it does nothing else.
    Full,
    /// By the few drops that a reading needs: it does other things, so that no two readings agree, and every drop costs them time.
    Light,
}

/// Brings caches to rest, then reads them.
pub struct Quiescer {
    manner: QuiesceMode,
    counters: Counters,
    lru: LruDrain,
    drop_caches: File,
    patience: Cell<Duration>,
}

/// A reading and how it came about.
pub struct SettledSample {
    /// The counters.
    pub sample: Sample,
    /// How long it took until two readings agreed; `None` if they never did.
    pub settled: Option<Duration>,
}

impl Quiescer {
    /// Over these counters.
    pub fn new(counters: Counters, manner: QuiesceMode) -> Result<Self> {
        let drop_caches =
            File::options().write(true).open(DROP_CACHES).machine(|| format!("cannot open {DROP_CACHES}"))?;
        Ok(Self { manner, counters, lru: LruDrain::new()?, drop_caches, patience: Cell::new(LONGEST) })
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns one reading after dropping caches, without waiting for a second one to agree.
    pub fn read_once(&self) -> Result<Sample> {
        self.quiesce()?;
        self.lru.drain()?;
        self.counters.read()
    }

    /// Waits for what is freed after a grace period and for what a worker frees then, as socket filters are, and reads once in
    /// vain: a reading takes an area of vmalloc for a moment (percpu_stats_show), and the first after areas were freed finds
    /// another place for it, which the next would take for growth.
    pub fn wait_for_frees(&self) -> Result<()> {
        self.wait_for_grace_period()?;
        std::thread::sleep(IDLE);
        self.counters.read().map(drop)
    }

    /// Returns readings until two of them, some 0.3 s apart, agree in every counter; one reading where that is not to be had.
    pub fn read_settled(&self) -> Result<SettledSample> {
        let begin = Instant::now();
        let mut last = self.read_once()?;
        let took = begin.elapsed();
        if self.manner == QuiesceMode::Light {
            return Ok(SettledSample { sample: last, settled: Some(took) });
        }
        let mut read = Instant::now();
        for reading in 2.. {
            // The dropping before the next reading belongs to the time between the two.
            std::thread::sleep(APART.saturating_sub(took + read.elapsed()));
            let sample = self.read_once()?;
            read = Instant::now();
            let tolerated = if reading <= EXACT_READINGS { 0 } else { AGREE_OBJECTS };
            if sample.distance(&last) <= tolerated {
                return Ok(SettledSample { sample, settled: Some(begin.elapsed()) });
            }
            if begin.elapsed() > self.patience.get() {
                self.patience.set(ONCE_MISSED);
                return Ok(SettledSample { sample, settled: None });
            }
            last = sample;
        }
        unreachable!("the loop ends by returning")
    }

    /// Caches dropped and a grace period waited for, until that frees nothing more; then per-CPU lists and empty slabs
    /// handed back.
    fn quiesce(&self) -> Result<()> {
        let mut left = None;
        let most = if self.manner == QuiesceMode::Light { LIGHT_PASSES } else { MOST_PASSES };
        for _ in 0..most {
            self.lru.drain()?;
            for _ in 0..DROPS {
                self.drop_caches()?;
            }
            self.wait_for_grace_period()?;
            let objects: i64 = self.counters.slabs().read()?.objects.values().sum();
            if left == Some(objects) {
                break;
            }
            left = Some(objects);
        }
        self.counters.slabs().shrink();
        Ok(())
    }

    /// Page cache, dentries and inodes. The shrinker of kfree_rcu runs with them and flushes batches that would
    /// otherwise sit for up to 5 s (KFREE_DRAIN_JIFFIES in kernel/rcu/tree.c). Written at offset 0: elsewhere the number is
    /// passed over (sysctl_writes_strict), and what anybody wrote last is done again.
    fn drop_caches(&self) -> Result<()> {
        self.drop_caches.write_all_at(b"3", 0).machine(|| format!("cannot write {DROP_CACHES}"))
    }

    /// membarrier(MEMBARRIER_CMD_GLOBAL) is synchronize_rcu(), but does nothing where there is only one processor
    /// (kernel/sched/membarrier.c); there, a grace period ends while the processor is idle for some ticks.
    fn wait_for_grace_period(&self) -> Result<()> {
        if self.lru.processors.len() == 1 {
            std::thread::sleep(IDLE);
            return Ok(());
        }
        // SAFETY: membarrier touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
        Errno::result(result).map_err(|e| Error::machine(format!("cannot wait for an RCU grace period: {e}")))?;
        Ok(())
    }
}

/// Hands pages in every processor's batch over to the LRU lists.
///
/// A page in such a batch has one reference more than drop_caches expects, so it stays, and with it the names of the
/// last directory that was listed. Linux 6.1 and before do not drain the batches themselves. madvise with MADV_DONTNEED
/// drains those of the processor it runs on (zap_page_range in mm/memory.c), whatever the memory.
struct LruDrain {
    page: NonNull<c_void>,
    processors: Vec<usize>,
}

const PAGE: NonZeroUsize = NonZeroUsize::new(PAGE_BYTES).expect("it is not zero");

impl LruDrain {
    fn new() -> Result<Self> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: new memory, which nobody else knows of.
        let page = unsafe { mmap_anonymous(None, PAGE, protection, MapFlags::MAP_PRIVATE) }
            .machine(|| "cannot map a page".into())?;
        let allowed = sched_getaffinity(Pid::from_raw(0)).machine(|| "cannot tell the processors".into())?;
        let processors = (0..CpuSet::count()).filter(|n| allowed.is_set(*n).unwrap_or(false)).collect();
        Ok(Self { page, processors })
    }

    fn drain(&self) -> Result<()> {
        for processor in &self.processors {
            self.run_on(&[*processor])?;
            // SAFETY: the page is ours and nothing is kept in it.
            unsafe { madvise(self.page, PAGE_BYTES, MmapAdvise::MADV_DONTNEED) }
                .machine(|| "cannot drain LRU batches".into())?;
        }
        self.run_on(&self.processors)
    }

    fn run_on(&self, processors: &[usize]) -> Result<()> {
        let mut set = CpuSet::new();
        processors.iter().try_for_each(|n| set.set(*n)).machine(|| "too many processors".into())?;
        sched_setaffinity(Pid::from_raw(0), &set).machine(|| "cannot choose a processor".into())
    }
}
