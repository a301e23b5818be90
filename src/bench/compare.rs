//! One kernel against another, or against what was measured before: ratios, and the word for them.

use crate::protocol::timing::CacheState;
use crate::result::bench::{BenchRecord, BenchVerdict, Comparison, Measured, StateComparison};
use crate::result::bench_metrics::{SECONDS, figures, series, verdict};
use crate::stats::bootstrap::ratio;
use crate::stats::estimate::Estimate;

/// Looks of a bench at most, if its budget allows all of them.
pub const MOST_LOOKS: usize = 4;
/// Probability with which some interval of the time of some state, at some look, does not contain the true ratio.
const ERROR: f64 = 0.05;
/// How often it is looked at whether all is decided, at most; and once more where the budget ends it.
const LOOKS: usize = MOST_LOOKS + 1;

/// Compares `other` with `base`, state by state.
pub fn compare(base: &BenchRecord, other: &BenchRecord, margin: f64) -> Comparison {
    let states = by_state(&base.listings, &other.listings, margin, base.seed);
    let verdict = together(states.iter().map(|state| state.verdict));
    Comparison {
        scenario: base.scenario.clone(),
        base: base.kernel.spec.clone(),
        other: other.kernel.spec.clone(),
        margin,
        verdict,
        states,
    }
}

/// Returns whether the word of each state is said; this alone is asked after every round.
pub fn is_decided(base: &[Measured], other: &[Measured], margin: f64) -> bool {
    let error = error_of_one(base, other);
    in_both(base, other).all(|state| {
        let seconds = ratio(&series(base, state, SECONDS), &series(other, state, SECONDS), error, 0);
        seconds.is_some_and(|ratio| verdict(&ratio, margin) != BenchVerdict::Undecided)
    })
}

/// Returns the error of one interval, so that those of all states at all looks hold together.
fn error_of_one(base: &[Measured], other: &[Measured]) -> f64 {
    ERROR / (in_both(base, other).count().max(1) * LOOKS) as f64
}

/// Returns the states in which both were measured.
fn in_both(base: &[Measured], other: &[Measured]) -> impl Iterator<Item = CacheState> {
    let is_in = |listings: &[Measured], state| listings.iter().any(|measured| measured.listing.state == state);
    CacheState::ALL.into_iter().filter(move |state| is_in(base, *state) && is_in(other, *state))
}

/// Returns each state in which both were measured.
fn by_state(base: &[Measured], other: &[Measured], margin: f64, seed: u64) -> Vec<StateComparison> {
    let error = error_of_one(base, other);
    in_both(base, other)
        .map(|state| {
            let names = base.first().map(figures).unwrap_or_default().into_keys();
            let ratios: std::collections::BTreeMap<String, Estimate> = names
                .filter_map(|name| {
                    let ratio = ratio(&series(base, state, &name), &series(other, state, &name), error, seed)?;
                    Some((name, ratio))
                })
                .collect();
            let verdict = ratios.get(SECONDS).map_or(BenchVerdict::Undecided, |ratio| verdict(ratio, margin));
            StateComparison { state, verdict, ratios }
        })
        .collect()
}

/// Returns what the words of all states come to: a kernel that is slower in one of them is slower.
fn together(words: impl Iterator<Item = BenchVerdict>) -> BenchVerdict {
    let words: Vec<BenchVerdict> = words.collect();
    let first = [BenchVerdict::Slower, BenchVerdict::Undecided, BenchVerdict::Faster]
        .into_iter()
        .find(|word| words.contains(word));
    match first {
        Some(word) => word,
        None if words.is_empty() => BenchVerdict::Undecided,
        None => BenchVerdict::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::bench_metrics::is_slower_by;

    fn bounds(low: f64, high: f64) -> Estimate {
        Estimate { estimate: f64::midpoint(low, high), low, high }
    }

    #[test]
    fn interval_must_lie_on_one_side_of_the_margin() {
        for (low, high, expected) in [
            (1.06, 1.2, BenchVerdict::Slower),
            (1.04, 1.2, BenchVerdict::Undecided),
            (0.97, 1.04, BenchVerdict::Same),
            (0.9, 0.95, BenchVerdict::Faster),
            (0.9, 0.97, BenchVerdict::Undecided),
            (0.5, 2.0, BenchVerdict::Undecided),
        ] {
            assert_eq!(verdict(&bounds(low, high), 0.05), expected, "{low} to {high}");
        }
    }

    #[test]
    fn kernel_that_is_slower_in_one_state_is_slower() {
        let verdict_of = |words: &[BenchVerdict]| together(words.iter().copied());
        assert_eq!(verdict_of(&[BenchVerdict::Same, BenchVerdict::Faster, BenchVerdict::Slower]), BenchVerdict::Slower);
        assert_eq!(
            verdict_of(&[BenchVerdict::Same, BenchVerdict::Faster, BenchVerdict::Undecided]),
            BenchVerdict::Undecided
        );
        assert_eq!(verdict_of(&[BenchVerdict::Same, BenchVerdict::Faster]), BenchVerdict::Faster);
        assert_eq!(verdict_of(&[BenchVerdict::Same, BenchVerdict::Same]), BenchVerdict::Same);
        assert_eq!(verdict_of(&[]), BenchVerdict::Undecided);
    }

    #[test]
    fn limit_is_passed_only_by_a_whole_interval() {
        let comparison = |low, high| Comparison {
            scenario: "x".into(),
            base: "a".into(),
            other: "b".into(),
            margin: 0.05,
            verdict: BenchVerdict::Same,
            states: vec![StateComparison {
                state: CacheState::Cold,
                verdict: BenchVerdict::Same,
                ratios: [(SECONDS.to_owned(), bounds(low, high))].into(),
            }],
        };
        assert_eq!(is_slower_by(&comparison(1.11, 1.2), 10.0), BenchVerdict::Slower);
        assert_eq!(is_slower_by(&comparison(1.09, 1.2), 10.0), BenchVerdict::Undecided);
        assert_eq!(is_slower_by(&comparison(0.9, 1.09), 10.0), BenchVerdict::Same);
    }
}
