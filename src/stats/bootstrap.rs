//! Medians, ratios of medians, and how far chance may have moved them: the bootstrap (Efron 1979).
//!
//! The measurements of either kernel are drawn from themselves with replacement, as many as there are, and the ratio of the medians is
//! taken; of many such ratios all but the outermost are the interval. No distribution is assumed. Percentiles of draws of few
//! measurements are too narrow, so they are taken farther out, by as much as Student's t is wider than the normal distribution
//! (Hesterberg 2015, "What teachers should know about the bootstrap", the expanded percentile interval). Of fewer than [`FEW`] there are too
//! few different draws for that, and Student's interval of the logarithms is taken where it is wider. Two boots of one kernel differ by
//! more than two listings within a boot, so that an interval is never narrower than [`BOOTS`].

use super::estimate::{Estimate, median};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Ratios that are drawn.
const DRAWS: usize = 4000;
/// Measurements of which too few different draws can be made.
const FEW: usize = 8;
/// By how much two boots of one kernel differ, as a part: see `docs/bench.md` for how it was measured.
pub const BOOTS: f64 = 0.002;

/// Returns the median of `other` divided by that of `base`, with an interval that misses the true ratio with a probability of `error`;
/// `None` if there is nothing to divide by. Of a single measurement of either nothing is known but [`BOOTS`].
pub fn ratio(base: &[f64], other: &[f64], error: f64, seed: u64) -> Option<Estimate> {
    let middle = |figures: &[f64]| median(figures.iter().copied()).unwrap_or_default();
    let estimate = divided(middle(other), middle(base))?;
    let mut lots = ChaCha8Rng::seed_from_u64(seed);
    let mut drawn: Vec<f64> = (0..DRAWS)
        .filter_map(|_| divided(middle(&redrawn(other, &mut lots)), middle(&redrawn(base, &mut lots))))
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let tail = tail(base.len().min(other.len()), error);
    let at = |share: f64| drawn[((drawn.len() - 1) as f64 * share).round() as usize];
    let (low, high) = if drawn.is_empty() { (estimate, estimate) } else { (at(tail), at(1.0 - tail)) };
    let factor = few_listings_factor(base, other, error).unwrap_or(1.0).max(1.0 + BOOTS);
    Some(Estimate { estimate, low: low.min(estimate / factor), high: high.max(estimate * factor) })
}

/// Returns the share of draws that lies outside of the interval at either end, of so many measurements.
fn tail(measurements: usize, error: f64) -> f64 {
    if measurements < 2 {
        return 0.0;
    }
    let n = measurements as f64;
    let normal = Normal::new(0.0, 1.0).expect("the deviation is positive");
    normal.cdf(-student(n - 1.0, error) * (n / (n - 1.0)).sqrt())
}

/// Returns by what factor the ratio of few measurements may be off, by the scatter of their logarithms; `None` if they are not few.
fn few_listings_factor(base: &[f64], other: &[f64], error: f64) -> Option<f64> {
    let measurements = base.len().min(other.len());
    if !(2..FEW).contains(&measurements) || base.iter().chain(other).any(|figure| *figure <= 0.0) {
        return None;
    }
    let variance_of_mean = |figures: &[f64]| {
        let n = figures.len() as f64;
        let mean = figures.iter().map(|figure| figure.ln()).sum::<f64>() / n;
        figures.iter().map(|figure| (figure.ln() - mean).powi(2)).sum::<f64>() / (n - 1.0) / n
    };
    let deviation = (variance_of_mean(base) + variance_of_mean(other)).sqrt();
    // As few degrees of freedom as the smaller of both has: their scatters may differ.
    Some((student(measurements as f64 - 1.0, error) * deviation).exp())
}

fn student(freedom: f64, error: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive").inverse_cdf(1.0 - error / 2.0)
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
        let ratio = ratio(&[2.0; 4], &[3.0; 4], 0.05, 1).unwrap();
        assert_eq!(ratio.estimate, 1.5);
        assert!((ratio.high - 1.5 * (1.0 + BOOTS)).abs() < 1e-12, "{ratio:?}");
        assert!((ratio.low - 1.5 / (1.0 + BOOTS)).abs() < 1e-12, "{ratio:?}");
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(ratio(&[0.0; 3], &[1.0; 3], 0.05, 1), None);
        assert_eq!(ratio(&[], &[1.0], 0.05, 1), None);
        assert_eq!(ratio(&[1.0], &[0.0], 0.05, 1).unwrap().estimate, 0.0);
    }

    /// Draws noise with a standard deviation of 10 %, anew each time.
    #[test]
    fn interval_contains_the_true_ratio_as_often_as_it_says() {
        let mut lots = ChaCha8Rng::seed_from_u64(7);
        let mut noisy = |center: f64, listings: usize| -> Vec<f64> {
            // The sum of twelve even draws has variance 1 (Irwin-Hall).
            let normal = |lots: &mut ChaCha8Rng| (0..12).map(|_| lots.random_range(0.0..1.0)).sum::<f64>() - 6.0;
            (0..listings).map(|_| center * (1.0 + 0.1 * normal(&mut lots))).collect()
        };
        // Two listings are the fewest that are compared, ten the fewest by a real clock; 0.0025 is 5 % for four states at five looks.
        for (listings, error, runs) in
            [(2, 0.05, 400), (4, 0.05, 400), (10, 0.05, 400), (30, 0.05, 200), (10, 0.0025, 400)]
        {
            let mut contains = |n: u64| {
                let ratio = ratio(&noisy(1.0, listings), &noisy(1.2, listings), error, n).unwrap();
                (ratio.low..=ratio.high).contains(&1.2)
            };
            let missed = (0..runs).filter(|n| !contains(*n)).count() as f64;
            // And 2.3 standard deviations of what is counted: one in a hundred.
            let expected = error * runs as f64;
            assert!(missed <= expected + 2.3 * expected.sqrt(), "{missed} of {runs}, {listings} listings at {error}");
        }
    }

    #[test]
    fn interval_of_many_that_agree_is_narrower_than_that_of_few() {
        let figures = |n: usize| (0..n).map(|i| 1.0 + 0.01 * (i % 5) as f64).collect::<Vec<_>>();
        let width = |n: usize| {
            let ratio = ratio(&figures(n), &figures(n), 0.05, 1).unwrap();
            ratio.high - ratio.low
        };
        assert!(width(60) < 0.7 * width(5), "{} and {}", width(60), width(5));
    }

    #[test]
    fn share_of_draws_outside_is_that_of_expanded_percentiles() {
        // The normal distribution beyond t of n - 1 degrees of freedom, 2.776, 2.262 and 2.093 in any table, times the root of n/(n - 1).
        for (measurements, share) in [(5, 0.00096), (10, 0.00856), (20, 0.01588)] {
            let tail = tail(measurements, 0.05);
            assert!((tail / share - 1.0).abs() < 0.01, "{tail} of {measurements}");
        }
        // Between two t is 1 at a quarter, and the normal distribution has 7.86 % beyond the root of 2.
        assert!((tail(2, 0.5) - 0.0786).abs() < 1e-4, "{}", tail(2, 0.5));
        assert_eq!(tail(1, 0.05), 0.0);
    }

    #[test]
    fn few_listings_are_off_by_the_scatter_of_their_logarithms() {
        let of = |logarithms: &[f64]| logarithms.iter().map(|l| l.exp()).collect::<Vec<_>>();
        let factor = |base: &[f64], other: &[f64]| few_listings_factor(base, other, 0.5);
        // Variances of the means are 1 and 0, and t of one degree of freedom is 1 at a quarter.
        let one = factor(&of(&[0.0, 2.0]), &of(&[1.0, 1.0])).unwrap();
        assert!((one.ln() - 1.0).abs() < 1e-9, "{one}");
        // They are 1 each, and t of two is 0.8165.
        let three = factor(&of(&[0.0, 0.0, 3.0]), &of(&[0.0, 3.0, 0.0])).unwrap();
        assert!((three.ln() - 0.8165 * 2.0_f64.sqrt()).abs() < 1e-3, "{three}");
        for (base, other) in
            [(vec![2.0; FEW], vec![3.0; FEW]), (vec![2.0], vec![3.0; 2]), (vec![2.0, 0.0], vec![3.0; 2])]
        {
            assert_eq!(factor(&base, &other), None, "{base:?} and {other:?}");
        }
    }
}
