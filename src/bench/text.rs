//! A bench as text for a terminal of 80 columns.

use super::record::{BenchFile, BenchRecord, Comparison, Growth, Ratio, StateRecord};
use super::summary::{RPCS, SECONDS, WALL_SECONDS};
use crate::report::number;

/// Columns of what is measured, and of a state.
const NAME: usize = 27;
const CELL: usize = 12;

/// How a figure is written.
type Format = fn(f64) -> String;

/// What is shown of each state, in this order: name of the median, what it is called, how it is written.
const ROWS: [(&str, &str, Format); 21] = [
    ("names_per_second", "names/s", count),
    (SECONDS, "listing", time),
    ("first_entry_seconds", "  until the first entry", time),
    ("getdents_calls", "getdents64 calls", count),
    ("getdents_median_seconds", "  median", time),
    ("getdents_p99_seconds", "  99 of 100 within", time),
    ("getdents_max_seconds", "  longest", time),
    (RPCS, "RPCs", count),
    ("READDIR", "  READDIR", count),
    ("READDIRPLUS", "  READDIRPLUS", count),
    ("GETATTR", "  GETATTR", count),
    ("LOOKUP", "  LOOKUP", count),
    ("ACCESS", "  ACCESS", count),
    ("sent_bytes", "  sent", number::bytes),
    ("received_bytes", "  received", number::bytes),
    ("server_seconds", "waiting for the server", time),
    ("thread_system_seconds", "kernel CPU, listing thread", time),
    ("guest_system_seconds", "kernel CPU, whole guest", time),
    ("guest_user_seconds", "user CPU, whole guest", time),
    (WALL_SECONDS, "wall time on the host", time),
    ("changes", "steps meanwhile", count),
];

/// The whole text of a file.
pub fn of(file: &BenchFile) -> String {
    let mut text = clock(&file.accelerator);
    for record in &file.results {
        text.push('\n');
        text += &of_record(record);
    }
    for comparison in &file.comparisons {
        text.push('\n');
        text += &of_comparison(comparison);
    }
    if !file.growth.is_empty() {
        text.push('\n');
        text += &of_growth(&file.growth);
    }
    text
}

/// What a second is.
fn clock(accelerator: &str) -> String {
    match accelerator {
        "tcg-icount" => "Times are instructions: the guest's clock counts 1 ns for each.\n".into(),
        other => format!("Times are those of the guest's clock, under {other}.\n"),
    }
}

fn of_record(record: &BenchRecord) -> String {
    let setup = &record.setup;
    let mut text = format!("{} on {} ({})\n", record.scenario, record.kernel.spec, record.kernel.release);
    let server = setup.server.name();
    let options = if setup.mount.options.is_empty() { "kernel's default options" } else { &setup.mount.options };
    text += &format!("  {} entries, NFS {} from {server}, {options}\n", record.entries, setup.mount.version);
    let listings = record.states.first().map_or(0, |state| state.listings);
    let plural = if listings == 1 { "" } else { "s" };
    text += &format!("  medians of {listings} listing{plural} in each state, {:.0} s in all\n", record.wall_seconds);
    let heads = record.states.iter().map(|state| format!("{:>CELL$}", state.state.name()));
    text += &format!("  {:NAME$}{}\n", "", heads.collect::<String>());
    for (name, called, format) in ROWS {
        text += &row(record, name, called, format);
    }
    text + &memory(record)
}

/// A row, or nothing where nothing of it ever was.
fn row(record: &BenchRecord, name: &str, called: &str, format: Format) -> String {
    let of = |state: &StateRecord| state.medians.get(name).copied().unwrap_or(0.0);
    if record.states.iter().all(|state| of(state) == 0.0) && !name.starts_with("READDIR") {
        return String::new();
    }
    let cells: String = record.states.iter().map(|state| format!("{:>CELL$}", format(of(state)))).collect();
    format!("  {called:NAME$}{cells}\n")
}

fn memory(record: &BenchRecord) -> String {
    let memory = &record.memory;
    let million = |bytes: i64| number::bytes(bytes as f64 / record.entries.max(1) as f64 * 1e6);
    let mut text = format!(
        "  cached, per million entries: {} of slab, {} of pages\n  left when caches are dropped: {} of slab, {} of pages\n",
        million(memory.slab_held_bytes),
        million(memory.page_held_bytes),
        number::bytes(memory.slab_left_bytes as f64),
        number::bytes(memory.page_left_bytes as f64),
    );
    if let (Some(timed), Some(bare)) = (memory.timed_seconds, memory.bare_seconds) {
        let percent = (timed / bare - 1.0) * 100.0;
        text += &format!("  timing each call adds {percent:.1} % to a bare loop around getdents64\n");
    }
    text
}

fn of_comparison(comparison: &Comparison) -> String {
    let mut text = format!(
        "{}: {} against {}: {}\n  times, {} divided by {}, with 95 % intervals; the margin is {:.0} %\n",
        comparison.scenario,
        comparison.other,
        comparison.base,
        comparison.verdict.name(),
        comparison.other,
        comparison.base,
        comparison.margin * 100.0,
    );
    for state in &comparison.states {
        let shown = |name: &str| state.ratios.get(name).map_or("-".into(), ratio);
        let (word, seconds, wall) = (state.verdict.name(), shown(SECONDS), shown(WALL_SECONDS));
        text += &format!("  {:9} {word:10} {seconds:24} wall {wall}\n", state.state.name());
    }
    text + &differences(comparison)
}

/// Ratios of what is counted, where they are not 1.
fn differences(comparison: &Comparison) -> String {
    let mut text = String::new();
    for state in &comparison.states {
        for (name, called, _) in ROWS {
            let counted = name == RPCS || name == "getdents_calls" || called.trim() == name;
            let changed = state.ratios.get(name).filter(|ratio| counted && (ratio.estimate - 1.0).abs() > 0.01);
            if let Some(changed) = changed {
                text += &format!(
                    "  {:9} {} times as many {}\n",
                    state.state.name(),
                    decimal(changed.estimate),
                    called.trim()
                );
            }
        }
    }
    text
}

fn of_growth(growths: &[Growth]) -> String {
    let mut text = String::from("Growth with the number of entries n\n");
    for growth in growths {
        let state = growth.state.map_or(String::new(), |state| format!(", {}", state.name()));
        let (what, format): (&str, Format) = match growth.what.as_str() {
            SECONDS => ("time", time),
            RPCS => ("RPCs", count),
            _ => ("memory held", number::bytes),
        };
        let Ratio { estimate, low, high } = growth.exponent;
        text += &format!("  {what}{state}: {}\n", growth.called);
        text += &format!("    n^{estimate:.2} ({low:.2} to {high:.2}), last step n^{:.2}\n", growth.last_step);
        let points: Vec<String> = growth.points.iter().map(|(n, y)| format!("{n}: {}", format(*y))).collect();
        text += &format!("    {}\n", points.join(", "));
    }
    text
}

/// `1.101 (1.099 to 1.103)`.
fn ratio(ratio: &Ratio) -> String {
    format!("{} ({} to {})", decimal(ratio.estimate), decimal(ratio.low), decimal(ratio.high))
}

fn decimal(number: f64) -> String {
    let digits = match number.abs() {
        n if n < 10.0 => 3,
        n if n < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}")
}

/// `12`, `8190`, `1.23 M`.
fn count(number: f64) -> String {
    match number {
        n if n < 1e5 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0} k", n / 1e3),
        n => format!("{:.2} M", n / 1e6),
    }
}

/// `0`, `12.3 us`, `1.23 ms`, `4.56 s`.
fn time(seconds: f64) -> String {
    match seconds {
        0.0 => "0".into(),
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::record::{KernelId, SCHEMA, StateComparison, Word};
    use super::*;
    use crate::guest::timed::{CacheState, Footprint};
    use std::collections::BTreeMap;

    fn file() -> BenchFile {
        let medians: BTreeMap<String, f64> = ROWS.iter().map(|(name, ..)| ((*name).to_owned(), 123_456.789)).collect();
        let record = BenchRecord {
            scenario: "huge-flat".into(),
            kernel: KernelId { spec: "6.1+slow-readdir".into(), release: "6.1.192".into(), ..KernelId::default() },
            entries: 100_000,
            seed: 42,
            setup: crate::scenario::load("huge-flat").unwrap(),
            wall_seconds: 12.3,
            states: CacheState::ALL.map(|state| StateRecord { state, listings: 2, medians: medians.clone() }).to_vec(),
            memory: Footprint { timed_seconds: Some(1.02), bare_seconds: Some(1.0), ..Footprint::default() },
            listings: Vec::new(),
        };
        let ratio = Ratio { estimate: 1.1, low: 1.09, high: 1.11 };
        let ratios: BTreeMap<String, Ratio> = ROWS.iter().map(|(name, ..)| ((*name).to_owned(), ratio)).collect();
        let states =
            CacheState::ALL.map(|state| StateComparison { state, verdict: Word::Slower, ratios: ratios.clone() });
        let comparison = Comparison {
            scenario: "huge-flat".into(),
            base: "6.1".into(),
            other: "6.1+slow-readdir".into(),
            margin: 0.05,
            verdict: Word::Slower,
            states: states.to_vec(),
        };
        let growth = |what: &str, state| Growth {
            scenario: "huge-flat".into(),
            kernel: "6.1".into(),
            what: what.into(),
            state,
            points: [1_000, 10_000, 100_000, 1_000_000].map(|n| (n, n as f64 * 1.234_567e-3)).to_vec(),
            exponent: Ratio { estimate: -1.05, low: -1.23, high: -0.87 },
            last_step: -1.01,
            called: "more than quadratic".into(),
        };
        BenchFile {
            bench: SCHEMA,
            dirleak: "0.1.0".into(),
            command_line: Vec::new(),
            machine: Machine::default(),
            accelerator: "tcg-icount".into(),
            results: vec![record],
            comparisons: vec![comparison],
            growth: vec![growth(SECONDS, Some(CacheState::Changing)), growth("memory_bytes", None)],
        }
    }

    #[test]
    fn everything_fits_a_terminal() {
        let text = of(&file());
        for line in text.lines() {
            assert!(line.chars().count() <= crate::report::table::WIDTH, "{} columns: {line}", line.chars().count());
        }
        for words in ["huge-flat: 6.1+slow-readdir against 6.1: slower", "cold      slower     1.100 (1.090 to 1.110)"]
        {
            assert!(text.contains(words), "{words} is missing in\n{text}");
        }
    }

    #[test]
    fn figures_have_the_unit_that_fits() {
        for (seconds, expected) in [(0.0, "0"), (0.000_012_3, "12.3 us"), (0.0123, "12.30 ms"), (1.234, "1.23 s")] {
            assert_eq!(time(seconds), expected);
        }
        for (number, expected) in [(12.0, "12"), (99_999.0, "99999"), (123_456.0, "123 k"), (1_234_567.0, "1.23 M")] {
            assert_eq!(count(number), expected);
        }
    }

    #[test]
    fn what_never_was_has_no_row_and_calls_of_readdir_always_do() {
        let mut file = file();
        file.comparisons.clear();
        file.results[0].states.iter_mut().for_each(|state| state.medians.clear());
        let text = of(&file);
        assert!(text.contains("READDIRPLUS") && !text.contains("LOOKUP"), "{text}");
    }
}
