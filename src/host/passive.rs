//! A verdict on a machine that is left alone: slab growth against the READDIR calls that others have the mount send.

use super::mount::Mounted;
use super::readings::{ReadingLog, Trend, Watch};
use crate::error::Result;
use crate::os::progress::Ui;
use crate::probe::ftrace::Unmounts;
use crate::probe::kernel_files::KernelFiles;
use crate::result::finding::Finding;
use crate::result::parts::{Bounds, CounterBound, Round, RoundKind};
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::run::allocation_sites::allocation_sites;
use crate::sample::CounterKind;
use crate::stats::estimate::{CONFIDENCE, Estimate};
use crate::stats::kendall::LEAST_INTERVALS;
use crate::text::number;
use crate::verdict::judge::stays;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What READDIR and READDIRPLUS calls are called where others have listings.
pub const UNIT: &str = "READDIR call";
/// Counters whose bounds are kept.
const KEPT_BOUNDS: usize = 5;
/// What is true of every such verdict.
const CONFOUNDED: &str = "nothing was listed and no cache dropped: what grows with READDIR calls may grow with something else that comes \
                          with them, or still be in use; dirleak host without --passive tells them apart";

/// Watches for `whole`, reading every `interval`.
pub fn run(
    files: &KernelFiles,
    mounted: Mounted,
    whole: Duration,
    interval: Duration,
    min_rate: f64,
    ui: &Ui,
) -> Result<RunRecord> {
    let begin = Instant::now();
    let mut record = super::begin(&mounted, crate::probe::counters::SiteSource::None, 0)?;
    let task = ui.task(format!("{}, watched", record.scenario));
    let _tracefs = Unmounts::unless_mounted(files);
    let mut watch = Watch::begin(files, mounted.mount.clone())?;
    while begin.elapsed() < whole {
        watch.wait_and_read(interval, Some(begin + whole))?;
        task.progress(begin.elapsed().min(whole).as_secs(), whole.as_secs().max(1));
    }
    record.seconds = begin.elapsed().as_secs_f64();
    let (watched, fits) = (watch.log(), fits(watch.log()));
    fill(&mut record, watched, &fits, min_rate);
    judge(&mut record, watched, &fits, min_rate);
    task.done(record.verdict.as_str());
    Ok(record)
}

/// Fills in what the record holds whatever the verdict.
fn fill(record: &mut RunRecord, watched: &ReadingLog, fits: &[(Trend, Estimate)], min_rate: f64) {
    record.unit = UNIT.into();
    record.listings = watched.readdirs();
    record.cold_listings = record.listings;
    record.notes.push(CONFOUNDED.into());
    record.not_looked_for.push(crate::probe::counters::CALL_SITES.into());
    record.allocation_sites = allocation_sites(watched.source_lines().to_vec(), record.listings, min_rate);
    let grown = watched.grown();
    let mut before = None;
    for reading in watched.readings() {
        let before_it = before.replace((reading.seconds, reading.readdirs));
        let (seconds, readdirs) = before_it.unwrap_or((0.0, reading.readdirs));
        let moved = reading.sample.objects.iter().filter(|(name, _)| grown.get(*name).is_some_and(|n| *n != 0));
        record.rounds.push(Round {
            dose: reading.readdirs.saturating_sub(readdirs),
            samples: moved.map(|(name, n)| (name.clone(), *n)).collect(),
            kind: if before_it.is_some() { RoundKind::Watched } else { RoundKind::Warmup },
            seconds: reading.seconds - seconds,
        });
    }
    let mut highest: Vec<&(Trend, Estimate)> = fits.iter().collect();
    highest.sort_by(|(_, a), (_, b)| b.high.total_cmp(&a.high));
    record.bounds = (!fits.is_empty()).then(|| Bounds {
        highest: highest.into_iter().take(KEPT_BOUNDS).map(|(trend, fit)| bound(trend, fit)).collect(),
        ..Bounds::begin(CONFIDENCE, min_rate, fits.len() as u64)
    });
}

fn fits(watched: &ReadingLog) -> Vec<(Trend, Estimate)> {
    watched.trends().into_iter().filter_map(|trend| trend.per_readdir.map(|fit| (trend, fit))).collect()
}

fn bound(trend: &Trend, fit: &Estimate) -> CounterBound {
    let source = CounterKind::from_counter(&trend.name);
    CounterBound { source, name: trend.name.clone(), objects_per_listing: *fit }
}

/// Judges it undecided, with what follows the calls. Never a leak: nobody chose the doses; and never clean: nothing was
/// held to show that the counters see what there is.
fn judge(record: &mut RunRecord, watched: &ReadingLog, fits: &[(Trend, Estimate)], min_rate: f64) {
    let following = fits.iter().filter(|(trend, fit)| follows(trend, fit, watched.readdirs()));
    let mut findings: Vec<Finding> = following.map(|followed| finding(followed, watched.shared_names())).collect();
    findings.sort_by(|a, b| b.bytes_per_listing.total_cmp(&a.bytes_per_listing));
    record.findings = findings;
    record.verdict = Verdict::Undecided;
    let calls = watched.readdirs();
    record.reason = if let Some(first) = record.findings.first() {
        let what = sentence::amount(first, UNIT);
        let bytes = number::bytes(first.bytes_per_listing);
        format!("over {calls} READDIR calls {what} followed them, {bytes} each, with a probability of 99 %")
    } else if fits.is_empty() {
        format!(
            "{calls} READDIR calls in {} intervals are too few, or too even, to tell what follows them; watch longer (at least \
             {LEAST_INTERVALS} intervals, in which others list now more and now less)",
            watched.readings().len() - 1
        )
    } else if let Some((trend, fit)) = fits.iter().find(|(_, fit)| fit.high >= min_rate) {
        format!(
            "nothing was seen to follow {calls} READDIR calls, but {} may, by {} to {} per {UNIT}; watch longer",
            trend.name,
            number::rate(fit.low),
            number::upper(fit.high)
        )
    } else {
        let highest = sentence::at_most(record).unwrap_or_default();
        format!(
            "nothing was seen to follow {calls} READDIR calls, {highest} of any counter per {UNIT}; that is no clean verdict, as nothing was \
             held on purpose to show that the counters see it: dirleak host without --passive does that"
        )
    };
}

/// Returns whether a counter grows with the calls, and is still as much larger at the end as that makes it.
fn follows(trend: &Trend, fit: &Estimate, calls: u64) -> bool {
    fit.low > 0.0 && stays(fit, trend.grown, calls)
}

fn finding((trend, fit): &(Trend, Estimate), shared_names: &BTreeMap<String, Vec<String>>) -> Finding {
    Finding {
        source: CounterKind::from_counter(&trend.name),
        name: trend.name.clone(),
        objects_per_listing: *fit,
        bytes_per_listing: fit.estimate * trend.object_bytes as f64,
        survives_unmount: true,
        call_sites: Vec::new(),
        objects_per_rpc: Some(*fit),
        objects_per_entry: None,
        net_objects: trend.grown,
        excluded_cache_objects: None,
        shares_with: shared_names.get(&trend.name).cloned().unwrap_or_default(),
    }
}

/// Returns the record as text, with lines of the kernel's source that somebody has made of it.
pub fn text(record: &RunRecord, source_lines: &[String]) -> String {
    let mut text = sentence::render(record) + "\n";
    for finding in record.findings.iter().skip(1) {
        text += &format!("  and {}\n", sentence::amount(finding, UNIT));
    }
    source_lines.iter().for_each(|line| text += &format!("  {line}\n"));
    for note in &record.notes {
        text += &format!("  note: {note}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use crate::result::record::KernelRecord;

    /// Returns the record of a machine that was watched for so many intervals, in which a size class grew by so many objects a call.
    fn watched(intervals: u64, per_call: i64, min_rate: f64) -> RunRecord {
        let log = ReadingLog::made_up(intervals, per_call);
        let mut record = RunRecord::begin("/mnt", KernelRecord::default(), 0);
        let fits = fits(&log);
        fill(&mut record, &log, &fits, min_rate);
        judge(&mut record, &log, &fits, min_rate);
        record
    }

    #[test]
    fn growth_that_follows_the_calls_is_told_and_is_no_leak() {
        let record = watched(20, 2, 0.5);
        assert_eq!(record.verdict, Verdict::Undecided);
        assert_eq!(
            record.reason,
            "over 333 READDIR calls 2.00 kmalloc-256 objects per READDIR call (2.00 to 2.00) followed them, 512 B each, with a \
             probability of 99 %"
        );
        let [found] = &record.findings[..] else { panic!("{:?}", record.findings) };
        assert_eq!((found.net_objects, found.bytes_per_listing, found.shares_with.len()), (666, 512.0, 1));
        let told = text(&record, &[]);
        assert!(
            told.contains(&record.reason) && told.contains("\n  note: nothing was listed and no cache dropped"),
            "{told}"
        );
        assert!(!told.contains("  and "), "{told}");
        let second = RunRecord { findings: vec![found.clone(), found.clone()], ..record.clone() };
        assert!(
            text(&second, &[]).contains("\n  and 2.00 kmalloc-256 objects per READDIR call"),
            "{}",
            text(&second, &[])
        );
    }

    #[test]
    fn record_has_the_calls_of_each_interval_and_what_moved() {
        let record = watched(20, 2, 0.5);
        assert_eq!((record.unit.as_str(), record.listings, record.cold_listings), (UNIT, 333, 333));
        let rounds: Vec<_> = record.rounds.iter().take(4).map(|r| (r.kind, r.dose, r.seconds)).collect();
        use RoundKind::{Warmup, Watched};
        assert_eq!(rounds, [(Warmup, 0, 0.0), (Watched, 10, 10.0), (Watched, 17, 10.0), (Watched, 24, 10.0)]);
        assert_eq!(record.rounds[1].samples.keys().collect::<Vec<_>>(), ["dentry", "kmalloc-256"]);
        let bounds = record.bounds.as_ref().unwrap();
        let highest: Vec<_> = bounds.highest.iter().map(|b| (b.name.as_str(), b.objects_per_listing.high)).collect();
        assert_eq!((highest, bounds.counters), (vec![("kmalloc-256", 2.0), ("filp", 0.0)], 2));
        assert_eq!(record.not_looked_for, [crate::probe::counters::CALL_SITES]);
    }

    #[test]
    fn machine_at_rest_is_not_called_clean() {
        let record = watched(20, 0, 0.5);
        assert_eq!((record.verdict, record.findings.len()), (Verdict::Undecided, 0));
        assert!(
            record.reason.starts_with(
                "nothing was seen to follow 333 READDIR calls, at most 0.00 of any counter per READDIR call"
            ),
            "{}",
            record.reason
        );
        assert!(watched(20, 0, 0.0).reason.contains("but filp may, by 0.00 to 0.00"), "{}", watched(20, 0, 0.0).reason);
    }

    #[test]
    fn few_intervals_tell_nothing() {
        let record = watched(3, 2, 0.5);
        assert!(record.reason.starts_with("51 READDIR calls in 3 intervals are too few"), "{}", record.reason);
        assert_eq!(record.bounds, None);
    }

    #[test]
    fn counter_follows_if_its_bounds_say_so_and_it_is_still_as_large() {
        let follows = |low, grown| {
            let trend = Trend { name: "it".into(), grown, object_bytes: 0, per_second: 0.0, per_readdir: None };
            follows(&trend, &Estimate { estimate: 2.0, low, high: 3.0 }, 100)
        };
        assert!(follows(1.0, 100) && !follows(0.0, 100) && !follows(-1.0, 100) && !follows(1.0, 99));
    }

    #[test]
    fn machine_is_watched_as_long_as_it_is_to_be() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        let watch = |whole: Duration| {
            let mounted = Mounted::made_up(dir.path());
            run(&made.files, mounted, whole, Duration::from_millis(10), 0.5, &Ui::new()).unwrap()
        };
        let record = watch(Duration::from_millis(200));
        assert!(record.rounds.len() <= 22, "an interval is 10 ms, and there were {} readings", record.rounds.len());
        assert!(
            record.seconds >= 0.2 && record.rounds.len() > 2,
            "{} s, {} rounds",
            record.seconds,
            record.rounds.len()
        );
        assert_eq!((record.verdict, record.unit.as_str()), (Verdict::Undecided, UNIT));
        assert!(record.reason.starts_with("0 READDIR calls in "), "{}", record.reason);
        assert_eq!(watch(Duration::ZERO).rounds.len(), 1, "the first reading");
    }

    #[test]
    fn counter_that_may_follow_by_just_the_rate_is_named() {
        let record = |min_rate| watched(20, 2, min_rate);
        let log = ReadingLog::made_up(20, 0);
        let mut fits = fits(&log);
        let it = fits.iter_mut().find(|(trend, _)| trend.name == "filp").unwrap();
        it.1 = Estimate { low: 0.0, estimate: 0.2, high: 0.5 };
        let reason = |min_rate| {
            let mut judged = record(min_rate);
            judge(&mut judged, &log, &fits, min_rate);
            judged.reason
        };
        assert!(reason(0.5).contains("but filp may, by 0.00 to 0.50"), "{}", reason(0.5));
        assert!(!reason(0.51).contains("but filp may"), "{}", reason(0.51));
    }
}
