//! A bench as Markdown: times, ratios and growth as tables.

use super::escape::{fenced, plain, rows_of};
use crate::report::bench::{format, phrases};
use crate::report::reproduce;
use crate::result::bench::{BenchFile, BenchRecord, Comparison, Growth, StateComparison};
use crate::result::bench_metrics::{RPCS, SECONDS, WALL_SECONDS};

/// Figures of a listing that are shown; the result file has them all.
const SHOWN: [&str; 5] = [SECONDS, WALL_SECONDS, "names_per_second", "getdents_p99_seconds", RPCS];

pub fn render(file: &BenchFile) -> String {
    let mut text: String = file.comparisons.iter().map(compared).collect();
    if !file.growth.is_empty() {
        text += &grown(&file.growth);
    }
    text += &format!("\n{}\n\n{}", format::clock(&file.accelerator), times(&file.results));
    text + &format!("\nTo see it again:\n\n{}", fenced(&reproduce::bench_commands(file)))
}

fn compared(comparison: &Comparison) -> String {
    let row = |state: &StateComparison| {
        let shown = |name: &str| state.ratios.get(name).map_or("-".into(), format::ratio);
        let counted = format::differences(state).join(", ");
        [state.state.as_str().into(), state.verdict.as_str().into(), shown(SECONDS), shown(WALL_SECONDS), counted]
    };
    let Comparison { scenario, base, other, verdict, margin, .. } = comparison;
    let (word, percent) = (verdict.as_str(), margin * 100.0);
    let head = ["cache", "verdict", "time of a listing", "wall time", "calls"];
    let rows: Vec<_> = comparison.states.iter().map(row).collect();
    format!(
        "\n{}\n\n{}",
        plain(&format!(
            "{scenario}: {word}. {other} divided by {base}, with 95 % intervals; within {percent:.0} % is called the same:"
        )),
        rows_of(&head, &rows)
    )
}

fn grown(growths: &[Growth]) -> String {
    let row = |growth: &Growth| {
        let row_head =
            [growth.scenario.clone(), growth.kernel.clone(), phrases::what_grows(growth), growth.called.clone()];
        let [scenario, kernel, what, called] = row_head;
        [scenario, kernel, what, called, phrases::power(growth), phrases::points(growth)]
    };
    let head = ["scenario", "kernel", "what", "growth", "power of the entries n", "by entries"];
    format!("\n{}", rows_of(&head, &growths.iter().map(row).collect::<Vec<_>>()))
}

/// Returns a row for each state of each record.
fn times(records: &[BenchRecord]) -> String {
    let called = format::ROWS.iter().filter(|(name, ..)| SHOWN.contains(name)).map(|(_, called, _)| called.trim());
    let head: Vec<&str> = ["scenario", "kernel", "entries", "cache"].into_iter().chain(called).collect();
    let rows = records.iter().flat_map(|record| {
        record.states.iter().map(|state| {
            let shown = format::ROWS.iter().filter(|(name, ..)| SHOWN.contains(name));
            let cells = shown.map(|(name, _, format)| format(format::median(state, name)));
            let row_head = [record.scenario.clone(), record.kernel.spec.clone(), record.entries.to_string()];
            row_head.into_iter().chain([state.state.as_str().to_owned()]).chain(cells).collect::<Vec<_>>()
        })
    });
    rows_of(&head, &rows.collect::<Vec<_>>())
}
