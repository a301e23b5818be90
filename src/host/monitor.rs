//! The monitor: what grows, how fast, per READDIR call and per day, and when memory will be gone; for people and for Prometheus.

use super::mount::Mounted;
use super::prometheus;
use super::readings::{DAY_SECONDS, ReadingLog, Trend, Watch, bytes_per_day};
use crate::error::Result;
use crate::os::output_file::OutputFile;
use crate::probe::ftrace::Unmounts;
use crate::probe::kernel_files::KernelFiles;
use crate::text::number;
use std::io::Write;
use std::time::{Duration, Instant};

/// Counters that a line names.
const NAMED: usize = 3;

/// Reads every `interval`, until `end` or until it is stopped, and writes a line for each.
pub fn run(
    files: &KernelFiles,
    mounted: &Mounted,
    interval: Duration,
    end: Option<Instant>,
    textfile: Option<&OutputFile>,
    out: &mut impl Write,
) -> Result<()> {
    let _tracefs = Unmounts::unless_mounted(files);
    let mut watch = Watch::begin(files, mounted.mount.clone())?;
    while end.is_none_or(|end| Instant::now() < end) {
        watch.wait_and_read(interval, end)?;
        let watched = watch.log();
        let mut trends = watched.trends();
        trends.sort_by(|a, b| bytes_per_day(b).total_cmp(&bytes_per_day(a)));
        if let Some(textfile) = textfile {
            textfile.write_bytes(prometheus::text(watched, &trends).as_bytes())?;
        }
        // Whoever reads may stop early, and the file is still to be written.
        let _ = writeln!(out, "{}", line(watched, &trends));
    }
    Ok(())
}

/// Returns one reading as a line.
fn line(watched: &ReadingLog, trends: &[Trend]) -> String {
    let last = watched.last();
    let mut text = format!(
        "after {}: {} READDIR calls, {} of slab that cannot be given back",
        time(last.seconds),
        watched.readdirs(),
        number::bytes(last.unreclaimable_kib as f64 * 1024.0)
    );
    if !watched.is_long_enough() {
        return text + "; too few readings yet for a pace";
    }
    for trend in trends.iter().filter(|trend| trend.per_second > 0.0 && trend.object_bytes > 0).take(NAMED) {
        text += &format!("; {} {} a day", trend.name, number::bytes(bytes_per_day(trend)));
        if let Some(fit) = trend.per_readdir.filter(|fit| fit.low > 0.0) {
            text += &format!(" ({} objects per READDIR call)", number::rate(fit.estimate));
        }
    }
    text + &match watched.seconds_left() {
        Some(seconds) => format!("; at this pace memory is gone in {}", time(seconds)),
        None => "; it does not grow".into(),
    }
}

/// Returns "40 s", "3.5 hours", "12 days".
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 2.0 * DAY_SECONDS => format!("{:.1} hours", s / 3600.0),
        s => format!("{:.0} days", s / DAY_SECONDS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

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
    fn line_says_what_grows_and_when_memory_is_gone() {
        let said = |intervals, per_call| {
            let log = ReadingLog::made_up(intervals, per_call);
            line(&log, &log.trends())
        };
        let grows = said(20, 2);
        assert!(
            grows.starts_with(
                "after 3 min: 333 READDIR calls, 49.2 MiB of slab that cannot be given back; kmalloc-256 "
            ),
            "{grows}"
        );
        assert!(
            grows.ends_with(" a day (2.00 objects per READDIR call); at this pace memory is gone in 10.0 hours"),
            "{grows}"
        );
        assert!(!grows.contains("filp"), "{grows}");
        let rests = said(20, 0);
        assert!(rests.ends_with("cannot be given back; it does not grow"), "{rests}");
        let short = said(3, 2);
        assert!(short.ends_with("; too few readings yet for a pace"), "{short}");
    }

    #[test]
    fn line_names_growth_of_which_the_bytes_are_known() {
        let log = ReadingLog::made_up(20, 2);
        let trend = |name: &str, object_bytes, per_second| Trend {
            name: name.into(),
            grown: 1,
            object_bytes,
            per_second,
            per_readdir: None,
        };
        let trends =
            [("a", 8, 1.0), ("b", 0, 1.0), ("c", 8, 0.0), ("d", 8, -1.0), ("e", 8, 1.0), ("f", 8, 1.0), ("g", 8, 1.0)];
        let text = line(&log, &trends.map(|(name, bytes, pace)| trend(name, bytes, pace)));
        let named: Vec<&str> =
            text.split("; ").filter(|part| part.ends_with(" a day")).map(|part| &part[..1]).collect();
        assert_eq!(named, ["a", "e", "f"], "{text}");
    }

    #[test]
    fn machine_is_told_of_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        let (mounted, file) = (Mounted::made_up(dir.path()), dir.path().join("dirleak.prom"));
        let textfile = OutputFile::check_other(&file, "file for Prometheus").unwrap();
        let lines = |end: Instant| {
            let mut told = Vec::new();
            let interval = Duration::from_millis(10);
            run(&made.files, &mounted, interval, Some(end), Some(&textfile), &mut told).unwrap();
            String::from_utf8(told).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let told = lines(Instant::now() + Duration::from_millis(200));
        assert!(told.len() > 1 && told[0].starts_with("after 0 s: 0 READDIR calls, "), "{told:?}");
        assert!(std::fs::read_to_string(&file).unwrap().contains("dirleak_"));
        assert!(lines(Instant::now()).is_empty(), "there was no time");
    }

    #[test]
    fn line_gives_objects_by_the_call_to_what_surely_follows_the_calls() {
        let log = ReadingLog::made_up(20, 2);
        let said = |low| {
            let per_readdir = Some(crate::stats::estimate::Estimate { low, ..log.trends()[1].per_readdir.unwrap() });
            line(&log, &[Trend { per_readdir, ..log.trends()[1].clone() }])
        };
        assert!(said(0.1).contains("(2.00 objects per READDIR call)") && !said(0.0).contains("objects per READDIR"));
    }
}
