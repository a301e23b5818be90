//! A bench on the page: the sentence, the pictures, what was timed on what, ratios and growth with their bounds, and each measurement.

mod measured;
mod pictures;

use super::cards::cells;
use crate::protocol::timing::CacheState;
use crate::report::bench::{format, phrases};
use crate::report::console::Logs;
use crate::report::headline::{self, Status};
use crate::report::merge::InputFile;
use crate::report::reproduce;
use crate::result::bench::{BenchFile, BenchRecord, Comparison, Growth, StateComparison};
use crate::result::bench_metrics::{SECONDS, WALL_SECONDS};
use crate::text::number;
use maud::{Markup, html};

pub fn section(bench: &InputFile<BenchFile>, logs: &Logs, is_only: bool) -> Markup {
    let file = &bench.file;
    html! {
        section {
            @if !is_only {
                h2 { (super::badge::verdict(&headline::for_bench(file))) }
                p class="note" { (bench.name) }
            }
            @for comparison in &file.comparisons { (compared(comparison)) }
            @if !file.growth.is_empty() { (growth(&file.growth)) }
            h3 { "What was timed on what" }
            p class="note" { (format::clock(&file.accelerator)) " The time of a listing is the median." }
            (overview(&file.results))
            h3 { "To see it again" }
            pre class="command" { (reproduce::bench_commands(file)) }
            h3 { "Each measurement" }
            @for record in &file.results { (measured::section(record, file, logs)) }
        }
    }
}

/// Shows one kernel against another: the picture, and the ratios in figures.
fn compared(comparison: &Comparison) -> Markup {
    let Comparison { base, other, margin, .. } = comparison;
    html! {
        (pictures::ratios(comparison))
        (cells(&["cache", "verdict", "time of a listing", "wall time", "calls"], comparison.states.iter().map(ratios)))
        p class="note" {
            "Each is " code { (other) } " divided by " code { (base) } ", with its 95 % interval. Within " (percent(*margin))
            " times are called the same."
        }
    }
}

fn ratios(state: &StateComparison) -> (Status, [String; 5]) {
    let shown = |name: &str| state.ratios.get(name).map_or("-".to_owned(), format::ratio);
    let differences = format::differences(state);
    let counted = if differences.is_empty() { "as many".to_owned() } else { differences.join(", ") };
    let row = [
        state.state.as_str().to_owned(),
        state.verdict.as_str().to_owned(),
        shown(SECONDS),
        shown(WALL_SECONDS),
        counted,
    ];
    (headline::bench_status(state.verdict), row)
}

fn percent(part: f64) -> String {
    format!("{} %", (part * 1e4).round() / 100.0)
}

fn growth(growths: &[Growth]) -> Markup {
    let row = |growth: &Growth| {
        let spec = growth.kernel.clone();
        let row_head = [growth.scenario.clone(), spec, phrases::what_grows(growth), growth.called.clone()];
        (None::<Status>, [&row_head[..], &[phrases::power(growth), phrases::points(growth)]].concat())
    };
    html! {
        (pictures::growth(growths))
        h3 { "Growth with the number of entries" }
        (cells(&["scenario", "kernel", "what", "growth", "power", "by entries"], growths.iter().map(row)))
        p class="note" { "A power of the number of entries n, by least squares between logarithms, with its 95 % interval; the last \
            step is that between the two largest directories." }
    }
}

/// Returns the times, a column for each state that was timed in any of them.
fn overview(records: &[BenchRecord]) -> Markup {
    let find = |record: &BenchRecord, of: CacheState| record.states.iter().find(|s| s.state == of).cloned();
    let is_timed = |state: &CacheState| records.iter().any(|record| find(record, *state).is_some());
    let states: Vec<CacheState> = CacheState::ALL.into_iter().filter(is_timed).collect();
    let head = ["scenario", "kernel", "entries"].into_iter().chain(states.iter().map(|s| s.as_str())).chain(["took"]);
    let row = |record: &BenchRecord| {
        let time = |state: &CacheState| find(record, *state).map(|found| format::time(format::median(&found, SECONDS)));
        let row_head = [record.scenario.clone(), record.kernel.spec.clone(), record.entries.to_string()];
        let times = states.iter().map(|state| time(state).unwrap_or("-".to_owned()));
        (
            None::<Status>,
            row_head.into_iter().chain(times).chain([number::seconds(record.wall_seconds)]).collect::<Vec<_>>(),
        )
    };
    cells(&head.collect::<Vec<_>>(), records.iter().map(row))
}
