//! Bringing the kernel's memory to rest, so that what is left is what is kept.

use super::counters::{Counters, Precision};
use super::kernel_files::KernelFiles;
use super::processors::{self, ProcessorDrain, Renamed};
use super::slab;
use crate::error::{Context, Error, Result};
use crate::sample::Sample;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
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
/// Time in which a grace period ends where several processors are idle or have just been visited and the kernel does not tell: it is begun
/// and looked after by a thread of the kernel that looks some ticks apart (jiffies_till_first_fqs and jiffies_till_next_fqs in
/// kernel/rcu/tree.c: 3 ticks each at HZ=1000, 1 at HZ=100), and what was called for in it is done a tick later.
const IDLE_APART: Duration = Duration::from_millis(100);
/// Kept open: closing a file leaves an object behind until the next grace period.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// What knfsd knows of the groups of users, an entry for each that is kept for two minutes or half an hour (unix_gid_cache in
/// net/sunrpc/svcauth_unix.c): where rounds take as long, one comes and goes with the doses. Writing here forgets them all (write_flush in
/// net/sunrpc/cache.c). Seen on Linux 5.10.
const GROUPS_OF_USERS: &str = "/proc/net/rpc/auth.unix.gid";
const FLUSH: &str = "flush";

/// Passes before one reading of a machine that does other things, too: the second frees what the first has let go of.
const LIGHT_PASSES: u32 = 2;

/// How hard a machine is brought to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuiesceMode {
    /// Until nothing moves any more: it does nothing else.
    Full,
    /// By the few drops that a reading needs: it does other things, so that no two readings agree, and every drop costs them time.
    Light,
    /// Without dropping anything that somebody may want again. What then stays in caches that the kernel empties when it wants memory is
    /// left out of the readings: the inodes and dentries of names that were listed are there, and those of all others.
    Gentle,
}

/// Brings caches to rest, then reads them.
pub struct Quiescer {
    manner: QuiesceMode,
    counters: Counters,
    processors: ProcessorDrain,
    grace: GracePeriod,
    /// `None` where nothing is dropped.
    drop_caches: Option<File>,
    /// Caches that are not read.
    left_out: BTreeSet<String>,
    /// `None` where a live server may need them, or without SunRPC.
    groups_of_users: Option<GroupsOfUsers>,
    patience: Cell<Duration>,
    /// Whether somebody traces who allocates what, and would see what is made here.
    is_traced: Cell<bool>,
    /// How exact the readings are.
    precision: Cell<Precision>,
    /// What is renamed where nothing is dropped.
    renamed: Option<Renamed>,
    /// Whether what is dirty is written back before anything is dropped.
    writes_back: bool,
}

/// A reading and how it came about.
pub struct SettledSample {
    /// The counters.
    pub sample: Sample,
    /// How long it took until two readings agreed; `None` if they never did.
    pub settled: Option<Duration>,
}

impl Quiescer {
    /// Makes a reader of these counters.
    pub fn new(counters: Counters, manner: QuiesceMode) -> Result<Self> {
        let files = counters.files();
        let (drop_caches, left_out) = match manner {
            QuiesceMode::Full | QuiesceMode::Light => (Some(open_drop_caches(files)?), BTreeSet::new()),
            QuiesceMode::Gentle => (None, reclaimable(&counters)?),
        };
        let working = processors::online(files);
        let processors = ProcessorDrain::new()?;
        let grace = GracePeriod::detect(working.unwrap_or(processors.processors().len()));
        let groups_of_users = match manner {
            QuiesceMode::Full => GroupsOfUsers::open(files),
            QuiesceMode::Light | QuiesceMode::Gentle => None,
        };
        let patience = Cell::new(LONGEST);
        Ok(Self {
            manner,
            counters,
            processors,
            grace,
            drop_caches,
            left_out,
            groups_of_users,
            patience,
            is_traced: Cell::new(false),
            precision: Cell::new(Precision::Exact),
            renamed: None,
            writes_back: false,
        })
    }

    /// Returns the counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Gives it a directory of ours, in memory, with a file of its own, which is renamed before readings where nothing is dropped.
    pub fn renaming_in(self, dir: &Path) -> Result<Self> {
        Ok(Self { renamed: Some(Renamed::make(dir)?), ..self })
    }

    /// Has it write back all that is dirty on this machine before it drops anything.
    pub fn writing_back(self) -> Self {
        Self { writes_back: true, ..self }
    }

    /// Hears whether who allocates what is being traced.
    pub fn set_traced(&self, is_traced: bool) {
        self.is_traced.set(is_traced);
    }

    /// Hears how exact the next readings must be.
    pub fn set_precision(&self, precision: Precision) {
        self.precision.set(precision);
    }

    /// Returns, in words, what is not read although the kernel counts it; `None` if nothing.
    pub fn not_read(&self) -> Option<String> {
        let known = KNOWN.iter().filter(|name| self.left_out.contains(**name)).copied().collect::<Vec<_>>().join(", ");
        let all = self.left_out.len();
        (all > 0).then(|| {
            format!(
                "{all} caches that the kernel empties when it wants memory ({known} ...), which --drop-caches looks at"
            )
        })
    }

    /// Returns the number of processors that this machine lets us use.
    pub fn processors(&self) -> usize {
        self.processors.processors().len()
    }

    /// Makes one reading after dropping caches, without waiting for a second one to agree.
    pub fn read_once(&self) -> Result<Sample> {
        match self.manner {
            QuiesceMode::Gentle => self.quiesce_gently()?,
            QuiesceMode::Full | QuiesceMode::Light => drop(self.quiesce()?),
        }
        self.processors.drain()?;
        let mut sample = self.processors.stay_on_one(|| self.counters.read_shrunk(self.precision.get()))?;
        sample.objects.retain(|name, _| !self.left_out.contains(name));
        Ok(sample)
    }

    /// Waits for what is freed after a grace period and for what a worker frees then, as socket filters are, and reads once in
    /// vain: a reading takes an area of vmalloc for a moment (percpu_stats_show), and the first after areas were freed finds
    /// another place for it, which the next would take for growth.
    pub fn wait_for_frees(&self) -> Result<()> {
        self.wait_for_grace_period()?;
        std::thread::sleep(IDLE);
        self.counters.read(Precision::Rough).map(drop)
    }

    /// Makes readings until two of them, some 0.3 s apart, agree in every counter; one reading where that is not to be
    /// had.
    pub fn read_settled(&self) -> Result<SettledSample> {
        let begin = Instant::now();
        let mut last = self.read_once()?;
        let took = begin.elapsed();
        if self.manner != QuiesceMode::Full {
            return Ok(SettledSample { sample: last, settled: Some(took) });
        }
        let mut read = Instant::now();
        for reading in 2.. {
            // The dropping before the next reading belongs to the time between the two.
            std::thread::sleep(APART.saturating_sub(took + read.elapsed()));
            let sample = self.read_once()?;
            read = Instant::now();
            if agree(reading, sample.distance(&last)) {
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

    /// Drops caches and waits for a grace period, until that frees nothing more; returns how often that was.
    fn quiesce(&self) -> Result<u32> {
        // What was written is dropped only when it is clean, with its inode, which is otherwise up to half a minute later (drop_caches and
        // dirty_expire_centisecs in Documentation/admin-guide/sysctl/vm.rst). A live server's writes are not ours to hurry.
        if self.writes_back {
            nix::unistd::sync();
        }
        if let Some(groups) = &self.groups_of_users {
            groups.forget();
        }
        let mut left = None;
        let most = if self.manner == QuiesceMode::Light { LIGHT_PASSES } else { MOST_PASSES };
        for pass in 1..=most {
            self.processors.drain()?;
            for _ in 0..DROPS {
                self.drop_caches()?;
            }
            self.empty_sheaves();
            self.wait_for_grace_period()?;
            let objects: i64 = self.counters.slabs().read()?.objects.values().sum();
            if left == Some(objects) {
                return Ok(pass);
            }
            left = Some(objects);
        }
        Ok(most)
    }

    /// Waits for what was freed already: two grace periods, as what the first frees may free something else after the second.
    fn quiesce_gently(&self) -> Result<()> {
        // What is freed from such lists is freed where no tracepoint is, so a trace would show what fills them as what stays.
        if let (false, Some(renamed)) = (self.is_traced.get(), &self.renamed) {
            self.processors.fill_lists_of_freed(renamed)?;
            std::thread::sleep(IDLE);
        }
        for _ in 0..LIGHT_PASSES {
            self.processors.drain()?;
            self.empty_sheaves();
            self.wait_for_grace_period()?;
        }
        // A worker frees what a grace period has released.
        std::thread::sleep(IDLE);
        Ok(())
    }

    /// Has each processor ask for the grace period that the objects in its sheaf of kfree_rcu() wait for: it does so by itself when the sheaf is
    /// full, be that after a minute, and for none of the shrinkers, but for a cache that is asked to shrink (rcu_free in pcs_flush_all(),
    /// mm/slub.c; the same in 6.18, 7.2 and 7.3).
    fn empty_sheaves(&self) {
        let slabs = self.counters.slabs();
        if slabs.has_sheaves() {
            slabs.shrink();
        }
    }

    /// Drops page cache, dentries and inodes. The shrinker of kfree_rcu runs with them and flushes batches that would
    /// otherwise sit for up to 5 s (KFREE_DRAIN_JIFFIES in kernel/rcu/tree.c). Written at offset 0: elsewhere the number is
    /// passed over (sysctl_writes_strict), and what anybody wrote last is done again.
    fn drop_caches(&self) -> Result<()> {
        let dropped = self.drop_caches.as_ref().map_or(Ok(()), |file| file.write_all_at(b"3", 0));
        dropped.machine(|| format!("cannot write {DROP_CACHES}"))
    }

    fn wait_for_grace_period(&self) -> Result<()> {
        match self.grace {
            GracePeriod::Told => {
                let what = |e| Error::machine(format!("cannot wait for an RCU grace period: {e}"));
                membarrier(libc::MEMBARRIER_CMD_GLOBAL).map(drop).map_err(what)
            }
            GracePeriod::Idle => {
                std::thread::sleep(IDLE);
                Ok(())
            }
            GracePeriod::Visited => {
                self.processors.drain()?;
                std::thread::sleep(IDLE_APART);
                Ok(())
            }
        }
    }
}

fn open_drop_caches(files: &KernelFiles) -> Result<File> {
    files.open_to_write(DROP_CACHES).machine(|| format!("cannot open {DROP_CACHES}"))
}

/// Those of the caches that may be emptied which everybody knows, where it is told what is not read.
const KNOWN: [&str; 3] = ["dentry", "nfs_inode_cache", "radix_tree_node"];

/// Returns the names of the caches that the kernel empties when it wants memory.
fn reclaimable(counters: &Counters) -> Result<BTreeSet<String>> {
    let caches = counters.slabs().read()?.objects;
    Ok(caches.into_keys().filter(|name| slab::is_reclaimable(counters.files(), name)).collect())
}

/// Returns whether a reading and the one before agree, given how far apart they are: the first few must to the object.
fn agree(reading: u32, objects: i64) -> bool {
    objects <= if reading <= EXACT_READINGS { 0 } else { AGREE_OBJECTS }
}

/// What knfsd knows of groups of users. Directory and file are kept open, so that opening the file anew takes no dentry: by its path it took those of
/// the links `/proc/self` and `/proc/net` each time, which one reading had and the next had not, so that none agreed with the one before.
struct GroupsOfUsers {
    dir: File,
    _flush: File,
}

impl GroupsOfUsers {
    fn open(files: &KernelFiles) -> Option<Self> {
        let dir = files.open(GROUPS_OF_USERS).ok()?;
        Some(Self { _flush: open_flush(&dir)?, dir })
    }

    /// Has it forget them all. One that is open can be written once (nonseekable_open), and what is written is passed over.
    fn forget(&self) {
        if let Some(mut flush) = open_flush(&self.dir) {
            let _ = flush.write_all(b"1");
        }
    }
}

fn open_flush(dir: &File) -> Option<File> {
    openat(dir, FLUSH, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).ok().map(File::from)
}

/// How the end of an RCU grace period is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GracePeriod {
    /// The kernel tells it: membarrier(MEMBARRIER_CMD_GLOBAL) is synchronize_rcu().
    Told,
    /// On a single processor membarrier does nothing; there, a grace period ends while it is idle for some ticks.
    Idle,
    /// With `nohz_full=` the kernel refuses (kernel/sched/membarrier.c). We run on each processor, which is what it waits for of
    /// one that is not idle, and then give it some ticks. Processors that run programs without a tick are thought idle by RCU.
    Visited,
}

impl GracePeriod {
    /// Asks this kernel, which has so many processors, whether we may use them or not.
    fn detect(processors: usize) -> Self {
        // With nohz_full= the kernel leaves the command out of those that it says it has.
        Self::from_commands(processors, membarrier(libc::MEMBARRIER_CMD_QUERY).unwrap_or(0))
    }

    fn from_commands(processors: usize, commands: libc::c_long) -> Self {
        match () {
            () if processors == 1 => Self::Idle,
            () if commands & libc::c_long::from(libc::MEMBARRIER_CMD_GLOBAL) != 0 => Self::Told,
            () => Self::Visited,
        }
    }
}

fn membarrier(command: libc::c_int) -> nix::Result<libc::c_long> {
    // SAFETY: membarrier touches no memory of ours.
    Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn grace_period_is_told_unless_the_kernel_says_that_it_does_not() {
        let private = libc::c_long::from(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
        let all = private | libc::c_long::from(libc::MEMBARRIER_CMD_GLOBAL);
        assert_eq!(GracePeriod::from_commands(2, all), GracePeriod::Told);
        assert_eq!(GracePeriod::from_commands(2, private), GracePeriod::Visited, "as with nohz_full=");
        assert_eq!(GracePeriod::from_commands(1, all), GracePeriod::Idle);
    }

    /// Makes a quiescer of a machine that is made.
    fn quiescer(made: &MadeFiles, manner: QuiesceMode) -> Quiescer {
        Quiescer::new(Counters::open(&made.files).unwrap(), manner).unwrap()
    }

    /// Sets what it holds when it is dropped.
    struct Ends<'a>(&'a AtomicBool);

    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Does `work` while the number of open files changes all the time, for no longer than `most`.
    fn in_unrest<T>(made: &MadeFiles, most: Duration, work: impl FnOnce() -> T) -> T {
        let (objects, is_done, begin) = (made.objects_of("filp"), AtomicBool::new(false), Instant::now());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0.. {
                    objects.set(1000 + 10 * (n % 100_000));
                    if is_done.load(Ordering::Relaxed) || begin.elapsed() > most {
                        break;
                    }
                }
            });
            // Whatever comes of the work, the unrest ends with it.
            let _ends = Ends(&is_done);
            work()
        })
    }

    const TRIES: u32 = 40;
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn machine_at_rest_is_read_after_its_caches_were_dropped() {
        let made = MadeFiles::machine();
        made.write(&format!("{GROUPS_OF_USERS}/{FLUSH}"), "");
        let rest = quiescer(&made, QuiesceMode::Full);
        assert_eq!(rest.quiesce().unwrap(), 2, "the second pass freed nothing");
        let here = std::thread::available_parallelism().unwrap().get();
        assert_eq!(rest.processors(), here);
        assert_eq!(rest.read_once().unwrap(), rest.counters().read(Precision::Exact).unwrap());
        assert_eq!(
            (made.text(DROP_CACHES), made.text(&format!("{GROUPS_OF_USERS}/{FLUSH}"))),
            ("3".into(), "1".into())
        );
        let settled = rest.read_settled().unwrap();
        assert_eq!(settled.sample.objects["filp"], 900);
        assert!(settled.settled.unwrap() >= APART, "two readings are some time apart");
    }

    #[test]
    fn machine_that_does_other_things_is_disturbed_little() {
        let made = MadeFiles::machine();
        made.write(&format!("{GROUPS_OF_USERS}/{FLUSH}"), "");
        let light = quiescer(&made, QuiesceMode::Light);
        in_unrest(&made, HOUR, || {
            assert_eq!(light.quiesce().unwrap(), LIGHT_PASSES);
            assert!(light.read_settled().unwrap().settled.is_some(), "one reading is enough");
        });
        assert_eq!(made.text(&format!("{GROUPS_OF_USERS}/{FLUSH}")), "", "a live server may need them");
    }

    #[test]
    fn machine_that_never_rests_is_told_and_waited_for_more_shortly_then() {
        let made = MadeFiles::machine();
        let full = quiescer(&made, QuiesceMode::Full);
        full.patience.set(Duration::from_millis(1));
        // On a busy machine the one who disturbs may have no processor between two readings, which is rest.
        let in_one_of_many = |is_seen: &dyn Fn() -> bool| (0..TRIES).any(|_| is_seen());
        in_unrest(&made, HOUR, || {
            assert!(in_one_of_many(&|| full.quiesce().unwrap() == MOST_PASSES));
            assert!(in_one_of_many(&|| full.read_settled().unwrap().settled.is_none()));
        });
        assert_eq!(full.patience.get(), ONCE_MISSED);
    }

    #[test]
    fn machine_that_comes_to_rest_in_time_is_waited_for() {
        let made = MadeFiles::machine();
        let full = quiescer(&made, QuiesceMode::Full);
        full.patience.set(HOUR);
        let settled = in_unrest(&made, 3 * APART, || full.read_settled().unwrap().settled.unwrap());
        assert!(settled >= 3 * APART, "{settled:?}");
    }

    #[test]
    fn readings_agree_to_the_object_at_first_and_nearly_later() {
        let nearest = |reading| (0..10).take_while(|objects| agree(reading, *objects)).last();
        assert_eq!(
            [2, EXACT_READINGS, EXACT_READINGS + 1, 50].map(nearest),
            [Some(0), Some(0), Some(AGREE_OBJECTS), Some(AGREE_OBJECTS)]
        );
    }

    #[test]
    fn frees_are_waited_for_and_one_reading_is_made_in_vain() {
        let made = MadeFiles::machine();
        let mut rest = quiescer(&made, QuiesceMode::Full);
        for (grace, least) in [(GracePeriod::Idle, 2 * IDLE), (GracePeriod::Visited, IDLE_APART + IDLE)] {
            rest.grace = grace;
            let begin = Instant::now();
            rest.wait_for_frees().unwrap();
            assert!(begin.elapsed() >= least, "{grace:?}: {:?}", begin.elapsed());
        }
        made.write("/sys/kernel/slab/filp/objects", "many\n");
        assert!(rest.wait_for_frees().is_err());
    }

    #[test]
    fn kernel_says_which_commands_of_membarrier_it_has() {
        assert!(membarrier(libc::MEMBARRIER_CMD_QUERY).unwrap() > 0, "all have since Linux 4.3");
    }
}
