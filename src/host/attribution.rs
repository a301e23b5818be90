//! Whose objects stay while a machine is watched: call sites of NFS, by a trace that goes on all the while.
//!
//! A trace alone accuses nobody: what is freed in bulk is freed unseen. So a site is told only if its objects stay from every part of the
//! time, and if its cache has grown by at least half as much as all such sites of it would have it.

use super::journal::Journal;
use super::readings::{DAY_SECONDS, ReadingLog, time};
use crate::error::Result;
use crate::os::progress::Ui;
use crate::probe::ftrace::{LongTrace, Survived};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::slab::Slabs;
use crate::sample::Sample;
use crate::text::number;
use crate::text::plural::counted;
use nix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How often the trace is read.
pub const SLICE: Duration = Duration::from_secs(1);
/// Sites that are told.
const MOST_TOLD: usize = 20;
/// Objects of all sites of a cache that stay may be as many times as many as it has grown by.
const MOST_TIMES_GROWTH: i64 = 2;
const HOUR_SECONDS: f64 = 3600.0;

/// A trace of a machine that is watched.
pub struct Attribution {
    // Dropped before its buffer is removed.
    trace: LongTrace,
    _journal: Journal,
    slabs: Slabs,
    /// The objects of each cache when all frees began to be seen, and when that was.
    before: (Sample, u64),
    age_seconds: f64,
    begin: Instant,
    /// What it has taken of a processor here.
    taken: Duration,
}

/// What can be said of it at some moment.
#[derive(Clone, Debug, Default)]
pub struct Attributed {
    /// Sites whose objects stay, most bytes first.
    pub stay: Vec<Survived>,
    /// Those that seem so, though their caches did not grow by as much.
    pub unsure: Vec<Survived>,
    /// Objects are told when they are older.
    pub age_seconds: f64,
    /// For how long all frees were seen.
    pub traced_seconds: f64,
    pub one_in: u64,
    pub lost_events: u64,
    pub events_per_second: f64,
    pub processor_seconds: f64,
    /// What it has taken of one processor here.
    pub processor_share: f64,
}

impl Attribution {
    /// Begins; where that cannot be, gives a sentence that says why.
    pub fn begin(files: &KernelFiles, age_seconds: f64) -> std::result::Result<Self, String> {
        let cannot = |why: String| format!("no call site is told, watching goes on without: {why}");
        let journal = Journal::begin_long(files, &Ui::new()).map_err(cannot)?;
        let slabs = Slabs::open(files).map_err(|e| cannot(e.to_string()))?;
        let trace = LongTrace::begin(&journal.buffer(), &slabs.layouts()).map_err(cannot)?;
        let (before, begin, taken) = ((Sample::default(), 0), Instant::now(), Duration::ZERO);
        Ok(Self { trace, _journal: journal, slabs, before, age_seconds, begin, taken })
    }

    /// Reads what was traced.
    pub fn read(&mut self) -> Result<()> {
        let before = processor_time();
        self.trace.read()?;
        self.taken += processor_time().saturating_sub(before);
        if self.before.1 != self.trace.since_ns() {
            self.before = (self.slabs.read_shrunk()?, self.trace.since_ns());
        }
        Ok(())
    }

    /// Says what can be said by now. Caches whose objects seem to stay are counted exactly, as what lies free in the lists of processors is
    /// handed back first.
    pub fn attributed(&self, log: &ReadingLog) -> Result<Attributed> {
        let is_steady =
            |one: &Survived| one.is_steady() && !one.site.counter.as_ref().is_some_and(|name| log.is_reclaimable(name));
        let steady: Vec<_> = self.trace.older_than(self.age_seconds).into_iter().filter(is_steady).collect();
        let now =
            self.slabs.read_shrunk_of(|name| steady.iter().any(|one| one.site.counter.as_deref() == Some(name)))?;
        let (stay, unsure) = judge(steady, |name| Some(now.objects.get(name)? - self.before.0.objects.get(name)?));
        let ([events, lost_events], seconds) = (self.trace.events(), self.begin.elapsed().as_secs_f64());
        Ok(Attributed {
            stay,
            unsure,
            age_seconds: self.age_seconds,
            traced_seconds: self.trace.seconds(),
            one_in: self.trace.one_in(),
            lost_events,
            events_per_second: events as f64 / seconds,
            processor_seconds: self.taken.as_secs_f64(),
            processor_share: self.taken.as_secs_f64() / seconds,
        })
    }
}

/// Divides sites whose objects seem to stay into those whose caches have grown by as much, and the others.
fn judge(steady: Vec<Survived>, grown: impl Fn(&str) -> Option<i64>) -> (Vec<Survived>, Vec<Survived>) {
    let mut of_counter: BTreeMap<String, i64> = BTreeMap::new();
    for one in &steady {
        *of_counter.entry(one.site.counter.clone().unwrap_or_default()).or_default() += one.objects as i64;
    }
    let is_borne_out = |one: &Survived| {
        let Some(counter) = &one.site.counter else { return false };
        grown(counter).is_some_and(|grown| grown.saturating_mul(MOST_TIMES_GROWTH) >= of_counter[counter])
    };
    let (mut stay, mut unsure): (Vec<_>, Vec<_>) = steady.into_iter().partition(is_borne_out);
    stay.truncate(MOST_TOLD);
    unsure.truncate(MOST_TOLD);
    (stay, unsure)
}

impl Attributed {
    /// Returns what a line of a monitor says of it: each site, the largest first, with a semicolon before it.
    pub fn in_line(&self, most: usize) -> String {
        self.stay.iter().take(most).map(|one| format!("; {} a day", self.site(one, DAY_SECONDS))).collect()
    }

    /// Returns "`function` keeps `objects` (`bytes`), the oldest for `time`: `bytes`" of so many seconds.
    fn site(&self, one: &Survived, seconds: f64) -> String {
        let (function, about) = (&one.site.function, if self.one_in > 1 { "about " } else { "" });
        let objects = objects(one, one.objects);
        let (bytes, oldest) = (number::bytes(one.bytes() as f64), time(one.oldest_seconds));
        let pace = number::bytes(one.per_second * seconds * one.site.slot_bytes as f64);
        format!("{function} keeps {about}{objects} ({bytes}), the oldest for {oldest}: {pace}")
    }

    /// Returns what is said at the end.
    pub fn summary(&self) -> Vec<String> {
        let (age, traced) = (time(self.age_seconds), time(self.traced_seconds));
        let sample = if self.one_in > 1 { format!("one in {} addresses", self.one_in) } else { "all addresses".into() };
        let lost = match self.lost_events {
            0 => "no event was lost".to_owned(),
            n => format!(
                "{} lost, and since the last of them it was begun anew",
                counted(n as usize, "event was", "events were")
            ),
        };
        let how = format!("traced for {traced} at {sample}; {lost}");
        let head = match () {
            () if self.traced_seconds < 2.0 * self.age_seconds => {
                format!("whose objects stay cannot be told yet, which takes twice {age} ({how})")
            }
            () if self.stay.is_empty() => {
                format!("no call site of NFS keeps objects that are older than {age} ({how})")
            }
            () => format!("call sites of NFS that keep objects older than {age} ({how}):"),
        };
        let by_time = |one: &Survived| {
            let hour = objects(one, (one.per_second * HOUR_SECONDS) as u64);
            let day = objects(one, (one.per_second * DAY_SECONDS) as u64);
            format!("  {} an hour; {hour} an hour, {day} a day", self.site(one, HOUR_SECONDS))
        };
        let unsure = self.unsure.iter().map(|one| {
            let (function, counter) = (&one.site.function, one.site.counter.as_deref().unwrap_or("no known cache"));
            format!("  not told are objects of {function}: {counter} did not grow by as much, so that they were freed unseen, or others were")
        });
        let (percent, events) = (number::rate(100.0 * self.processor_share), number::rate(self.events_per_second));
        let cost = format!("  reading it took {percent} % of a processor; {events} events a second");
        [head].into_iter().chain(self.stay.iter().map(by_time)).chain(unsure).chain([cost]).collect()
    }
}

/// Returns "`number` `counter` objects".
fn objects(one: &Survived, number: u64) -> String {
    format!("{number} {} objects", one.site.counter.as_deref().unwrap_or_default())
}

/// Returns what this thread has taken of a processor.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::ftrace::SurvivorSite;

    fn survived(function: &str, counter: &str, objects: u64, parts: [u64; 3]) -> Survived {
        let site = SurvivorSite { function: function.into(), counter: Some(counter.into()), slot_bytes: 4096 };
        Survived { site, objects, oldest_seconds: 600.0, per_second: objects as f64 / 480.0, parts }
    }

    fn names(survived: &[Survived]) -> Vec<&str> {
        survived.iter().map(|one| one.site.function.as_str()).collect()
    }

    #[test]
    fn site_is_told_if_its_objects_stay_steadily_and_its_cache_grew() {
        let all = || {
            vec![
                survived("nfs4_delegation_hash_alloc", "kmalloc-4k", 4800, [1600, 1600, 1600]),
                survived("nfs_opendir", "kmalloc-192", 300, [100, 100, 100]),
            ]
        };
        let grown = |counter: &str| {
            [("kmalloc-4k", 5900), ("kmalloc-192", 12)].into_iter().find(|(name, _)| *name == counter).map(|(_, n)| n)
        };
        let (stay, unsure) = judge(all(), grown);
        assert_eq!((names(&stay), names(&unsure)), (vec!["nfs4_delegation_hash_alloc"], vec!["nfs_opendir"]));
        let (stay, unsure) = judge(all(), |_| None);
        assert_eq!((stay.len(), unsure.len()), (0, 2), "nothing bears it out");
    }

    #[test]
    fn sites_of_a_cache_that_grew_by_less_than_they_keep_together_are_none_of_them_told() {
        let all = || vec![survived("a", "kmalloc-4k", 3000, [1000; 3]), survived("b", "kmalloc-4k", 3000, [1000; 3])];
        assert_eq!(judge(all(), |_| Some(3000)).0.len(), 2);
        assert_eq!(judge(all(), |_| Some(2999)).0.len(), 0);
    }

    fn attributed(stay: Vec<Survived>, traced_seconds: f64) -> Attributed {
        let unsure = vec![survived("nfs_opendir", "kmalloc-192", 300, [100; 3])];
        Attributed {
            stay,
            unsure,
            age_seconds: 120.0,
            traced_seconds,
            one_in: 1,
            events_per_second: 310.0,
            processor_share: 0.0042,
            ..Attributed::default()
        }
    }

    #[test]
    fn leak_is_told_with_its_size_its_age_and_its_pace() {
        let leak = attributed(vec![survived("nfs4_delegation_hash_alloc", "kmalloc-4k", 4800, [1600; 3])], 600.0);
        let line = "; nfs4_delegation_hash_alloc keeps 4800 kmalloc-4k objects (18.8 MiB), the oldest for 10 min: 3.3 GiB a day";
        assert_eq!(leak.in_line(3), line);
        let summary = leak.summary();
        assert_eq!(
            summary[0],
            "call sites of NFS that keep objects older than 2 min (traced for 10 min at all addresses; no event was lost):"
        );
        assert!(
            summary[1]
                .ends_with(": 140.6 MiB an hour; 36000 kmalloc-4k objects an hour, 864000 kmalloc-4k objects a day"),
            "{summary:?}"
        );
        assert!(
            summary[2].contains("not told are objects of nfs_opendir: kmalloc-192 did not grow by as much"),
            "{summary:?}"
        );
        assert_eq!(summary[3], "  reading it took 0.42 % of a processor; 310.0 events a second");
    }

    #[test]
    fn what_was_sampled_and_lost_is_said() {
        let mut some = attributed(Vec::new(), 600.0);
        (some.one_in, some.lost_events) = (8, 1);
        let said = some.summary()[0].clone();
        assert_eq!(
            said,
            "no call site of NFS keeps objects that are older than 2 min (traced for 10 min at one in 8 addresses; 1 event was lost, \
             and since the last of them it was begun anew)"
        );
        some.stay = vec![survived("a", "kmalloc-4k", 8, [1; 3])];
        assert!(some.in_line(1).starts_with("; a keeps about 8 kmalloc-4k objects (32.0 KiB)"));
        assert!(
            attributed(Vec::new(), 200.0).summary()[0]
                .starts_with("whose objects stay cannot be told yet, which takes twice 2 min")
        );
    }
}
