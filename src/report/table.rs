//! Tables that fit a terminal of 80 columns: scenarios below each other, or two kernels side by side.

use crate::result::finding::Finding;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::layout::{self, Align};
use crate::text::number;
use crate::text::truncate::{head_of, tail};

/// Columns of a terminal that nobody has widened.
pub const WIDTH: usize = 80;

/// The cells of one record.
pub struct Cells {
    pub verdict: &'static str,
    pub objects: String,
    pub bytes: String,
    /// The counter, and who allocated it.
    pub site: String,
    pub seconds: String,
}

impl Cells {
    pub fn from_record(record: &RunRecord) -> Self {
        let first = record.findings.first();
        let objects = match (first, &record.bounds, record.verdict) {
            (Some(f), _, _) => {
                let rate = &f.objects_per_listing;
                format!("{} ({})", number::rate(rate.estimate), rate.bounds())
            }
            (None, Some(_), Verdict::Clean) => sentence::at_most(record).unwrap_or("none".into()),
            _ => "-".into(),
        };
        Self {
            verdict: record.verdict.as_str(),
            objects,
            bytes: first.map_or("-".into(), |f| number::bytes(f.bytes_per_listing)),
            site: first.map_or(String::new(), origin),
            seconds: number::seconds(record.seconds),
        }
    }
}

/// Names what leaks and where from: `kmalloc-256 in nfs_readdir_page_array_append`.
fn origin(finding: &Finding) -> String {
    match finding.call_sites.first() {
        Some(site) => format!("{} in {}", finding.name, site.function),
        None => finding.name.clone(),
    }
}

/// Returns one line per record under a heading per kernel; where something leaks, a second line says what and where.
pub fn rows(records: &[RunRecord]) -> String {
    let mut text = String::new();
    let mut rest = records;
    while let Some(first) = rest.first() {
        let same = |r: &&RunRecord| r.kernel.spec == first.kernel.spec && r.kernel.release == first.kernel.release;
        let (group, others) = rest.split_at(rest.iter().take_while(same).count());
        if !text.is_empty() {
            text.push('\n');
        }
        text += &heading(first);
        text += &group_rows(group);
        rest = others;
    }
    text
}

fn heading(record: &RunRecord) -> String {
    let release = match record.kernel.release.as_str() {
        "" => String::new(),
        release => format!(" ({release})"),
    };
    let room = WIDTH.saturating_sub("kernel ".len() + release.len());
    format!("kernel {}{release}\n", tail(&record.kernel.spec, room))
}

fn group_rows(group: &[RunRecord]) -> String {
    let units: Vec<&str> = group.iter().map(|r| r.unit.as_str()).collect();
    let unit = if units.iter().all(|u| *u == units[0]) { units[0] } else { "unit" };
    let objects = head_of(&format!("objects per {unit}"), 25);
    let head = ["scenario", "verdict", &objects, "bytes", "time"].map(String::from);
    let (mut lines, mut sites) = (vec![head], vec![String::new()]);
    for record in group {
        let cells = Cells::from_record(record);
        let line = [head_of(&record.scenario, 16), cells.verdict.into(), cells.objects, cells.bytes, cells.seconds];
        lines.push(line);
        sites.push(cells.site);
    }
    let first = layout::width(&lines, 0);
    let aligned = layout::table(&lines, [Align::Left, Align::Left, Align::Left, Align::Right, Align::Right]);
    let mut text = String::new();
    for (line, site) in aligned.iter().zip(sites) {
        text += &format!("  {line}\n");
        if !site.is_empty() {
            text += &format!("  {:first$}  {}\n", "", head_of(&site, WIDTH - 4 - first));
        }
    }
    text
}

/// Shows the two kernels of a comparison as columns, one block per scenario.
pub fn side_by_side(records: &[RunRecord], left: &str, right: &str) -> String {
    let mut scenarios: Vec<&str> = Vec::new();
    for record in records {
        if !scenarios.contains(&record.scenario.as_str()) {
            scenarios.push(&record.scenario);
        }
    }
    let find = |scenario: &str, spec: &str| records.iter().find(|r| r.scenario == scenario && r.kernel.spec == spec);
    let mut lines = vec![[String::new(), left.into(), right.into()]];
    for scenario in scenarios {
        lines.extend(block(scenario, [find(scenario, left), find(scenario, right)]));
    }
    columns(&lines)
}

fn block(scenario: &str, pair: [Option<&RunRecord>; 2]) -> Vec<[String; 3]> {
    let unit = pair.iter().flatten().next().map_or("listing", |r| r.unit.as_str());
    let cells = pair.map(|record| record.map(Cells::from_record));
    let line = |label: String, cell: &dyn Fn(&Cells) -> String| {
        let [left, right] = &cells;
        let text = |side: &Option<Cells>| side.as_ref().map_or("not run".into(), cell);
        [label, text(left), text(right)]
    };
    let function = |record: Option<&RunRecord>| match record.and_then(|r| r.findings.first()) {
        Some(finding) => finding.call_sites.first().map_or("unknown".into(), |site| site.function.clone()),
        None => "-".into(),
    };
    let counter = |record: Option<&RunRecord>| {
        record.and_then(|r| r.findings.first()).map_or("-".into(), |finding| finding.name.clone())
    };
    let [left, right] = pair;
    vec![
        line(scenario.into(), &|c| c.verdict.into()),
        line(format!("  objects per {unit}"), &|c| c.objects.clone()),
        line(format!("  bytes per {unit}"), &|c| c.bytes.clone()),
        ["  counter".into(), counter(left), counter(right)],
        ["  allocated in".into(), function(left), function(right)],
        line("  time".into(), &|c| c.seconds.clone()),
    ]
}

/// Lays out three columns; the middle one is as wide as it must be, and what does not fit a terminal is cut.
fn columns(lines: &[[String; 3]]) -> String {
    let widest = |column| layout::width(lines, column);
    let first = widest(0).min(26);
    let room = WIDTH - first - 4;
    // Each side gets half of the room, and what the other side leaves.
    let last = widest(2).min((room / 2).max(room.saturating_sub(widest(1))));
    let middle = widest(1).min(room - last);
    let cut = |[a, b, c]: &[String; 3]| [head_of(a, first), head_of(b, middle), head_of(c, last)];
    let cut: Vec<_> = lines.iter().map(cut).collect();
    layout::table(&cut, [Align::Left; 3]).iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::text::truncate::length;

    #[test]
    fn scenarios_stand_below_their_kernel() {
        let mut crash = example::clean();
        crash.scenario = "huge-flat".into();
        crash.verdict = Verdict::Crash;
        let expected = "\
kernel 6.1+spare-pages (6.1.192)
  scenario  verdict  objects per listing    bytes   time
  quick     leak     25.0 (24.8 to 25.2)  6.2 KiB  4.2 s
            kmalloc-256 in nfs_readdir_page_array_append

kernel 6.1 (6.1.192)
  scenario   verdict  objects per listing  bytes   time
  quick      clean    at most 0.13             -  6.0 s
  huge-flat  crash    -                        -  6.0 s
";
        assert_eq!(rows(&[example::leak(), example::clean(), crash]), expected);
    }

    #[test]
    fn kernels_of_a_comparison_stand_side_by_side() {
        let expected = "                       6.1+spare-pages                6.1
quick                  leak                           clean
  objects per listing  25.0 (24.8 to 25.2)            at most 0.13
  bytes per listing    6.2 KiB                        -
  counter              kmalloc-256                    -
  allocated in         nfs_readdir_page_array_append  -
  time                 4.2 s                          6.0 s
";
        let file = example::verify();
        assert_eq!(side_by_side(&file.results, "6.1+spare-pages", "6.1"), expected);
    }

    #[test]
    fn record_that_is_missing_is_said() {
        let text = side_by_side(&[example::leak()], "6.1+spare-pages", "6.1");
        assert!(text.contains("leak                           not run\n"), "{text}");
    }

    #[test]
    fn table_with_long_names_still_fits_the_terminal() {
        let mut record = example::leak();
        record.scenario = "a-scenario-with-quite-a-long-name-äöü".into();
        record.unit = "mount, listing and unmount".into();
        record.kernel.spec = format!("/home/{}/linux/vmlinux", "x".repeat(100));
        record.findings[0].call_sites[0].function = "f".repeat(100);
        record.findings[0].objects_per_listing.estimate = 118_110.0;
        record.findings[0].objects_per_listing.low = 118_090.0;
        record.findings[0].objects_per_listing.high = 118_130.0;
        let mut other = record.clone();
        other.kernel.spec += "+other.patch";
        let mut third = record.clone();
        third.verdict = Verdict::Unsupported;
        let text = side_by_side(&[record.clone(), other.clone()], &record.kernel.spec, &other.kernel.spec)
            + &rows(&[record.clone(), third, other]);
        for line in text.lines() {
            assert!(length(line) <= WIDTH, "{} columns: {line}", length(line));
        }
        assert!(text.contains("/linux/vmlinux (6.1.192)"), "{text}");
    }
}
