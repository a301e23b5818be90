//! How the figures of a bench are written, wherever they are shown: which of them, what they are called, and in what unit.

use crate::result::bench::{BenchRecord, StateComparison, StateRecord};
use crate::result::bench_metrics::{RPCS, SECONDS, WALL_SECONDS, series};
use crate::stats::estimate::Estimate;
use crate::text::number;

/// How a figure is written.
pub type Format = fn(f64) -> String;

/// A figure: the name of its median, what it is called, how it is written. Parts of the one before are indented.
pub type Row = (&'static str, &'static str, Format);

/// What is shown of each state, in this order: name of the median, what it is called, how it is written.
pub const ROWS: [Row; 21] = [
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

/// Returns the rows of a record; of what never was there is none, and calls of READDIR always have one.
pub fn rows(record: &BenchRecord) -> impl Iterator<Item = Row> {
    let never = |name: &str| record.states.iter().all(|state| median(state, name) == 0.0);
    ROWS.into_iter().filter(move |(name, ..)| name.starts_with("READDIR") || !never(name))
}

/// Returns a median; 0 of what was not measured.
pub fn median(state: &StateRecord, name: &str) -> f64 {
    state.medians.get(name).copied().unwrap_or(0.0)
}

/// Returns the least and the most of the listings in a state, if they differ.
pub fn range(record: &BenchRecord, state: &StateRecord, name: &str) -> Option<(f64, f64)> {
    let figures = series(&record.listings, state.state, name);
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least < most).then_some((least, most))
}

/// Says what times are.
pub fn clock(accelerator: &str) -> String {
    match accelerator {
        "tcg-icount" => "Times are instructions: the guest's clock counts 1 ns for each.".into(),
        other => format!("Times are those of the guest's clock, under {other}."),
    }
}

/// Returns what is counted and differs in a state: `2.000 times as many READDIR`.
pub fn differences(state: &StateComparison) -> Vec<String> {
    let changed = |(name, called, _): &Row| {
        let counted = *name == RPCS || *name == "getdents_calls" || called.trim() == *name;
        let ratio = state.ratios.get(*name).filter(|ratio| counted && (ratio.estimate - 1.0).abs() > 0.01)?;
        Some(format!("{} times as many {}", decimal(ratio.estimate), called.trim()))
    };
    ROWS.iter().filter_map(changed).collect()
}

/// Returns a ratio with its bounds: `1.101 (1.099 to 1.103)`.
pub fn ratio(ratio: &Estimate) -> String {
    format!("{} ({} to {})", decimal(ratio.estimate), decimal(ratio.low), decimal(ratio.high))
}

pub fn decimal(number: f64) -> String {
    let digits = match number.abs() {
        n if n < 10.0 => 3,
        n if n < 100.0 => 1,
        _ => 0,
    };
    format!("{number:.digits$}")
}

/// Returns a count: `12`, `8190`, `1.23 M`.
pub fn count(number: f64) -> String {
    match number {
        n if n < 1e5 => format!("{n:.0}"),
        n if n < 1e6 => format!("{:.0} k", n / 1e3),
        n => format!("{:.2} M", n / 1e6),
    }
}

/// Returns a time: `0`, `12.3 us`, `1.23 ms`, `4.56 s`.
pub fn time(seconds: f64) -> String {
    match seconds {
        0.0 => "0".into(),
        s if s < 1e-3 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_fits() {
        for (seconds, expected) in [(0.0, "0"), (0.000_012_3, "12.3 us"), (0.0123, "12.30 ms"), (1.234, "1.23 s")] {
            assert_eq!(time(seconds), expected);
        }
        for (number, expected) in [(12.0, "12"), (99_999.0, "99999"), (123_456.0, "123 k"), (1_234_567.0, "1.23 M")] {
            assert_eq!(count(number), expected);
        }
    }
}
