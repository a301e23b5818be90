//! A bench as text for a terminal of 80 columns.

use super::{format, phrases};
use crate::result::bench::{BenchFile, BenchRecord, Comparison, Growth};
use crate::result::bench_metrics::{SECONDS, WALL_SECONDS};

/// Columns of what is measured, and of a state.
const NAME: usize = 27;
const CELL: usize = 12;

/// Returns the whole text of a file.
pub fn render(file: &BenchFile) -> String {
    let mut text = format::clock(&file.accelerator) + "\n";
    for record in &file.results {
        text += &format!("\n{}", render_record(record));
    }
    for comparison in &file.comparisons {
        text += &format!("\n{}", render_comparison(comparison));
    }
    if !file.growth.is_empty() {
        text += &format!("\n{}", render_growth(&file.growth));
    }
    text
}

/// Describes one scenario on one kernel.
pub fn render_record(record: &BenchRecord) -> String {
    let mut text = format!("{} on {} ({})\n", record.scenario, record.kernel.spec, record.kernel.release);
    text += &format!("  {}\n  {}\n", phrases::listed(record), phrases::effort(record));
    let heads = record.states.iter().map(|state| format!("{:>CELL$}", state.state.as_str()));
    text += &format!("  {:NAME$}{}\n", "", heads.collect::<String>());
    for (name, called, format) in format::rows(record) {
        let cells = record.states.iter().map(|state| format!("{:>CELL$}", format(format::median(state, name))));
        text += &format!("  {called:NAME$}{}\n", cells.collect::<String>());
    }
    text + &phrases::memory(record).iter().map(|line| format!("  {line}\n")).collect::<String>()
}

/// Compares one kernel against another, state by state.
pub fn render_comparison(comparison: &Comparison) -> String {
    let Comparison { scenario, base, other, verdict, margin, .. } = comparison;
    let mut text = format!(
        "{scenario}: {other} against {base}: {}\n  times, {other} divided by {base}, with 95 % intervals; the margin is {:.0} %\n",
        verdict.as_str(),
        margin * 100.0,
    );
    for state in &comparison.states {
        let shown = |name: &str| state.ratios.get(name).map_or("-".into(), format::ratio);
        let (word, seconds, wall) = (state.verdict.as_str(), shown(SECONDS), shown(WALL_SECONDS));
        text += &format!("  {:9} {word:10} {seconds:24} wall {wall}\n", state.state.as_str());
    }
    for state in &comparison.states {
        for difference in format::differences(state) {
            text += &format!("  {:9} {difference}\n", state.state.as_str());
        }
    }
    text
}

fn render_growth(growths: &[Growth]) -> String {
    let mut text = String::from("Growth with the number of entries n\n");
    for growth in growths {
        text += &format!("  {}: {}\n", phrases::what_grows(growth), growth.called);
        text += &format!("    {}\n    {}\n", phrases::power(growth), phrases::points(growth));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::example;

    #[test]
    fn text_fits_a_terminal() {
        let text = render(&example::file());
        for line in text.lines() {
            assert!(line.chars().count() <= crate::report::table::WIDTH, "{} columns: {line}", line.chars().count());
        }
        for words in ["huge-flat: 6.1+slow-readdir against 6.1: slower", "cold      slower     1.100 (1.090 to 1.110)"]
        {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
    }

    #[test]
    fn operation_that_never_was_has_no_row_and_calls_of_readdir_always_do() {
        let mut file = example::file();
        file.comparisons.clear();
        file.results[0].states.iter_mut().for_each(|state| state.medians.clear());
        let text = render(&file);
        assert!(text.contains("READDIRPLUS") && !text.contains("LOOKUP"), "{text}");
    }
}
