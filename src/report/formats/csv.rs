//! Results as one table of plain figures, for spreadsheets and statistics programs: RFC 4180, a line feed after each row.

use super::format::Format;
use crate::error::{Error, Result};
use crate::protocol::timing::CacheState;
use crate::report::bench::format as figures;
use crate::report::console::Logs;
use crate::report::merge::{Report, ReportSection};
use crate::result::bench::{BenchFile, BenchRecord, BenchVerdict, Comparison, Growth, StateComparison, StateRecord};
use crate::result::bench_metrics::SECONDS;
use crate::result::finding::Finding;
use crate::result::proof::{Outcome, Proof};
use crate::result::record::{RunRecord, Verdict};
use crate::sample::CounterKind;
use crate::stats::estimate::Estimate;
use crate::text::sanitize;
use serde::Serialize;

/// What a field of a spreadsheet begins with that is reckoned and not shown; full-width forms are taken for it in some languages.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The first line.
pub const COLUMNS: [&str; 27] = [
    "kind",
    "scenario",
    "kernel",
    "release",
    "base",
    "verdict",
    "source",
    "counter",
    "unit",
    "objects_per_unit",
    "objects_low",
    "objects_high",
    "bytes_per_unit",
    "net_objects",
    "survives_unmount",
    "call_site",
    "share",
    "state",
    "measure",
    "value",
    "value_low",
    "value_high",
    "entries",
    "seed",
    "seconds",
    "accelerator",
    "reason",
];

/// The format of `--csv`.
#[derive(Debug)]
pub struct Csv;

impl Format for Csv {
    fn option(&self) -> &'static str {
        "csv"
    }

    fn help(&self) -> &'static str {
        "Write a table of all figures to this file, for spreadsheets and statistics programs"
    }

    fn render(&self, report: &Report, _: &Logs) -> Result<Vec<u8>> {
        let written = write(report).map_err(|e| e.to_string());
        written.map_err(|e| Error::machine(format!("a bug of dirleak: the result cannot be written as CSV: {e}")))
    }
}

fn write(report: &Report) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error>> {
    // A report of nothing has the names of its columns, too.
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    let sections = report.chapters.iter().flat_map(section);
    let benches = report.benches.iter().flat_map(|bench| bench_file(&bench.file));
    sections.chain(benches).try_for_each(|row| writer.serialize(row))?;
    Ok(writer.into_inner()?)
}

/// A row; what it has nothing to say of is empty.
#[derive(Clone, Default, Serialize)]
struct Row {
    kind: &'static str,
    scenario: Text,
    kernel: Text,
    release: Text,
    base: Text,
    verdict: Option<Word>,
    source: Option<CounterKind>,
    counter: Text,
    unit: Text,
    objects_per_unit: Option<f64>,
    objects_low: Option<f64>,
    objects_high: Option<f64>,
    bytes_per_unit: Option<f64>,
    net_objects: Option<i64>,
    survives_unmount: Option<bool>,
    call_site: Text,
    share: Option<f64>,
    state: Option<CacheState>,
    measure: Text,
    value: Option<f64>,
    value_low: Option<f64>,
    value_high: Option<f64>,
    entries: Option<u64>,
    seed: Option<u64>,
    seconds: Option<f64>,
    accelerator: Text,
    reason: Text,
}

/// A verdict as the result file has it.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Word {
    Run(Verdict),
    Proof(Outcome),
    Bench(BenchVerdict),
}

/// Text of a result that somebody may have sent: one line, of which no spreadsheet makes a formula.
#[derive(Clone, Default, Serialize)]
struct Text(String);

impl<T: AsRef<str>> From<T> for Text {
    fn from(text: T) -> Self {
        let line = sanitize::line(text.as_ref()).replace('\t', " ");
        // Where the comma is the decimal mark, spreadsheets take the semicolon for the end of a field.
        let parts = line.split(';').map(|part| match part.trim_start().starts_with(FORMULA) {
            true => format!("'{part}"),
            false => part.to_owned(),
        });
        Self(parts.collect::<Vec<_>>().join(";"))
    }
}

fn section(section: &ReportSection) -> Vec<Row> {
    let file = &section.file;
    let gap = |why: String| Row {
        kind: "incomplete",
        verdict: Some(Word::Proof(Outcome::Undecided)),
        reason: why.into(),
        ..Row::default()
    };
    let branches = file.branches.iter().map(|branch| {
        let reason = format!("{}: {}", branch.branch, branch.proof.reason);
        Row { kind: "branch", reason: reason.into(), ..proof(&branch.proof) }
    });
    let about = section.incomplete().map(gap).into_iter().chain(file.proof.as_ref().map(proof)).chain(branches);
    about.chain(file.results.iter().flat_map(run)).collect()
}

fn proof(proof: &Proof) -> Row {
    Row {
        kind: "proof",
        kernel: (&proof.patched).into(),
        base: (&proof.unpatched).into(),
        verdict: Some(Word::Proof(proof.outcome)),
        reason: (&proof.reason).into(),
        ..Row::default()
    }
}

/// Returns a row for each finding, and one for the run unless its findings say all.
fn run(record: &RunRecord) -> Vec<Row> {
    let itself = (record.verdict != Verdict::Leak || record.findings.is_empty()).then(|| whole(record));
    itself.into_iter().chain(record.findings.iter().map(|found| finding(record, found))).collect()
}

fn whole(record: &RunRecord) -> Row {
    let highest = record.bounds.as_ref().filter(|_| record.verdict == Verdict::Clean).and_then(|b| b.highest.first());
    Row {
        kind: "run",
        scenario: (&record.scenario).into(),
        kernel: (&record.kernel.spec).into(),
        release: (&record.kernel.release).into(),
        verdict: Some(Word::Run(record.verdict)),
        unit: (&record.unit).into(),
        objects_high: highest.map(|counter| counter.objects_per_listing.high),
        entries: Some(record.entries),
        seed: Some(record.seed),
        seconds: Some(record.seconds),
        accelerator: (&record.accelerator).into(),
        reason: (&record.reason).into(),
        ..Row::default()
    }
}

fn finding(record: &RunRecord, finding: &Finding) -> Row {
    let Estimate { estimate, low, high } = finding.objects_per_listing;
    let site = finding.call_sites.first();
    Row {
        kind: "finding",
        source: Some(finding.source),
        counter: (&finding.name).into(),
        objects_per_unit: Some(estimate),
        objects_low: Some(low),
        objects_high: Some(high),
        bytes_per_unit: Some(finding.bytes_per_listing),
        net_objects: Some(finding.net_objects),
        survives_unmount: Some(finding.survives_unmount),
        call_site: site.map(|site| (&site.function).into()).unwrap_or_default(),
        share: site.map(|site| site.share),
        ..whole(record)
    }
}

fn bench_file(file: &BenchFile) -> Vec<Row> {
    let accelerator = |row: Row| Row { accelerator: (&file.accelerator).into(), ..row };
    let measured = file.results.iter().flat_map(bench_record);
    measured
        .chain(file.comparisons.iter().flat_map(comparison))
        .chain(file.growth.iter().map(growth))
        .map(accelerator)
        .collect()
}

/// Returns the medians in each state, and what a listing keeps.
fn bench_record(record: &BenchRecord) -> Vec<Row> {
    let about = Row {
        scenario: (&record.scenario).into(),
        kernel: (&record.kernel.spec).into(),
        release: (&record.kernel.release).into(),
        entries: Some(record.entries),
        seed: Some(record.seed),
        seconds: Some(record.wall_seconds),
        ..Row::default()
    };
    let memory = &record.memory;
    let bytes = [
        ("slab_held_bytes", memory.slab_held_bytes),
        ("slab_left_bytes", memory.slab_left_bytes),
        ("page_held_bytes", memory.page_held_bytes),
        ("page_left_bytes", memory.page_left_bytes),
    ];
    let kept = bytes.map(|(name, bytes)| Row {
        kind: "memory",
        measure: name.into(),
        value: Some(bytes as f64),
        ..about.clone()
    });
    record.states.iter().flat_map(|state| medians(record, state, &about)).chain(kept).collect()
}

fn medians(record: &BenchRecord, state: &StateRecord, about: &Row) -> Vec<Row> {
    let row = |(name, median): (&String, &f64)| {
        let range = figures::range(record, state, name);
        Row {
            kind: "median",
            state: Some(state.state),
            measure: name.into(),
            value: Some(*median),
            value_low: range.map(|(least, _)| least),
            value_high: range.map(|(_, most)| most),
            ..about.clone()
        }
    };
    state.medians.iter().map(row).collect()
}

fn comparison(comparison: &Comparison) -> Vec<Row> {
    let row = |state: &StateComparison, name: &String, ratio: &Estimate| Row {
        kind: "ratio",
        scenario: (&comparison.scenario).into(),
        kernel: (&comparison.other).into(),
        base: (&comparison.base).into(),
        // The verdict is of the time of a listing alone.
        verdict: (name == SECONDS).then_some(Word::Bench(state.verdict)),
        state: Some(state.state),
        ..measured(name, ratio)
    };
    let states = comparison.states.iter();
    states.flat_map(|state| state.ratios.iter().map(move |(name, ratio)| row(state, name, ratio))).collect()
}

fn growth(growth: &Growth) -> Row {
    Row {
        kind: "growth",
        scenario: (&growth.scenario).into(),
        kernel: (&growth.kernel).into(),
        state: growth.state,
        reason: (&growth.called).into(),
        ..measured(&growth.what, &growth.exponent)
    }
}

fn measured(name: &str, estimate: &Estimate) -> Row {
    Row {
        measure: name.into(),
        value: Some(estimate.estimate),
        value_low: Some(estimate.low),
        value_high: Some(estimate.high),
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::example as bench;
    use crate::report::merge::{InputFile, merge};
    use crate::report::test_results::suites::tests::{extreme, hostile, merged, runs};
    use crate::result::example;
    use crate::result::file::ResultFile;
    use crate::result::shard::ShardRecord;

    /// Returns the rows by column, and makes sure of the first line.
    fn rows(report: &Report) -> Vec<csv::StringRecord> {
        let text = Csv.render(report, &Logs::default()).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_slice());
        assert_eq!(reader.headers().unwrap(), &COLUMNS[..]);
        reader.records().map(|row| row.unwrap()).collect()
    }

    fn cell<'a>(row: &'a csv::StringRecord, column: &str) -> &'a str {
        &row[COLUMNS.iter().position(|name| *name == column).unwrap()]
    }

    fn column(report: &Report, name: &str) -> Vec<String> {
        rows(report).iter().map(|row| cell(row, name).to_owned()).collect()
    }

    #[test]
    fn columns_are_the_fields_of_a_row_in_their_order() {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.serialize(Row::default()).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        assert_eq!(text.lines().next().unwrap(), COLUMNS.join(","));
        assert!(rows(&merged(Vec::new())).is_empty(), "a report of nothing has the first line alone");
    }

    #[test]
    fn finding_and_clean_run_are_the_rows_that_the_documentation_shows() {
        let file = ResultFile { proof: None, ..example::verify() };
        let text = String::from_utf8(Csv.render(&merged(vec![file]), &Logs::default()).unwrap()).unwrap();
        let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/report.md");
        let documented = std::fs::read_to_string(documented).unwrap();
        for line in text.lines() {
            assert!(documented.contains(&format!("\n    {line}\n")), "docs/report.md does not have: {line}");
        }
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn every_verdict_but_a_leak_has_a_row_of_its_own() {
        use Verdict::*;
        let mut file = runs(&[Clean, Undecided, Crash, Leak]);
        file.results[0].findings = example::leak().findings;
        let report = merged(vec![file]);
        assert_eq!(column(&report, "kind"), ["run", "finding", "run", "run", "finding"]);
        assert_eq!(column(&report, "verdict"), ["clean", "clean", "undecided", "crash", "leak"]);
        assert_eq!(column(&report, "objects_high"), ["0.121", "25.2", "", "", "25.2"]);
    }

    #[test]
    fn proof_branches_and_missing_shards_are_told() {
        let mut file = example::verify();
        file.shard = Some(ShardRecord { number: 1, of: 2, runs: 4 });
        let report = merged(vec![file, example::branches()]);
        let kinds = ["incomplete", "proof", "finding", "run", "branch", "branch", "finding", "run"];
        assert_eq!(column(&report, "kind"), kinds);
        assert_eq!(column(&report, "verdict")[..2], ["undecided", "undecided"], "nothing is proven without all shards");
        assert!(column(&report, "reason")[0].starts_with("shard 2 of 2 is missing"));
        assert_eq!(column(&report, "reason")[5], "linux-5.10.y: the fix does not apply");
    }

    #[test]
    fn bench_has_a_row_for_each_figure() {
        let file = bench::file();
        let count = |kind: &str, rows: &[String]| rows.iter().filter(|other| *other == kind).count();
        let (states, medians) = (file.results[0].states.len(), file.results[0].states[0].medians.len());
        let report = merge(Vec::new(), vec![InputFile { name: "b.json".into(), file }]);
        let kinds = column(&report, "kind");
        let counts = ["median", "memory", "ratio", "growth"].map(|kind| count(kind, &kinds));
        assert_eq!(counts, [states * medians, 4, states * medians, 2]);
        let of_time = |row: &&csv::StringRecord| cell(row, "kind") == "ratio" && cell(row, "measure") == SECONDS;
        let rows = rows(&report);
        let ratio = rows.iter().find(of_time).unwrap();
        let expected = ["6.1+slow-readdir", "6.1", "slower", "cold", "1.1", "1.09", "1.11", "tcg-icount"];
        let columns = ["kernel", "base", "verdict", "state", "value", "value_low", "value_high", "accelerator"];
        assert_eq!(columns.map(|name| cell(ratio, name)), expected);
        assert_eq!(count("slower", &column(&report, "verdict")), states, "no other figure has that verdict");
    }

    #[test]
    fn text_that_a_spreadsheet_would_reckon_is_shown() {
        for (text, expected) in [
            ("=HYPERLINK(\"http://example.org\")", "'=HYPERLINK(\"http://example.org\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            (" ＝1", "' ＝1"),
            ("a;=1", "a;'=1"),
            ("\r=1\n", "\u{fffd}=1\u{fffd}"),
            ("6.1+spare-pages", "6.1+spare-pages"),
            ("", ""),
        ] {
            assert_eq!(Text::from(text).0, expected, "{text:?}");
        }
        let mut file = runs(&[Verdict::Undecided]);
        file.results[0].reason = "=1,\"2\"".into();
        assert_eq!(column(&merged(vec![file]), "reason"), ["'=1,\"2\""]);
    }

    #[test]
    fn row_stays_one_line_and_number_one_number_whatever_a_file_says() {
        for file in [hostile(), extreme(), example::verify()] {
            let report = merged(vec![file]);
            let text = Csv.render(&report, &Logs::default()).unwrap();
            let rows = rows(&report);
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), rows.len() + 1);
            assert!(!text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\n'));
            for cell in rows.iter().flat_map(csv::StringRecord::iter).filter(|cell| cell.starts_with(FORMULA)) {
                assert!(cell.parse::<f64>().is_ok(), "{cell}");
            }
        }
    }
}
