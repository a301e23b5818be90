//! Medians, ratios of medians, and how far chance may have moved them: the bootstrap (Efron 1979).
//!
//! The measurements of either kernel are drawn from themselves with replacement, as many as there are, and the ratio of the medians is
//! taken; of many such ratios the middle 95 % are the interval. No distribution is assumed. Few measurements that happen to agree make
//! it too narrow, and two boots of one kernel differ by more than two listings within a boot, so that an interval is never narrower than
//! [`BOOTS`].

use super::estimate::{Estimate, median};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Ratios that are drawn.
const DRAWS: usize = 2000;
/// What lies outside of the interval at either end.
const TAIL: f64 = 0.025;
/// By how much two boots of one kernel differ, as a part: see `docs/bench.md` for how it was measured.
pub const BOOTS: f64 = 0.002;

/// Returns the median of `other` divided by that of `base`; `None` if there is nothing to divide by.
pub fn ratio(base: &[f64], other: &[f64], seed: u64) -> Option<Estimate> {
    let middle = |figures: &[f64]| median(figures.iter().copied()).unwrap_or_default();
    let estimate = divided(middle(other), middle(base))?;
    let mut lots = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .filter_map(|_| divided(middle(&redrawn(other, &mut lots)), middle(&redrawn(base, &mut lots))))
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| drawn[((drawn.len() - 1) as f64 * share).round() as usize];
    let (low, high) = if drawn.is_empty() { (estimate, estimate) } else { (at(TAIL), at(1.0 - TAIL)) };
    Some(Estimate { estimate, low: low.min(estimate * (1.0 - BOOTS)), high: high.max(estimate * (1.0 + BOOTS)) })
}

fn divided(other: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| other / base)
}

fn redrawn(figures: &[f64], lots: &mut ChaCha8Rng) -> Vec<f64> {
    figures.iter().map(|_| figures[lots.random_range(0..figures.len())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_of_figures_that_agree_is_as_narrow_as_two_boots_are_alike() {
        let ratio = ratio(&[2.0; 4], &[3.0; 4], 1).unwrap();
        assert_eq!(ratio.estimate, 1.5);
        assert!((ratio.high - ratio.low - 2.0 * BOOTS * 1.5).abs() < 1e-12, "{ratio:?}");
    }

    #[test]
    fn ratio_to_nothing_is_none() {
        assert_eq!(ratio(&[0.0; 3], &[1.0; 3], 1), None);
        assert_eq!(ratio(&[], &[1.0], 1), None);
        assert_eq!(ratio(&[1.0], &[0.0], 1).unwrap().estimate, 0.0);
    }

    /// Draws noise with a standard deviation of 10 %, drawn anew each time: 95 of 100 intervals are to contain the true
    /// ratio. Percentiles of a bootstrap of few figures are known to be too narrow, the more so of a median, whose
    /// draws take few values.
    #[test]
    fn intervals_contain_the_true_ratio_most_of_the_time() {
        let mut lots = ChaCha8Rng::seed_from_u64(7);
        let mut noisy = |center: f64| -> Vec<f64> {
            // The sum of twelve even draws has variance 1 (Irwin-Hall).
            let normal = |lots: &mut ChaCha8Rng| (0..12).map(|_| lots.random_range(0.0..1.0)).sum::<f64>() - 6.0;
            (0..12).map(|_| center * (1.0 + 0.1 * normal(&mut lots))).collect()
        };
        let mut contains = |n: u64| {
            let ratio = ratio(&noisy(1.0), &noisy(1.2), n).unwrap();
            (ratio.low..=ratio.high).contains(&1.2)
        };
        let contained = (0..400).filter(|n| contains(*n)).count();
        assert!((360..=400).contains(&contained), "{contained} of 400 intervals contain the true ratio");
    }
}
