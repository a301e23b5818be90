//! The monitor: what grows, how fast, per READDIR call and per day, and when memory will be gone; for people and for Prometheus.

use super::attribution::{Attributed, Attribution, SLICE};
use super::mount::Mounted;
use super::prometheus;
use super::readings::{ReadingLog, Trend, Watch, bytes_per_day, time};
use crate::error::Result;
use crate::os::output_file::OutputFile;
use crate::os::signals;
use crate::probe::ftrace::Unmounts;
use crate::probe::kernel_files::KernelFiles;
use crate::text::number;
use std::io::Write;
use std::time::{Duration, Instant};

/// Counters that a line names.
const NAMED: usize = 3;

/// How a machine is to be watched.
pub struct Monitoring<'a> {
    /// Between two readings.
    pub interval: Duration,
    /// `None` until it is stopped.
    pub end: Option<Instant>,
    pub textfile: Option<&'a OutputFile>,
    /// Whether call sites are told whose objects are older than so many seconds.
    pub attributed_seconds: Option<f64>,
}

/// Reads until the end or until it is stopped, and writes a line for each reading; then, if call sites were asked for, what is known of them.
pub fn run(files: &KernelFiles, mounted: &Mounted, how: &Monitoring, out: &mut impl Write) -> Result<()> {
    let _tracefs = Unmounts::unless_mounted(files);
    let mut watch = Watch::begin(files, mounted.mount.clone())?;
    let mut attribution = how.attributed_seconds.and_then(|age_seconds| {
        let begun = Attribution::begin(files, age_seconds);
        // Whoever reads may stop early, and the file is still to be written.
        begun.map_err(|why_not| _ = writeln!(out, "{why_not}")).ok()
    });
    // The pages of a trace's buffers are not what grows.
    watch.begin_anew()?;
    let watched = watch_on(&mut watch, attribution.as_mut(), how, out);
    if let Some(attribution) = &attribution {
        attribution.attributed(watch.log())?.summary().iter().for_each(|line| _ = writeln!(out, "{line}"));
    }
    watched
}

fn watch_on(
    watch: &mut Watch,
    mut attribution: Option<&mut Attribution>,
    how: &Monitoring,
    out: &mut impl Write,
) -> Result<()> {
    while how.end.is_none_or(|end| Instant::now() < end) {
        let next = Instant::now() + how.interval;
        let next = how.end.map_or(next, |end| next.min(end));
        match &mut attribution {
            Some(attribution) => {
                while Instant::now() < next {
                    signals::wait_until(next.min(Instant::now() + SLICE))?;
                    attribution.read()?;
                }
            }
            None => signals::wait_until(next)?,
        }
        watch.read()?;
        let attributed = attribution.as_ref().map(|attribution| attribution.attributed(watch.log())).transpose()?;
        let mut trends = watch.log().trends();
        trends.sort_by(|a, b| bytes_per_day(b).total_cmp(&bytes_per_day(a)));
        if let Some(textfile) = how.textfile {
            let text = prometheus::text(watch.log(), &trends, attributed.as_ref());
            textfile.write_bytes(text.as_bytes())?;
        }
        let _ = writeln!(out, "{}", line(watch.log(), &trends, attributed.as_ref()));
    }
    Ok(())
}

/// Returns one reading as a line.
fn line(watched: &ReadingLog, trends: &[Trend], attributed: Option<&Attributed>) -> String {
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
    text += &attributed.map_or(String::new(), |attributed| attributed.in_line(NAMED));
    if let Some(grown) = watched.source_lines().first() {
        text += &format!(
            "; {}:{} in {} has {} more",
            grown.file,
            grown.line,
            grown.function,
            number::bytes(grown.bytes as f64)
        );
    }
    text + &match watched.seconds_left() {
        Some(seconds) => format!("; at this pace memory is gone in {}", time(seconds)),
        None => "; it does not grow".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn line_says_what_grows_and_when_memory_is_gone() {
        let said = |intervals, per_call| {
            let log = ReadingLog::made_up(intervals, per_call);
            line(&log, &log.trends(), None)
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
        let text = line(&log, &trends.map(|(name, bytes, pace)| trend(name, bytes, pace)), None);
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
            let how = Monitoring { interval, end: Some(end), textfile: Some(&textfile), attributed_seconds: None };
            run(&made.files, &mounted, &how, &mut told).unwrap();
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
            line(&log, &[Trend { per_readdir, ..log.trends()[1].clone() }], None)
        };
        assert!(said(0.1).contains("(2.00 objects per READDIR call)") && !said(0.0).contains("objects per READDIR"));
    }
}
