//! What is watched of a machine that is left alone: readings beside the READDIR calls that others have its mount send.

use super::mount::Mount;
use crate::error::{Error, Result};
use crate::os::signals;
use crate::probe::counters::Counters;
use crate::probe::{memory, mountstats, slab};
use crate::sample::{Growth, Sample};
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

/// A machine that is watched.
pub struct ReadingLog {
    counters: Counters,
    mount: Mount,
    begin: Instant,
    readings: Vec<Reading>,
    /// Caches that the kernel empties when it wants memory: what they hold is no leak.
    reclaimable: Vec<String>,
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

impl ReadingLog {
    /// Begins with a first reading.
    pub fn begin(mount: Mount) -> Result<Self> {
        let counters = Counters::open()?;
        let mut watched =
            Self { counters, mount, begin: Instant::now(), readings: Vec::new(), reclaimable: Vec::new() };
        watched.read()?;
        let names = watched.readings[0].sample.objects.keys();
        watched.reclaimable = names.filter(|name| slab::is_reclaimable(name)).cloned().collect();
        Ok(watched)
    }

    /// Waits for `interval`, no longer than to `end`, and reads.
    pub fn wait_and_read(&mut self, interval: Duration, end: Option<Instant>) -> Result<()> {
        let next = Instant::now() + interval;
        signals::wait_until(end.map_or(next, |end| next.min(end)))?;
        self.read()
    }

    fn read(&mut self) -> Result<()> {
        let rpcs = mountstats::read(self.mount.path())?;
        if rpcs.is_empty() && !self.readings.is_empty() {
            return Err(Error::machine(format!("the mount on {} is gone", self.mount.point)));
        }
        let field = |name: &str| {
            memory::kib(name).ok_or_else(|| Error::kernel(format!("/proc/meminfo of this kernel has no {name}")))
        };
        self.readings.push(Reading {
            seconds: self.begin.elapsed().as_secs_f64(),
            readdirs: mountstats::readdirs(&rpcs),
            sample: self.counters.read()?,
            unreclaimable_kib: field("SUnreclaim")?,
            available_kib: field("MemAvailable")?,
        });
        thin_out(&mut self.readings);
        Ok(())
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

    /// Returns the bytes of an object, by cache.
    pub fn object_bytes(&self) -> BTreeMap<String, u64> {
        self.counters.slabs().object_bytes()
    }

    /// Returns the other names of each slab cache that the kernel has merged.
    pub fn shared_names(&self) -> BTreeMap<String, Vec<String>> {
        self.counters.slabs().shared_names()
    }

    /// Returns how every counter went that is no cache which the kernel can empty.
    pub fn trends(&self) -> Vec<Trend> {
        let bytes = self.object_bytes();
        let names: Vec<&String> =
            self.last().sample.objects.keys().filter(|name| !self.reclaimable.contains(*name)).collect();
        names.iter().map(|name| self.trend(name, names.len(), bytes.get(*name).copied().unwrap_or(0))).collect()
    }

    fn trend(&self, name: &str, counters: usize, object_bytes: u64) -> Trend {
        let levels: Vec<_> = self.readings.iter().map(|r| (r.seconds, r.objects(name) as f64)).collect();
        Trend {
            name: name.to_owned(),
            grown: self.last().objects(name) - self.readings[0].objects(name),
            object_bytes,
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
    readings.retain(|_| number.next().is_some_and(|n: usize| n.is_multiple_of(2) || n == last));
}

/// Returns how many bytes a counter grows by in a day.
pub fn bytes_per_day(trend: &Trend) -> f64 {
    trend.per_second * DAY_SECONDS * trend.object_bytes as f64
}

pub const DAY_SECONDS: f64 = 86_400.0;

#[cfg(test)]
mod tests {
    use super::*;
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
}
