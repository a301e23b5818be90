//! Bringing the kernel's memory to rest, so that what is left is what is kept.

use super::Sample;
use super::slab::Slabs;
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use std::fs;
use std::time::{Duration, Instant};

/// How far apart the two readings are that must agree.
const APART: Duration = Duration::from_millis(300);
/// How far two readings may differ and still agree, in objects of one cache: the noise of a counter at rest.
const AGREE_OBJECTS: i64 = 2;
/// Rest is not waited for longer than this.
const LONGEST: Duration = Duration::from_secs(5);

/// Brings caches to rest, then reads them.
pub struct Rest {
    slabs: Slabs,
}

/// A reading and how it came about.
pub struct Rested {
    /// The counters.
    pub sample: Sample,
    /// How long it took until two readings agreed; `None` if they never did.
    pub settled: Option<Duration>,
}

impl Rest {
    /// Over these caches.
    pub fn new(slabs: Slabs) -> Self {
        Self { slabs }
    }

    /// The caches.
    pub fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// One reading after dropping caches, without waiting for a second one to agree.
    pub fn glance(&self) -> Result<Sample> {
        self.quiesce()?;
        self.slabs.read()
    }

    /// Readings until two of them, some 0.3 s apart, agree in every counter.
    pub fn settle(&self) -> Result<Rested> {
        let begin = Instant::now();
        let mut last = self.glance()?;
        let mut read = Instant::now();
        loop {
            std::thread::sleep(APART.saturating_sub(read.elapsed()));
            let sample = self.glance()?;
            read = Instant::now();
            if sample.distance(&last) <= AGREE_OBJECTS {
                return Ok(Rested { sample, settled: Some(begin.elapsed()) });
            }
            if begin.elapsed() > LONGEST {
                return Ok(Rested { sample, settled: None });
            }
            last = sample;
        }
    }

    /// Caches dropped, a grace period waited for, per-CPU lists and empty slabs handed back. Twice, because the
    /// callbacks of the first grace period free objects whose own freeing may be deferred to a second one.
    fn quiesce(&self) -> Result<()> {
        for _ in 0..2 {
            drop_caches()?;
            wait_for_grace_period()?;
        }
        self.slabs.shrink();
        Ok(())
    }
}

/// Page cache, dentries and inodes. The shrinker of kfree_rcu runs with them and flushes batches that would
/// otherwise sit for up to 5 s (KFREE_DRAIN_JIFFIES in kernel/rcu/tree.c).
fn drop_caches() -> Result<()> {
    fs::write("/proc/sys/vm/drop_caches", "3").machine(|| "cannot drop caches".into())
}

/// membarrier(MEMBARRIER_CMD_GLOBAL) is synchronize_rcu() (kernel/sched/membarrier.c).
fn wait_for_grace_period() -> Result<()> {
    // SAFETY: membarrier touches no memory of ours.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) };
    Errno::result(result).map_err(|e| Error::machine(format!("cannot wait for an RCU grace period: {e}")))?;
    Ok(())
}
