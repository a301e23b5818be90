//! What the figures of a bench are called, and what a ratio of them comes to.

use super::bench::{BenchVerdict, Comparison, Measured, StateComparison};
use crate::protocol::timing::CacheState;
use crate::stats::estimate::Estimate;
use std::collections::BTreeMap;

/// Returns the word for a ratio of times: `slower` if all of its interval is beyond the margin, `same` if all of it is within.
pub fn verdict(ratio: &Estimate, margin: f64) -> BenchVerdict {
    let (fast, slow) = (1.0 / (1.0 + margin), 1.0 + margin);
    if ratio.low > slow {
        BenchVerdict::Slower
    } else if ratio.high < fast {
        BenchVerdict::Faster
    } else if ratio.low >= fast && ratio.high <= slow {
        BenchVerdict::Same
    } else {
        BenchVerdict::Undecided
    }
}

/// Returns whether `other` is slower than `base` by more than `percent`, in any state; `Undecided` if that cannot be said.
pub fn is_slower_by(comparison: &Comparison, percent: f64) -> BenchVerdict {
    let words: Vec<BenchVerdict> = comparison.states.iter().map(|state| is_state_slower_by(state, percent)).collect();
    let worst = [BenchVerdict::Slower, BenchVerdict::Undecided].into_iter().find(|word| words.contains(word));
    worst.unwrap_or(if words.is_empty() { BenchVerdict::Undecided } else { BenchVerdict::Same })
}

/// Returns the same in one state.
pub fn is_state_slower_by(state: &StateComparison, percent: f64) -> BenchVerdict {
    let limit = 1.0 + percent / 100.0;
    match state.ratios.get(SECONDS) {
        Some(ratio) if ratio.low > limit => BenchVerdict::Slower,
        Some(ratio) if ratio.high <= limit => BenchVerdict::Same,
        _ => BenchVerdict::Undecided,
    }
}

/// The time of a listing by the guest's clock, on which verdicts rest.
pub const SECONDS: &str = "seconds";

/// The same by the host's clock.
pub const WALL_SECONDS: &str = "wall_seconds";

/// All calls of the procedures below.
pub const RPCS: &str = "rpcs";

/// The procedures that listing makes calls of.
pub const PROCEDURES: [&str; 5] = ["READDIR", "READDIRPLUS", "GETATTR", "LOOKUP", "ACCESS"];

/// Returns what is known of one listing, by name.
pub fn figures(measured: &Measured) -> BTreeMap<String, f64> {
    let listing = &measured.listing;
    let calls = |name: &str| listing.operations.get(name).map_or(0.0, |operation| operation.calls as f64);
    let sum =
        |of: fn(&crate::probe::mountstats::Operation) -> u64| listing.operations.values().map(of).sum::<u64>() as f64;
    let plain = [
        (SECONDS, listing.seconds),
        (WALL_SECONDS, measured.wall_seconds),
        ("names_per_second", listing.entries as f64 / listing.seconds.max(f64::MIN_POSITIVE)),
        ("first_entry_seconds", listing.first_entry_seconds),
        ("entries", listing.entries as f64),
        ("getdents_calls", listing.getdents.calls as f64),
        ("getdents_median_seconds", listing.getdents.median_seconds),
        ("getdents_p99_seconds", listing.getdents.p99_seconds),
        ("getdents_max_seconds", listing.getdents.max_seconds),
        (RPCS, sum(|operation| operation.calls)),
        ("sent_bytes", sum(|operation| operation.sent_bytes)),
        ("received_bytes", sum(|operation| operation.received_bytes)),
        ("server_seconds", sum(|operation| operation.reply_ms) / 1e3),
        ("thread_system_seconds", listing.thread_system_seconds),
        ("guest_system_seconds", listing.guest.system_seconds),
        ("guest_user_seconds", listing.guest.user_seconds),
        ("changes", listing.changes as f64),
    ];
    let procedures = PROCEDURES.map(|name| (name, calls(name)));
    plain.into_iter().chain(procedures).map(|(name, figure)| (name.to_owned(), figure)).collect()
}

/// Returns all figures of one name in one state, in the order in which they were measured.
pub fn series(listings: &[Measured], state: CacheState, name: &str) -> Vec<f64> {
    let of_state = listings.iter().filter(|measured| measured.listing.state == state);
    of_state.filter_map(|measured| figures(measured).remove(name)).collect()
}
