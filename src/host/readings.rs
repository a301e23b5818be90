//! What is watched of a machine that is left alone: readings beside the READDIR calls that others have its mount send.

use super::mount::Mount;
use crate::error::{Error, Result};
use crate::os::signals;
use crate::probe::allocinfo::AllocInfo;
use crate::probe::counters::{Counters, Precision};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::mountstats::{MountStats, readdirs};
use crate::probe::{memory, slab};
use crate::sample::{Growth, Sample, SourceLine};
use crate::stats::estimate::Estimate;
use crate::stats::kendall::{LEAST_INTERVALS, follow, per_second};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Readings that are kept; when there are more, every other one goes, and intervals become twice as long.
const MOST_READINGS: usize = 128;

/// One reading.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Since the first.
    pub seconds: f64,
    /// READDIR and READDIRPLUS calls of the mount so far.
    pub readdirs: u64,
    pub sample: Sample,
    /// Slab memory that the kernel cannot give back.
    pub unreclaimable_kib: u64,
    pub available_kib: u64,
}

impl Reading {
    /// Returns how many objects the counter of this name had; none if it was not there.
    fn objects(&self, name: &str) -> i64 {
        self.sample.objects.get(name).copied().unwrap_or(0)
    }
}

/// A machine that is watched: reads it, and keeps what was read.
pub struct Watch {
    counters: Counters,
    stats: MountStats,
    begin: Instant,
    /// What each line of the kernel's source had allocated then, where the kernel counts that.
    lines: Option<AllocInfo>,
    log: ReadingLog,
}

/// What was read of a machine that is watched.
pub struct ReadingLog {
    mount: Mount,
    readings: Vec<Reading>,
    /// Caches that the kernel empties when it wants memory: what they hold is no leak.
    reclaimable: Vec<String>,
    /// Bytes of an object, by cache.
    object_bytes: BTreeMap<String, u64>,
    /// The other names of each slab cache that the kernel has merged.
    shared_names: BTreeMap<String, Vec<String>>,
    /// Lines of the kernel's source that have more than at the first reading, most bytes first.
    source_lines: Vec<SourceLine>,
}

/// How a counter went.
#[derive(Clone, Debug)]
pub struct Trend {
    pub name: String,
    /// Growth from the first reading to the last.
    pub grown: i64,
    /// Bytes of one object; 0 if they differ.
    pub object_bytes: u64,
    /// Objects per second.
    pub per_second: f64,
    /// Objects per READDIR call; `None` if nothing can be said yet.
    pub per_readdir: Option<Estimate>,
}

impl Watch {
    /// Begins with a first reading.
    pub fn begin(files: &KernelFiles, mount: Mount) -> Result<Self> {
        let (counters, stats, log) = (Counters::open(files)?, MountStats::open(files)?, ReadingLog::new(mount));
        let lines = AllocInfo::read(files);
        let mut watch = Self { counters, stats, begin: Instant::now(), lines, log };
        watch.read()?;
        let names = watch.log.readings[0].sample.objects.keys();
        watch.log.reclaimable = names.filter(|name| slab::is_reclaimable(files, name)).cloned().collect();
        Ok(watch)
    }

    /// Returns what was read so far.
    pub fn log(&self) -> &ReadingLog {
        &self.log
    }

    /// Takes the place of the first reading by one of now, as long as there is no other.
    pub fn begin_anew(&mut self) -> Result<()> {
        self.log.readings.clear();
        (self.begin, self.lines) = (Instant::now(), AllocInfo::read(self.counters.files()));
        self.read()
    }

    /// Waits for `interval`, no longer than to `end`, and reads.
    pub fn wait_and_read(&mut self, interval: Duration, end: Option<Instant>) -> Result<()> {
        let next = Instant::now() + interval;
        signals::wait_until(end.map_or(next, |end| next.min(end)))?;
        self.read()
    }

    /// Reads.
    pub fn read(&mut self) -> Result<()> {
        let log = &mut self.log;
        let rpcs = self.stats.rpcs(log.mount.path())?;
        if rpcs.is_empty() && !log.readings.is_empty() {
            return Err(Error::machine(format!("the mount on {} is gone", log.mount.point)));
        }
        let field = |name: &str| {
            let kib = memory::kib_of(self.counters.files(), name);
            kib.ok_or_else(|| Error::kernel(format!("/proc/meminfo of this kernel has no {name}")))
        };
        log.add(Reading {
            seconds: self.begin.elapsed().as_secs_f64(),
            readdirs: readdirs(&rpcs),
            sample: self.counters.read(Precision::Exact)?,
            unreclaimable_kib: field("SUnreclaim")?,
            available_kib: field("MemAvailable")?,
        });
        log.object_bytes = self.counters.slabs().object_bytes();
        log.shared_names = self.counters.slabs().shared_names();
        let lines = self.lines.as_ref().and_then(|before| Some(AllocInfo::read(self.counters.files())?.since(before)));
        log.source_lines = lines.unwrap_or_default();
        Ok(())
    }
}

impl ReadingLog {
    fn new(mount: Mount) -> Self {
        Self {
            mount,
            readings: Vec::new(),
            reclaimable: Vec::new(),
            object_bytes: BTreeMap::new(),
            shared_names: BTreeMap::new(),
            source_lines: Vec::new(),
        }
    }

    fn add(&mut self, reading: Reading) {
        self.readings.push(reading);
        thin_out(&mut self.readings);
    }

    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    pub fn last(&self) -> &Reading {
        &self.readings[self.readings.len() - 1]
    }

    /// Returns how many READDIR calls there were since the first reading.
    pub fn readdirs(&self) -> u64 {
        self.last().readdirs.saturating_sub(self.readings[0].readdirs)
    }

    /// Returns the other names of each slab cache that the kernel has merged.
    pub fn shared_names(&self) -> &BTreeMap<String, Vec<String>> {
        &self.shared_names
    }

    /// Returns the lines of the kernel's source that have more than at the first reading, most bytes first; none where it counts none.
    pub fn source_lines(&self) -> &[SourceLine] {
        &self.source_lines
    }

    /// Returns whether what a counter counts is emptied by the kernel when it wants memory.
    pub fn is_reclaimable(&self, name: &str) -> bool {
        self.reclaimable.iter().any(|reclaimable| reclaimable == name)
    }

    /// Returns how every counter went that is no cache which the kernel can empty.
    pub fn trends(&self) -> Vec<Trend> {
        let names: Vec<&String> =
            self.last().sample.objects.keys().filter(|name| !self.reclaimable.contains(*name)).collect();
        names.iter().map(|name| self.trend(name, names.len())).collect()
    }

    fn trend(&self, name: &str, counters: usize) -> Trend {
        let levels: Vec<_> = self.readings.iter().map(|r| (r.seconds, r.objects(name) as f64)).collect();
        Trend {
            name: name.to_owned(),
            grown: self.last().objects(name) - self.readings[0].objects(name),
            object_bytes: self.object_bytes.get(name).copied().unwrap_or(0),
            per_second: per_second(&levels).unwrap_or(0.0),
            per_readdir: follow(&intervals(&self.readings, name), counters),
        }
    }

    /// Returns whether there are readings enough to speak of a pace: the first ones see us begin.
    pub fn is_long_enough(&self) -> bool {
        self.readings.len() > LEAST_INTERVALS
    }

    /// Returns seconds until what is available is used up at the pace of slab memory that cannot be given back; `None` if that
    /// does not grow.
    pub fn seconds_left(&self) -> Option<f64> {
        let levels: Vec<_> = self.readings.iter().map(|r| (r.seconds, r.unreclaimable_kib as f64)).collect();
        let pace = per_second(&levels).filter(|pace| *pace > 0.0)?;
        Some(self.last().available_kib as f64 / pace)
    }

    /// Returns the growth of every counter from the first reading to the last.
    pub fn grown(&self) -> Growth {
        crate::sample::growth(&self.readings[0].sample.objects, &self.last().sample.objects)
    }
}

/// Returns READDIR calls and growth of a counter in each interval, both by the second: an interval that was made of several has more of
/// both, whatever the one has to do with the other.
fn intervals(readings: &[Reading], name: &str) -> Vec<(f64, f64)> {
    let between = |pair: &[Reading]| {
        let seconds = pair[1].seconds - pair[0].seconds;
        let calls = pair[1].readdirs.saturating_sub(pair[0].readdirs) as f64;
        (seconds > 0.0).then(|| (calls / seconds, (pair[1].objects(name) - pair[0].objects(name)) as f64 / seconds))
    };
    readings.windows(2).filter_map(between).collect()
}

/// Leaves out every other reading but the first and the last.
fn thin_out(readings: &mut Vec<Reading>) {
    if readings.len() <= MOST_READINGS {
        return;
    }
    let last = readings.len() - 1;
    let mut number = 0..;
    readings.retain(|_| number.next().is_some_and(|n: usize| n % 2 == 0 || n == last));
}

/// Returns how many bytes a counter grows by in a day.
pub fn bytes_per_day(trend: &Trend) -> f64 {
    trend.per_second * DAY_SECONDS * trend.object_bytes as f64
}

pub const DAY_SECONDS: f64 = 86_400.0;

/// Returns "40 s", "3.5 hours", "12 days".
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 2.0 * DAY_SECONDS => format!("{:.1} hours", s / 3600.0),
        s => format!("{:.0} days", s / DAY_SECONDS),
    }
}

#[cfg(test)]
impl ReadingLog {
    /// Makes the log of a machine on which others made some 20 calls in each of so many intervals of ten seconds, with each of which a size
    /// class grew by so many objects; a cache that can be emptied grew beside it, and slab memory by a KiB a second.
    pub fn made_up(intervals: u64, per_call: i64) -> Self {
        let mount = Mount { point: "/mnt".into(), source: "server:/export".into(), options: "rw,vers=4.2".into() };
        let mut log = Self::new(mount);
        let mut readdirs = 500;
        for number in 0..=intervals {
            let objects = [("kmalloc-256", per_call * readdirs as i64), ("filp", 900), ("dentry", 40 * number as i64)];
            log.add(Reading {
                seconds: 10.0 * number as f64,
                readdirs,
                sample: Sample { objects: objects.map(|(name, n)| (name.to_owned(), n)).into() },
                unreclaimable_kib: 50_000 + 10 * per_call as u64 * number,
                available_kib: 36_000 * per_call as u64,
            });
            readdirs += 10 + 7 * number % 21;
        }
        log.reclaimable = vec!["dentry".into()];
        log.object_bytes = [("kmalloc-256".to_owned(), 256)].into();
        log.shared_names = [("kmalloc-256".to_owned(), vec!["nfs_direct_cache".to_owned()])].into();
        log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    /// Makes a machine that is watched for so many readings, ten seconds apart: others make about 20 calls in each
    /// interval, and a counter grows by `drift` in each and by `per_call` with each call.
    fn watched(readings: u64, drift: f64, per_call: f64, seed: u64) -> Vec<Reading> {
        let mut lot = ChaCha8Rng::seed_from_u64(seed);
        let (mut kept, mut readdirs, mut level) = (Vec::new(), 0, 0.0_f64);
        for number in 0..=readings {
            kept.push(Reading {
                seconds: 10.0 * number as f64,
                readdirs,
                sample: Sample { objects: [("it".to_owned(), level.round() as i64)].into() },
                unreclaimable_kib: 0,
                available_kib: 0,
            });
            thin_out(&mut kept);
            let calls = lot.random_range(10..=30);
            readdirs += calls;
            level += drift + per_call * calls as f64 + lot.random_range(-2.0..2.0);
        }
        kept
    }

    #[test]
    fn growth_with_time_alone_does_not_follow_the_calls_however_long_it_is_watched() {
        for readings in [60, 120, 160, 200, 300, 600, 2000] {
            for seed in 0..40 {
                let fit = follow(&intervals(&watched(readings, 5.0, 0.0, seed), "it"), 125).unwrap();
                assert!(fit.low <= 0.0, "{readings} readings, seed {seed}: {fit:?}");
            }
        }
    }

    #[test]
    fn growth_with_the_calls_follows_them_however_long_it_is_watched() {
        for readings in [60, 200, 600] {
            let fits = (0..20).map(|seed| follow(&intervals(&watched(readings, 5.0, 2.0, seed), "it"), 125).unwrap());
            let right = fits.filter(|fit| fit.low > 0.0 && (fit.low..=fit.high).contains(&2.0)).count();
            assert!(right >= 19, "{readings} readings: {right} of 20");
        }
    }

    #[test]
    fn readings_of_days_take_no_more_room_and_keep_both_ends() {
        let mut readings = Vec::new();
        for second in 0..100_000 {
            let seconds = f64::from(second);
            readings.push(Reading {
                seconds,
                readdirs: 0,
                sample: Sample::default(),
                unreclaimable_kib: 0,
                available_kib: 0,
            });
            thin_out(&mut readings);
            assert!(readings.len() <= MOST_READINGS);
            assert_eq!((readings[0].seconds, readings.last().unwrap().seconds), (0.0, seconds));
        }
        assert!(readings.len() >= MOST_READINGS / 2);
        assert!(readings.is_sorted_by(|a, b| a.seconds < b.seconds));
    }

    #[test]
    fn trends_are_of_what_the_kernel_cannot_empty() {
        let log = ReadingLog::made_up(20, 2);
        // 20 intervals of 10, 17, 24, 10, ... calls.
        assert_eq!((log.readdirs(), log.last().readdirs, log.readings().len()), (333, 833, 21));
        let trends = log.trends();
        let told: Vec<_> = trends.iter().map(|t| (t.name.as_str(), t.grown, t.object_bytes)).collect();
        assert_eq!(told, [("filp", 0, 0), ("kmalloc-256", 666, 256)]);
        assert_eq!(trends[0].per_second, 0.0);
        assert!((trends[1].per_second - 3.4).abs() < 0.1, "{trends:?}");
        let fit = trends[1].per_readdir.unwrap();
        assert_eq!((fit.low, fit.estimate, fit.high), (2.0, 2.0, 2.0));
        assert_eq!(log.grown()["kmalloc-256"], 666);
        assert_eq!(log.shared_names()["kmalloc-256"], ["nfs_direct_cache"]);
    }

    #[test]
    fn time_is_told_in_the_unit_that_suits_it() {
        assert_eq!([40.0, 600.0, 12_600.0, 1_036_800.0].map(time), ["40 s", "10 min", "3.5 hours", "12 days"]);
    }

    #[test]
    fn time_of_two_of_a_unit_is_told_in_that_unit() {
        let times = [119.0, 120.0, 7199.0, 7200.0, 100_000.0, 172_800.0];
        assert_eq!(times.map(time), ["119 s", "2 min", "120 min", "2.0 hours", "27.8 hours", "2 days"]);
    }

    #[test]
    fn lines_of_source_that_grew_are_told_where_the_kernel_counts_them() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        let mut watch = Watch::begin(&made.files, mount(dir.path())).unwrap();
        watch.read().unwrap();
        assert!(watch.log().source_lines().is_empty(), "there is no such file");
        let counts =
            |bytes: u64| format!("allocinfo - version: 1.0\n{bytes} {} fs/nfs/dir.c:83 func:nfs_opendir\n", bytes / 64);
        made.write("/proc/allocinfo", counts(640));
        watch.begin_anew().unwrap();
        made.write("/proc/allocinfo", counts(6400));
        watch.read().unwrap();
        let told: Vec<_> = watch.log().source_lines().iter().map(|line| (line.line, line.bytes, line.calls)).collect();
        assert_eq!((told, watch.log().readings().len()), (vec![(83, 5760, 90)], 2));
    }

    #[test]
    fn pace_is_told_from_the_thirteenth_reading_on() {
        let is_long_enough = |intervals| ReadingLog::made_up(intervals, 2).is_long_enough();
        let least = LEAST_INTERVALS as u64;
        assert!(!is_long_enough(least - 1) && is_long_enough(least) && is_long_enough(least + 1));
    }

    #[test]
    fn memory_is_gone_when_what_is_available_has_grown_at_the_pace() {
        assert!((ReadingLog::made_up(20, 2).seconds_left().unwrap() - 36_000.0).abs() < 1e-6);
        assert_eq!(ReadingLog::made_up(20, 0).seconds_left(), None, "nothing grows");
    }

    #[test]
    fn bytes_per_day_are_those_of_the_objects() {
        let trend = Trend { name: "it".into(), grown: 1, object_bytes: 8, per_second: 0.5, per_readdir: None };
        assert_eq!(bytes_per_day(&trend), 345_600.0);
    }

    #[test]
    fn interval_of_no_time_is_none_and_the_last_reading_stays() {
        let mut readings = ReadingLog::made_up(3, 2).readings;
        readings[1].seconds = 0.0;
        assert_eq!(intervals(&readings, "kmalloc-256").len(), 2);
        let mut many: Vec<Reading> = (0..65).flat_map(|_| readings[..2].to_vec()).collect();
        let last = many.len() - 1;
        many[last].seconds = 7.0;
        thin_out(&mut many);
        assert_eq!((many.len(), many.last().unwrap().seconds), (66, 7.0));
    }

    fn mount(dir: &std::path::Path) -> Mount {
        super::super::mount::Mounted::made_up(dir).mount
    }

    #[test]
    fn machine_that_is_watched_is_read_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        made.write("/sys/kernel/slab/dentry/reclaim_account", "1\n");
        let mut watch = Watch::begin(&made.files, mount(dir.path())).unwrap();
        made.has_sent(dir.path(), 27);
        made.objects_of("filp").set(940);
        let wait = Duration::from_millis(30);
        let begin = Instant::now();
        watch.wait_and_read(wait, None).unwrap();
        assert!(begin.elapsed() >= wait, "{:?}", begin.elapsed());
        let log = watch.log();
        assert_eq!((log.readings().len(), log.readdirs(), log.grown()["filp"]), (2, 20, 40));
        assert_eq!((log.last().unreclaimable_kib, log.last().available_kib), (1200, 9000));
        assert!(log.last().seconds >= 0.03 && log.object_bytes["filp"] == 32);
        let names: Vec<_> = log.trends().into_iter().map(|trend| trend.name).collect();
        assert_eq!(names, ["filp", "kmalloc-256", "pages", "percpu", "vmalloc"], "dentries can be given back");
        // The end comes before an hour is over.
        watch.wait_and_read(Duration::from_secs(3600), Some(Instant::now())).unwrap();
        assert_eq!(watch.log().readings().len(), 3);
    }

    #[test]
    fn mount_that_goes_while_it_is_watched_is_told_and_one_that_is_idle_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 0);
        let mut watch = Watch::begin(&made.files, mount(dir.path())).unwrap();
        made.has_sent(dir.path(), 1);
        let at_once = Duration::ZERO;
        watch.wait_and_read(at_once, None).unwrap();
        made.write("/proc/self/mountstats", "device tmpfs mounted on /tmp with fstype tmpfs\n");
        let error = watch.wait_and_read(at_once, None).unwrap_err().to_string();
        assert!(error.starts_with("the mount on ") && error.ends_with(" is gone"), "{error}");
        made.has_sent(dir.path(), 1);
        made.write("/proc/meminfo", "MemTotal: 12000 kB\n");
        let error = watch.wait_and_read(at_once, None).unwrap_err().to_string();
        assert!(error.contains("/proc/meminfo of this kernel has no "), "{error}");
    }
}
