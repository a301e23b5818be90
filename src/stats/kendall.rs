//! Whether what was only watched follows the dose: nobody chose the doses, and nothing was brought to rest.
//!
//! The slope is Theil and Sen's, its bounds are Sen's (1968): those ranks of all slopes between which, by the distribution of
//! Kendall's score, the true one lies. They assume that intervals are independent of each other and nothing of how growth is
//! distributed. Equal doses tell nothing of a slope and are left out, as Kendall's variance is told (Kendall 1970, section 4).
//! What they cannot tell is whether the dose is the cause: whatever comes with it has the same slope.

use super::estimate::{CONFIDENCE, Estimate, median};
use statrs::distribution::{ContinuousCDF, Normal};

/// Fewer intervals say nothing.
pub const LEAST_INTERVALS: usize = 12;

/// Fits the line through dose and growth of intervals, one of `counters` that are looked at together; `None` if there
/// are too few intervals, or their doses hardly differ.
pub fn follow(points: &[(f64, f64)], counters: usize) -> Option<Estimate> {
    if points.len() < LEAST_INTERVALS {
        return None;
    }
    let mut slopes = slopes(points);
    slopes.sort_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / (2.0 * counters.max(1) as f64);
    let quantile = Normal::standard().inverse_cdf(1.0 - tail);
    let off = (quantile * score_variance(points).sqrt()).ceil();
    let below = (slopes.len() as f64 - off) / 2.0;
    if below < 1.0 {
        return None;
    }
    let place = below.floor() as usize;
    let (low, high) = (slopes[place - 1], slopes[slopes.len() - place]);
    Some(Estimate { estimate: median(slopes)?, low, high })
}

/// Returns the growth per second of what was at these levels at these seconds; `None` of fewer than two.
pub fn per_second(levels: &[(f64, f64)]) -> Option<f64> {
    median(slopes(levels))
}

/// Returns the slopes of all pairs of points of which the first numbers differ.
fn slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| a.0 != b.0).map(|(a, b)| (a.1 - b.1) / (a.0 - b.0)).collect()
}

/// Returns the variance of Kendall's score, given how often each dose came.
fn score_variance(points: &[(f64, f64)]) -> f64 {
    let mut doses: Vec<f64> = points.iter().map(|(dose, _)| *dose).collect();
    doses.sort_by(f64::total_cmp);
    let term = |n: usize| (n * n.saturating_sub(1) * (2 * n + 5)) as f64;
    let ties: f64 = doses.chunk_by(|a, b| a == b).map(|same| term(same.len())).sum();
    (term(points.len()) - ties) / 18.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    /// Makes intervals of bursts and pauses, in which a counter grows by `rate` per call and scatters by 100 objects.
    fn watched(rate: f64, intervals: usize, seed: u64) -> Vec<(f64, f64)> {
        let mut lot = ChaCha8Rng::seed_from_u64(seed);
        let interval = |n: usize| {
            let dose = if n % 4 < 2 { 0.0 } else { f64::from(lot.random_range(20..60)) };
            (dose, rate * dose + lot.random_range(-100.0..100.0))
        };
        (0..intervals).map(interval).collect()
    }

    #[test]
    fn leak_is_within_its_bounds_and_rest_is_not_above_nothing() {
        for seed in 0..50 {
            let leak = follow(&watched(10.0, 60, seed), 125).unwrap();
            assert!(leak.low > 0.0 && leak.low < 10.0 && leak.high > 10.0, "{leak:?}");
            let rest = follow(&watched(0.0, 60, seed), 125).unwrap();
            assert!(rest.low < 0.0 && rest.high > 0.0, "{rest:?}");
        }
    }

    #[test]
    fn line_through_too_little_is_none() {
        assert_eq!(follow(&watched(10.0, LEAST_INTERVALS - 1, 1), 1), None);
        assert_eq!(follow(&vec![(5.0, 50.0); 100], 1), None, "the dose never differed");
        assert_eq!(follow(&watched(10.0, LEAST_INTERVALS, 1), 1_000_000), None, "too few for so many counters");
    }

    #[test]
    fn growth_with_time_alone_does_not_follow_the_dose() {
        let drift: Vec<_> = watched(0.0, 60, 3).into_iter().map(|(dose, growth)| (dose, growth + 500.0)).collect();
        assert!(follow(&drift, 125).unwrap().low < 0.0);
        assert_eq!(per_second(&[(0.0, 5.0), (10.0, 25.0), (20.0, 45.0)]), Some(2.0));
        assert_eq!(per_second(&[(0.0, 5.0)]), None);
    }

    #[test]
    fn bounds_are_the_ranks_that_kendalls_score_gives() {
        // The slope between two of these is the sum of their doses: 1, 2, 3, 3, 4, 4, ... 18, 18, 19, 19, 20, 21. Their score has the variance
        // 12 * 11 * 29 / 18, so 3.94 deviations of 125 counters are 57.5 of 66, and 4.35 of 750 are 63.5.
        let squares: Vec<(f64, f64)> = (0..LEAST_INTERVALS).map(|n| (n as f64, (n * n) as f64)).collect();
        let bounds = |counters| follow(&squares, counters).map(|fit| (fit.low, fit.estimate, fit.high));
        assert_eq!(bounds(125), Some((3.0, 11.0, 19.0)));
        assert_eq!(bounds(750), Some((1.0, 11.0, 21.0)));
        assert_eq!(bounds(1), Some((7.0, 11.0, 15.0)));
    }

    #[test]
    fn doses_that_came_twice_take_from_the_variance_of_the_score() {
        let points = [1.0, 2.0, 2.0, 1.0, 2.0].map(|dose| (dose, 0.0));
        assert_eq!(score_variance(&points), (5.0 * 4.0 * 15.0 - 2.0 * 1.0 * 9.0 - 3.0 * 2.0 * 11.0) / 18.0);
    }
}
