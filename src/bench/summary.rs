//! Medians of what the listings in one state took.

use crate::protocol::timing::CacheState;
use crate::result::bench::{Measured, StateRecord};
use crate::result::bench_metrics::{figures, series};
use crate::stats::estimate::median;

/// Returns one record for each state that was measured, in the order of the states.
pub fn states(listings: &[Measured]) -> Vec<StateRecord> {
    let count = |state| listings.iter().filter(|measured| measured.listing.state == state).count() as u64;
    let measured = CacheState::ALL.into_iter().filter(|state| count(*state) > 0);
    measured
        .map(|state| {
            let names = listings.first().map(figures).unwrap_or_default().into_keys();
            let middle = |name: &str| median(series(listings, state, name)).unwrap_or_default();
            let medians = names.map(|name| (name.clone(), middle(&name))).collect();
            StateRecord { state, listings: count(state), medians }
        })
        .collect()
}
