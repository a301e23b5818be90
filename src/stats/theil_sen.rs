//! A line through growth against dose, and how far it can be trusted.
//!
//! The slope is the median of the slopes of all pairs of blocks with different doses (Theil 1950, Sen 1968), which
//! one outlier among many blocks cannot move. Its half-width is `t * s / sqrt(Sxx)`, widened for the estimator's
//! efficiency, where `Sxx` is the spread of the doses and `s` the scatter of one block's growth, taken from three
//! sources: the blocks around their line, the control rounds around theirs, and the difference between the growth
//! that blocks show at dose 0 and the growth that control rounds show. A line through two always fits, so two control
//! rounds are compared with each other. How often this holds is simulated by `tests/statistics.rs`.
//!
//! A counter at rest often shows no scatter at all, and a naive interval of width 0 would call one stray object
//! significant. So `s` is moderated as in Smyth 2004, by what is known of counters at rest: of 2,900 growths measured
//! on Linux 6.1 (24 rounds, 121 caches) 12 were not 0, and those were 1. A counter as quiet as that gets
//! `QUIET_FREEDOM` degrees of freedom from this knowledge; one that has shown more scatter stands on its own, with
//! just enough of it (`NOISY_FREEDOM`) to have a scatter at all: with more, a counter that is noisier by nature would have
//! bounds too narrow. And a block's growth is never trusted to better than `NOISE_OBJECTS`.

use super::estimate::{Estimate, median};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Growth of a block is never known better than this, in objects.
const NOISE_OBJECTS: f64 = 2.0;
/// Scatter that a quiet counter may have, in objects: one stray object in eleven blocks. Measured was a fifth of it.
const QUIET_SCATTER: f64 = 0.3;
/// Weight of that knowledge for a counter that is quiet, in degrees of freedom.
const QUIET_FREEDOM: f64 = 16.0;
/// The same for a counter that is not.
const NOISY_FREEDOM: f64 = 2.0;
/// From this number of blocks on, the one that fits worst is left out of the scatter: a line through so many is not
/// moved by one of them.
const TRIM_FROM: usize = 6;
/// Standard error of the Theil-Sen slope relative to least squares under normal noise (asymptotically).
const THEIL_SEN: f64 = 1.02;

/// One counter of one block.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Units made.
    pub dose: f64,
    /// Growth over dose round and control round.
    pub growth: f64,
    /// Growth over the control round alone.
    pub control: f64,
}

/// How many scatters wide the bounds of a certain number of blocks are, so that all bounds hold together.
#[derive(Clone, Copy, Debug)]
pub struct BoundWidth {
    /// Degrees of freedom that the blocks themselves give.
    freedom: f64,
    quiet: f64,
    noisy: f64,
}

impl BoundWidth {
    /// For `blocks` blocks, so that all of `bounds` bounds hold together with probability `confidence` (Bonferroni).
    pub fn new(blocks: usize, confidence: f64, bounds: f64) -> Self {
        let blocks_freedom = blocks as f64 - 2.0;
        let trimmed = if blocks >= TRIM_FROM { 2.0 } else { 0.0 };
        let freedom = blocks_freedom + blocks_freedom.max(1.0) + 1.0 - trimmed;
        let tail = (1.0 - confidence) / (2.0 * bounds);
        let quantile = |freedom| {
            let t = StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive");
            t.inverse_cdf(1.0 - tail)
        };
        Self { freedom, quiet: quantile(QUIET_FREEDOM + freedom), noisy: quantile(NOISY_FREEDOM + freedom) }
    }

    /// How far two doses must be apart so that `blocks` blocks of them, half of each, whose growth scatters by `scatter` objects
    /// have bounds no farther than `rate` from the estimate.
    pub fn doses_apart(self, blocks: usize, scatter: f64, rate: f64) -> f64 {
        let squares = self.freedom * scatter.powi(2);
        let half_width = THEIL_SEN * self.half_width(&Scatter { blocks: squares, controls: 0.0, drift: 0.0 });
        2.0 * half_width / (rate * (blocks as f64).sqrt())
    }

    /// Half the width of a block's growth, in objects.
    fn half_width(self, scatter: &Scatter) -> f64 {
        let (prior, quantile) =
            if scatter.is_quiet(self.freedom) { (QUIET_FREEDOM, self.quiet) } else { (NOISY_FREEDOM, self.noisy) };
        let variance = (prior * QUIET_SCATTER.powi(2) + scatter.squares()) / (prior + self.freedom);
        (quantile * variance.sqrt()).max(NOISE_OBJECTS)
    }
}

/// The line through at least two points of at least two doses; `None` for fewer.
pub fn fit(points: &[Point], width: BoundWidth) -> Option<Estimate> {
    let blocks = RobustLine::through(points, |p| p.growth)?;
    let controls = RobustLine::through(points, |p| p.control)?;
    let count = points.len() as f64;
    let mean = points.iter().map(|p| p.dose).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|p| (p.dose - mean).powi(2)).sum();
    // A block is two rounds long, so without a dose it grows by twice what a control round does. The control round is one
    // of the two, so this is the difference between the two rounds, and scatters as much as their sum.
    let drift = blocks.intercept - 2.0 * controls.intercept;
    let drift_variance = 1.0 / count + mean * mean / spread;
    // A control round scatters half as much as a block.
    let control_squares = match points {
        [a, b] => (a.control - b.control).powi(2) / 2.0,
        _ => controls.squares,
    };
    let scatter =
        Scatter { blocks: blocks.squares, controls: 2.0 * control_squares, drift: drift * drift / drift_variance };
    let half_width = THEIL_SEN * width.half_width(&scatter) / spread.sqrt();
    let estimate = blocks.slope;
    Some(Estimate { estimate, low: estimate - half_width, high: estimate + half_width })
}

/// Squares of what scatters, by source, summed; a degree of freedom is worth the variance of a block's growth.
struct Scatter {
    blocks: f64,
    controls: f64,
    drift: f64,
}

impl Scatter {
    fn squares(&self) -> f64 {
        self.blocks + self.controls + self.drift
    }

    /// Whether it is no more than that of a counter at rest, and neither is the drift alone: of two blocks that is nearly
    /// all there is, and controls that happen to agree must not make up for it.
    fn is_quiet(&self, freedom: f64) -> bool {
        let variance = QUIET_SCATTER.powi(2);
        self.squares() <= freedom * variance && self.drift <= variance
    }
}

struct RobustLine {
    slope: f64,
    intercept: f64,
    /// Sum of the squares of what is left.
    squares: f64,
}

impl RobustLine {
    fn through(points: &[Point], value: impl Fn(&Point) -> f64) -> Option<Self> {
        let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| (a, b)));
        let differing = pairs.filter(|(a, b)| a.dose != b.dose);
        let slope = median(differing.map(|(a, b)| (value(a) - value(b)) / (a.dose - b.dose)))?;
        let intercept = median(points.iter().map(|p| value(p) - slope * p.dose))?;
        let mut left: Vec<f64> = points.iter().map(|p| (value(p) - intercept - slope * p.dose).powi(2)).collect();
        if left.len() >= TRIM_FROM {
            left.sort_by(f64::total_cmp);
            left.pop();
        }
        Some(Self { slope, intercept, squares: left.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(of: &[(f64, f64, f64)]) -> Vec<Point> {
        of.iter().map(|&(dose, growth, control)| Point { dose, growth, control }).collect()
    }

    fn fitted(of: &[(f64, f64, f64)]) -> Estimate {
        fit(&points(of), BoundWidth::new(of.len(), 0.99, 900.0)).unwrap()
    }

    #[test]
    fn an_exact_leak_has_its_rate_and_narrow_bounds() {
        let fit = fitted(&[(32.0, 800.0, 0.0), (128.0, 3200.0, 0.0), (32.0, 800.0, 0.0)]);
        assert_eq!(fit.estimate, 25.0);
        assert!(fit.low > 24.9 && fit.high < 25.1, "{fit:?}");
    }

    #[test]
    fn one_stray_object_is_not_significant() {
        let fit = fitted(&[(1.0, 0.0, 0.0), (5.0, 1.0, 0.0), (1.0, 0.0, 0.0), (5.0, 1.0, 0.0)]);
        assert!(fit.low < 0.0, "{fit:?}");
    }

    #[test]
    fn growth_in_dose_and_control_alike_is_no_slope() {
        let fit = fitted(&[(32.0, 200.0, 100.0), (128.0, 200.0, 100.0), (128.0, 200.0, 100.0)]);
        assert_eq!(fit.estimate, 0.0);
        assert!(fit.high < 0.1, "{fit:?}");
    }

    #[test]
    fn frees_that_come_a_round_late_cancel() {
        let late = [(32.0, 0.0, -32.0), (128.0, 0.0, -128.0), (128.0, 0.0, -128.0), (32.0, 0.0, -32.0)];
        let fit = fitted(&late);
        assert_eq!(fit.estimate, 0.0);
        assert!(fit.high < 0.1, "{fit:?}");
    }

    #[test]
    fn two_blocks_with_a_step_in_the_larger_dose_are_not_trusted() {
        let fit = fitted(&[(32.0, 0.0, 0.0), (128.0, 177.0, 0.0)]);
        assert!(fit.low < 0.0, "{fit:?}");
    }

    #[test]
    fn two_blocks_whose_controls_differ_are_trusted_less_than_two_whose_controls_do_not() {
        let width = |control| {
            let fit = fitted(&[(4.0, 0.0, 0.0), (12.0, 0.0, control)]);
            fit.high - fit.low
        };
        assert!(width(2.0) > 4.0 * width(0.0), "{} and {}", width(2.0), width(0.0));
    }

    #[test]
    fn one_outlier_among_six_does_not_move_the_rate() {
        let mut of: Vec<_> = [32.0, 128.0, 128.0, 32.0, 32.0, 128.0].iter().map(|&d| (d, 25.0 * d, 0.0)).collect();
        of[2].1 *= 2.0;
        let fit = fitted(&of);
        assert!((fit.estimate - 25.0).abs() < 0.5 && fit.low > 20.0, "{fit:?}");
    }

    #[test]
    fn doses_as_far_apart_as_noise_asks_for_have_bounds_as_narrow() {
        for scatter in [0.1, 5.0, 80.0] {
            let width = BoundWidth::new(6, 0.99, 900.0);
            let apart = width.doses_apart(6, scatter, 0.5);
            // Blocks that scatter around a flat line by that much, and control rounds by half of it, as they do at rest.
            let point = |n: usize| {
                let sign = if (n / 2).is_multiple_of(2) { 1.0 } else { -1.0 };
                (10.0 + apart * (n % 2) as f64, sign * scatter, sign * scatter / 2.0)
            };
            let fit = fitted(&(0..6).map(point).collect::<Vec<_>>());
            assert!(fit.high - fit.estimate <= 0.75, "noise {scatter}, {apart} apart: {fit:?}");
        }
        let near = BoundWidth::new(6, 0.99, 900.0).doses_apart(6, 0.0, 0.5);
        assert!((3.0..4.0).contains(&near), "{near}: a block is never trusted to better than two objects");
    }

    #[test]
    fn one_dose_alone_is_no_line() {
        assert_eq!(fit(&points(&[(3.0, 1.0, 0.0), (3.0, 1.0, 0.0)]), BoundWidth::new(2, 0.99, 900.0)), None);
    }
}
