//! Text of a sweep: one table by the place that failed, then what is not clean in full.

use super::table::Cells;
use crate::result::file::ResultFile;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sweep::{FailingRecord, SweepRecord};
use crate::text::layout::{self, Align};
use crate::text::number;
use crate::text::truncate::head_of;
use std::collections::BTreeMap;

/// Columns of the function's name.
const FUNCTION_WIDTH: usize = 34;

/// Returns the text of all sweeps of a file; `details` describes a record in full.
pub fn render(file: &ResultFile, details: fn(&RunRecord) -> String) -> String {
    let mut rest = file.results.as_slice();
    let mut texts = Vec::new();
    for sweep in &file.sweeps {
        // A sweep that could make nothing fail has one record, which says why.
        let count = (sweep.places.max(1) as usize).min(rest.len());
        let (of_it, others) = rest.split_at(count);
        texts.push(one(sweep, of_it, details));
        rest = others;
    }
    texts.join("\n")
}

fn one(sweep: &SweepRecord, records: &[RunRecord], details: fn(&RunRecord) -> String) -> String {
    let SweepRecord { scenario, kernel, unit, slab_allocations, page_allocations, passed_over, places, .. } = sweep;
    let mut text = format!(
        "{scenario} on {kernel}: a {unit} asks for {slab_allocations} objects and {page_allocations} pages, at {places} places\n"
    );
    if *passed_over > 0 {
        text += &format!(
            "  passed over: {passed_over} of the pages, which slab caches, page tables and processes take for themselves\n"
        );
    }
    if sweep.cut_short && *places > 0 {
        text += "  it asks for more, which was not made to fail; --most N goes on\n";
    }
    if sweep.guests_lost > 0 {
        text += &format!("  failures ended {} guests; the sweep went on in others\n", sweep.guests_lost);
    }
    for note in &sweep.notes {
        text += &format!("  note: {note}\n");
    }
    text += &table(unit, records);
    text += &format!("  {}, in {}\n", summary(records), number::seconds(sweep.seconds));
    for record in records.iter().filter(|record| record.verdict != Verdict::Clean) {
        text += &format!("\n{}", details(record));
    }
    text
}

fn table(unit: &str, records: &[RunRecord]) -> String {
    let head = ["fails", "asked for by", "times", "then", "verdict", &format!("objects per {unit}")].map(String::from);
    let rows = records.iter().filter_map(|record| Some(row(record, record.failing.as_ref()?)));
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    if lines.len() == 1 {
        return String::new();
    }
    let aligned =
        layout::table(&lines, [Align::Left, Align::Left, Align::Right, Align::Left, Align::Left, Align::Left]);
    aligned.iter().map(|line| format!("  {}\n", line.trim_end())).collect()
}

fn row(record: &RunRecord, failing: &FailingRecord) -> [String; 6] {
    let cells = Cells::from_record(record);
    [
        failing.allocation.clone(),
        head_of(asked_by(failing), FUNCTION_WIDTH),
        failing.alike.map_or_else(String::new, |alike| alike.to_string()),
        failing.outcome(),
        cells.verdict.into(),
        cells.objects,
    ]
}

/// Says who asked. The kernel tells no stack of what may fail without a word (FAULT_NOWARN in include/linux/fault-inject.h, 6.1.192).
fn asked_by(failing: &FailingRecord) -> &str {
    match failing.function.as_str() {
        "" if failing.failed > 0 => "(with __GFP_NOWARN)",
        function => function,
    }
}

/// Counts the verdicts: `41 clean, 2 leak`.
fn summary(records: &[RunRecord]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records {
        *counts.entry(record.verdict.as_str()).or_default() += 1;
    }
    counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    fn place(record: &RunRecord, allocation: &str, function: &str, errors: &[(&str, u64)]) -> RunRecord {
        let failing = FailingRecord {
            function: function.into(),
            failed: 102,
            errors: errors.iter().map(|(errno, times)| ((*errno).to_owned(), *times)).collect(),
            alike: Some(1),
            ..FailingRecord::new(allocation)
        };
        let scenario = format!("quick --fail-nth {allocation}");
        RunRecord { scenario, failing: Some(failing), ..record.clone() }
    }

    #[test]
    fn sweep_is_a_table_by_place_and_what_is_not_clean_in_full() {
        let both = example::verify();
        let (leak, clean) = (&both.results[0], &both.results[1]);
        let mut file = ResultFile::new();
        file.results = vec![
            place(clean, "slab:1", "getname_flags", &[("ENOMEM", 102)]),
            place(clean, "page:1", "", &[]),
            place(leak, "slab:7", "nfs_opendir", &[]),
        ];
        file.sweeps.push(SweepRecord {
            scenario: "quick".into(),
            kernel: "6.1".into(),
            unit: "listing".into(),
            slab_allocations: 7,
            page_allocations: 2,
            passed_over: 2,
            places: 3,
            cut_short: false,
            guests_lost: 0,
            seconds: 61.0,
            notes: Vec::new(),
        });
        let text = render(&file, |record| format!("the record of {}", record.scenario));
        let expected = "quick on 6.1: a listing asks for 7 objects and 2 pages, at 3 places
  passed over: 2 of the pages, which slab caches, page tables and processes take for themselves
  fails   asked for by         times  then          verdict  objects per listing
  slab:1  getname_flags            1  ENOMEM        clean    at most 0.13
  page:1  (with __GFP_NOWARN)      1  went through  clean    at most 0.13
  slab:7  nfs_opendir              1  went through  leak     25.0 (24.8 to 25.2)
  2 clean, 1 leak, in 61.0 s

the record of quick --fail-nth slab:7";
        assert!(text.starts_with(expected), "{text}");
    }
}
