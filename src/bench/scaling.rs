//! How time, calls and memory grow with the number of entries: a power of it, by least squares between logarithms.

use crate::protocol::timing::CacheState;
use crate::result::bench::{BenchRecord, Growth};
use crate::result::bench_metrics::{RPCS, SECONDS};
use crate::stats::estimate::Estimate;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Sizes of directories.
pub const SIZES: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// How sure the bounds of an exponent are, at either end.
const QUANTILE: f64 = 0.975;
/// What memory is called.
pub const MEMORY: &str = "memory_bytes";

/// Returns what grows, of one scenario on one kernel in several sizes, the smallest first.
pub fn growths(records: &[BenchRecord]) -> Vec<Growth> {
    let Some(first) = records.first() else { return Vec::new() };
    let states = first.states.iter().map(|state| state.state);
    let timed = states.flat_map(|state| [SECONDS, RPCS].map(|what| (what, Some(state))));
    timed.chain([(MEMORY, None)]).filter_map(|(what, state)| growth(records, what, state)).collect()
}

fn growth(records: &[BenchRecord], what: &str, state: Option<CacheState>) -> Option<Growth> {
    let points: Vec<(u64, f64)> = records.iter().filter_map(|r| Some((r.entries, figure(r, what, state)?))).collect();
    let (exponent, last_step) = exponent(&points)?;
    Some(Growth {
        scenario: records[0].scenario.clone(),
        kernel: records[0].kernel.spec.clone(),
        what: what.to_owned(),
        state,
        points,
        exponent,
        last_step,
        called: called(&exponent, last_step).to_owned(),
    })
}

fn figure(record: &BenchRecord, what: &str, state: Option<CacheState>) -> Option<f64> {
    let Some(state) = state else {
        return Some((record.memory.slab_held_bytes + record.memory.page_held_bytes) as f64);
    };
    record.states.iter().find(|found| found.state == state)?.medians.get(what).copied()
}

/// Returns the slope between logarithms with its bounds, and the slope of the last two points; `None` for fewer than three
/// points that have logarithms, through which anything fits.
pub fn exponent(points: &[(u64, f64)]) -> Option<(Estimate, f64)> {
    let logs: Vec<(f64, f64)> =
        points.iter().filter(|(n, y)| *n > 0 && *y > 0.0).map(|(n, y)| ((*n as f64).ln(), y.ln())).collect();
    let [.., (x1, y1), (x2, y2)] = logs.as_slice() else { return None };
    let freedom = logs.len().checked_sub(2).filter(|freedom| *freedom > 0)? as f64;
    let count = logs.len() as f64;
    let (mean_x, mean_y) =
        (logs.iter().map(|p| p.0).sum::<f64>() / count, logs.iter().map(|p| p.1).sum::<f64>() / count);
    let spread: f64 = logs.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let slope = logs.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum::<f64>() / spread;
    let squares: f64 = logs.iter().map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).powi(2)).sum();
    let error = (squares / freedom / spread).sqrt();
    let half = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(QUANTILE) * error;
    Some((Estimate { estimate: slope, low: slope - half, high: slope + half }, (y2 - y1) / (x2 - x1)))
}

/// Returns how growth is called. What is there however small a directory is makes the line flatter than it is where it
/// matters, so the last step counts if it is steeper.
fn called(exponent: &Estimate, last_step: f64) -> &'static str {
    match exponent.estimate.max(last_step) {
        e if e < 0.25 => "constant",
        e if e < 0.75 => "less than linear",
        e if e < 1.25 => "linear",
        e if e < 1.75 => "more than linear",
        e if e < 2.25 => "quadratic",
        _ => "more than quadratic",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(f: impl Fn(f64) -> f64) -> (Estimate, f64, &'static str) {
        let points: Vec<(u64, f64)> = SIZES.iter().map(|n| (*n, f(*n as f64))).collect();
        let (ratio, last) = exponent(&points).unwrap();
        (ratio, last, called(&ratio, last))
    }

    #[test]
    fn power_of_an_exact_law_is_found_again() {
        for (power, name) in [
            (0.0, "constant"),
            (0.5, "less than linear"),
            (1.0, "linear"),
            (1.5, "more than linear"),
            (2.0, "quadratic"),
        ] {
            let (ratio, last, called) = fitted(|n| 3e-6 * n.powf(power));
            assert!((ratio.estimate - power).abs() < 1e-9 && (ratio.high - ratio.low) < 1e-6, "{ratio:?}");
            assert!((last - power).abs() < 1e-9);
            assert_eq!(called, name);
        }
    }

    #[test]
    fn growth_that_becomes_quadratic_is_called_so() {
        let (ratio, last, called) = fitted(|n| 1e-6 * n + 1e-10 * n * n);
        assert!(ratio.estimate < 1.75 && last > 1.9, "{ratio:?} {last}");
        assert_eq!(called, "quadratic");
    }

    #[test]
    fn constant_part_does_not_hide_that_the_rest_is_linear() {
        let (ratio, _, called) = fitted(|n| 0.01 + 1e-6 * n);
        assert!(ratio.low < 1.0 && ratio.estimate < 0.75, "{ratio:?}");
        assert_eq!(called, "linear");
    }

    #[test]
    fn bounds_are_wide_where_times_scatter_and_contain_the_truth() {
        let points = [(1_000, 1.1e-3), (10_000, 0.9e-2), (100_000, 1.1e-1), (1_000_000, 0.95)];
        let (ratio, _) = exponent(&points).unwrap();
        assert!(ratio.low < 1.0 && 1.0 < ratio.high && ratio.high - ratio.low > 0.05, "{ratio:?}");
    }

    #[test]
    fn line_through_two_points_or_through_nothing_is_not_drawn() {
        assert_eq!(exponent(&[(1000, 1.0), (10_000, 2.0)]), None);
        assert_eq!(exponent(&[(1000, 0.0), (10_000, 0.0), (100_000, 0.0), (1_000_000, 1.0)]), None);
    }
}
