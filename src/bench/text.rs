//! A bench as text for a terminal of 80 columns.

use super::compare::word;
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
    ("changes", "changes meanwhile", count),
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
    let server = format!("{:?}", setup.server).to_lowercase();
    let options = if setup.mount.options.is_empty() { "kernel's default options" } else { &setup.mount.options };
    text += &format!("  {} entries, NFS {} from {server}, {options}\n", record.entries, setup.mount.version);
    let listings = record.states.first().map_or(0, |state| state.listings);
    text += &format!("  medians of {listings} listings in each state, {:.0} s in all\n", record.wall_seconds);
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
        let wall = state
            .ratios
            .get(WALL_SECONDS)
            .map_or("-".into(), |wall| format!("{} {}", ratio(wall), word(wall, comparison.margin).name()));
        text += &format!("  {:9} {:10} {:24} wall {wall}\n", state.state.name(), state.verdict.name(), shown(SECONDS));
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
        let state = growth.state.map_or("", |state| state.name());
        let (what, format): (&str, Format) = match growth.what.as_str() {
            SECONDS => ("time", time),
            RPCS => ("RPCs", count),
            _ => ("memory held", number::bytes),
        };
        let exponent = &growth.exponent;
        text += &format!(
            "  {:22} n^{:.2} ({:.2} to {:.2}), last step n^{:.2}: {}\n",
            format!("{what} {state}"),
            exponent.estimate,
            exponent.low,
            exponent.high,
            growth.last_step,
            growth.called
        );
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
