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
//! `QUIET_FREEDOM` degrees of freedom from this knowledge; one that has shown more scatter stands on its own: several such
//! counters in a run would have bounds too narrow if each got some of it. How far the slope then strays, in units of what
//! scatters, is no Student's t of so many degrees of freedom as there are squares, because blocks and control rounds share
//! readings; `NOISY` has what was found by simulation. And a block's growth is never trusted to better than `NOISE_OBJECTS`.

use super::estimate::{Estimate, median};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Growth of a block is never known better than this, in objects.
const NOISE_OBJECTS: f64 = 2.0;
/// Scatter that a quiet counter may have, in objects: one stray object in eleven blocks. Measured was a fifth of it.
const QUIET_SCATTER: f64 = 0.3;
/// Weight of that knowledge for a counter that is quiet, in degrees of freedom.
const QUIET_FREEDOM: f64 = 16.0;
/// From this number of blocks on, the one that fits worst is left out of the scatter: a line through so many is not
/// moved by one of them.
const TRIM_FROM: usize = 6;
/// Standard error of the Theil-Sen slope relative to least squares under normal noise (asymptotically).
const THEIL_SEN: f64 = 1.02;

/// By how much the bounds of a noisy counter are wider on the average than its scatter says, as few blocks tell little of it: 1.03 to 1.05 in 4,000
/// draws of six blocks with scatters of 5 and 80 objects.
const TOLD_BY_FEW_BLOCKS: f64 = 1.05;

/// Of a counter that is not quiet: from how many blocks on, and the degrees of freedom and the scale of the Student's t that the slope
/// follows, per root of the sum of squares; of all squares, and of those without the largest.
///
/// Found by 12 million simulated counters each of normal noise, independent from round to round or from reading to reading, whichever
/// is worse. The t fits their tails from one in a thousand to one in 60,000 within 1.3 %. The test below finds it again.
const NOISY: [(usize, [f64; 2], Option<[f64; 2]>); 4] = [
    (10, [15.1, 0.247], Some([13.4, 0.329])),
    (6, [8.3, 0.339], Some([6.4, 0.519])),
    (4, [4.9, 0.491], None),
    (2, [2.0, 0.366], None),
];

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
    /// Of a counter that is not quiet, for the root of all squares together, and of those without the largest.
    noisy: f64,
    noisy_trimmed: f64,
    /// The first of them for the scatter of a block itself.
    noisy_scatter: f64,
}

impl BoundWidth {
    /// Makes the bounds for `blocks` blocks, so that all of `bounds` bounds hold together with probability `confidence`
    /// (Bonferroni).
    pub fn new(blocks: usize, confidence: f64, bounds: f64) -> Self {
        let blocks_freedom = blocks as f64 - 2.0;
        let trimmed = if blocks >= TRIM_FROM { 2.0 } else { 0.0 };
        let freedom = blocks_freedom + blocks_freedom.max(1.0) + 1.0 - trimmed;
        let tail = (1.0 - confidence) / (2.0 * bounds);
        let quantile = |freedom, tail: f64| {
            let t = StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive");
            t.inverse_cdf(1.0 - tail)
        };
        let (_, [noisy_freedom, scale], trimmed) =
            NOISY.into_iter().find(|(from, ..)| *from <= blocks).unwrap_or(NOISY[3]);
        // The narrower of two widths counts, so each has half of the error.
        let part = if trimmed.is_some() { tail / 2.0 } else { tail };
        let noisy_scatter = quantile(noisy_freedom, part);
        Self {
            freedom,
            quiet: quantile(QUIET_FREEDOM + freedom, tail),
            noisy: scale * noisy_scatter,
            noisy_trimmed: trimmed.map_or(f64::INFINITY, |[freedom, scale]| scale * quantile(freedom, part)),
            noisy_scatter,
        }
    }

    /// Returns how far two doses must be apart so that `blocks` blocks of them, half of each, whose growth scatters by
    /// `scatter` objects have bounds that are, on the average of many such runs, no farther than `rate` from the estimate. Of a noisy
    /// counter half of the runs have wider ones, and one in twenty wider than 1.6 times that.
    pub fn doses_apart(self, blocks: usize, scatter: f64, rate: f64) -> f64 {
        let quantile = if scatter <= QUIET_SCATTER { self.quiet } else { self.noisy_scatter * TOLD_BY_FEW_BLOCKS };
        let half_width = THEIL_SEN * (quantile * scatter).max(NOISE_OBJECTS);
        2.0 * half_width / (rate * (blocks as f64).sqrt())
    }

    /// Returns half the width of a block's growth, in objects, where counters scatter by such `squares` at least.
    fn half_width(self, scatter: &Scatter, squares: f64) -> f64 {
        let half_width = if squares > 0.0 {
            self.noisy * scatter.all.max(squares).sqrt()
        } else if scatter.is_quiet(self.freedom) {
            let prior = QUIET_FREEDOM * QUIET_SCATTER.powi(2);
            self.quiet * ((prior + scatter.trimmed) / (QUIET_FREEDOM + self.freedom)).sqrt()
        } else if self.noisy_trimmed.is_finite() {
            (self.noisy * scatter.all.sqrt()).min(self.noisy_trimmed * scatter.trimmed.sqrt())
        } else {
            self.noisy * scatter.all.sqrt()
        };
        half_width.max(NOISE_OBJECTS)
    }
}

/// Fits the line through at least two points of at least two doses; `None` for fewer.
pub fn fit(points: &[Point], width: BoundWidth) -> Option<Estimate> {
    fit_of_restless(points, width, 0.0)
}

/// Returns the squares of what scatters, if they are more than those of a counter at rest.
pub fn restless_squares(points: &[Point], width: BoundWidth) -> Option<f64> {
    let (_, scatter, _) = scatter_around(points)?;
    (!scatter.is_quiet(width.freedom)).then_some(scatter.all)
}

/// Fits the line where counters are known to scatter by such `squares`, whatever this one shows; 0 if nothing is known
/// of them.
pub fn fit_of_restless(points: &[Point], width: BoundWidth, squares: f64) -> Option<Estimate> {
    let (estimate, scatter, spread) = scatter_around(points)?;
    let half_width = THEIL_SEN * width.half_width(&scatter, squares) / spread.sqrt();
    Some(Estimate { estimate, low: estimate - half_width, high: estimate + half_width })
}

/// Returns the slope, what scatters around the line, and the spread of the doses.
fn scatter_around(points: &[Point]) -> Option<(f64, Scatter, f64)> {
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
    let (controls_all, controls_trimmed) = match points {
        [a, b] => ((a.control - b.control).powi(2) / 2.0, (a.control - b.control).powi(2) / 2.0),
        _ => (controls.squares, controls.trimmed_squares),
    };
    let drift = drift * drift / drift_variance;
    let scatter = Scatter {
        all: blocks.squares + 2.0 * controls_all + drift,
        trimmed: blocks.trimmed_squares + 2.0 * controls_trimmed + drift,
        drift,
    };
    Some((blocks.slope, scatter, spread))
}

/// Squares of what scatters, summed; a degree of freedom is worth the variance of a block's growth.
struct Scatter {
    all: f64,
    /// Without the block and the control round that fit worst, where a line is not moved by one of them.
    trimmed: f64,
    /// The difference between blocks and control rounds alone.
    drift: f64,
}

impl Scatter {
    /// Returns whether it is no more than that of a counter at rest, and neither is the drift alone: of two blocks that is
    /// nearly all there is, and controls that happen to agree must not make up for it.
    fn is_quiet(&self, freedom: f64) -> bool {
        let variance = QUIET_SCATTER.powi(2);
        self.trimmed <= freedom * variance && self.drift <= variance
    }
}

struct RobustLine {
    slope: f64,
    intercept: f64,
    /// Sum of the squares of what is left, and the same without the largest, where one does not move the line.
    squares: f64,
    trimmed_squares: f64,
}

impl RobustLine {
    fn through(points: &[Point], value: impl Fn(&Point) -> f64) -> Option<Self> {
        let pairs = points.iter().enumerate().flat_map(|(i, a)| points[..i].iter().map(move |b| (a, b)));
        let differing = pairs.filter(|(a, b)| a.dose != b.dose);
        let slope = median(differing.map(|(a, b)| (value(a) - value(b)) / (a.dose - b.dose)))?;
        let intercept = median(points.iter().map(|p| value(p) - slope * p.dose))?;
        let mut left: Vec<f64> = points.iter().map(|p| (value(p) - intercept - slope * p.dose).powi(2)).collect();
        let squares = left.iter().sum();
        if left.len() >= TRIM_FROM {
            left.sort_by(f64::total_cmp);
            left.pop();
        }
        Some(Self { slope, intercept, squares, trimmed_squares: left.iter().sum() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    fn points(of: &[(f64, f64, f64)]) -> Vec<Point> {
        of.iter().map(|&(dose, growth, control)| Point { dose, growth, control }).collect()
    }

    fn fitted(of: &[(f64, f64, f64)]) -> Estimate {
        fit(&points(of), BoundWidth::new(of.len(), 0.99, 900.0)).unwrap()
    }

    #[test]
    fn exact_leak_has_its_rate_and_narrow_bounds() {
        let fit = fitted(&[(32.0, 800.0, 0.0), (128.0, 3200.0, 0.0), (32.0, 800.0, 0.0)]);
        assert_eq!(fit.estimate, 25.0);
        assert!(fit.low > 24.9 && fit.high < 25.1, "{fit:?}");
    }

    #[test]
    fn stray_object_is_not_significant() {
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
    fn blocks_with_a_step_in_the_larger_dose_are_not_trusted_if_they_are_two() {
        let fit = fitted(&[(32.0, 0.0, 0.0), (128.0, 177.0, 0.0)]);
        assert!(fit.low < 0.0, "{fit:?}");
    }

    #[test]
    fn blocks_whose_controls_differ_are_trusted_less_than_those_whose_controls_do_not() {
        let width = |control| {
            let fit = fitted(&[(4.0, 0.0, 0.0), (12.0, 0.0, control)]);
            fit.high - fit.low
        };
        assert!(width(2.0) > 4.0 * width(0.0), "{} and {}", width(2.0), width(0.0));
    }

    #[test]
    fn outlier_among_six_blocks_does_not_move_the_rate() {
        let mut of: Vec<_> = [32.0, 128.0, 128.0, 32.0, 32.0, 128.0].iter().map(|&d| (d, 25.0 * d, 0.0)).collect();
        of[2].1 *= 2.0;
        let fit = fitted(&of);
        assert!((fit.estimate - 25.0).abs() < 0.5 && fit.low > 20.0, "{fit:?}");
    }

    /// Draws standard normal numbers, by the method of Box and Muller.
    fn normal(lot: &mut ChaCha8Rng) -> f64 {
        let radius = (-2.0 * (1.0 - lot.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * lot.random::<f64>()).cos()
    }

    #[test]
    fn doses_as_far_apart_as_noise_asks_for_have_bounds_as_narrow() {
        let mut lot = ChaCha8Rng::seed_from_u64(5);
        for scatter in [0.1, 5.0, 80.0] {
            let width = BoundWidth::new(6, 0.99, 900.0);
            let apart = width.doses_apart(6, scatter, 0.5);
            // A round scatters by so much that a block of two scatters by `scatter`.
            let mut round = || scatter / 2.0_f64.sqrt() * normal(&mut lot);
            let half_widths: Vec<f64> = (0..4000)
                .map(|_| {
                    let point = |n: usize| {
                        let control = round();
                        (10.0 + apart * (n % 2) as f64, round() + control, control)
                    };
                    let fit = fitted(&(0..6).map(point).collect::<Vec<_>>());
                    fit.high - fit.estimate
                })
                .collect();
            let mean = half_widths.iter().sum::<f64>() / half_widths.len() as f64;
            // One at rest is taken for a noisy one now and then.
            assert!((0.45..0.501).contains(&mean), "noise {scatter}, {apart} apart: {mean}");
            let wide = half_widths.iter().filter(|half_width| **half_width > 0.8).count();
            assert!(wide <= half_widths.len() / 20, "noise {scatter}: {wide} are 1.6 times as wide");
        }
        let near = BoundWidth::new(6, 0.99, 900.0).doses_apart(6, 0.0, 0.5);
        assert!((3.0..4.0).contains(&near), "{near}: a block is never trusted to better than two objects");
    }

    #[test]
    fn bounds_of_a_noisy_counter_fail_as_often_as_is_paid_for() {
        let mut lot = ChaCha8Rng::seed_from_u64(11);
        for blocks in [2, 4, 6, 10] {
            // One in a thousand, so that it can be counted.
            let width = BoundWidth::new(blocks, 0.999, 1.0);
            for from_reading_to_reading in [false, true] {
                let runs = 40_000;
                let mut missed = 0;
                let mut level = 20.0 * normal(&mut lot);
                for _ in 0..runs {
                    let mut first = false;
                    let points: Vec<Point> = (0..blocks)
                        .map(|block| {
                            let (a, b) = (20.0 * normal(&mut lot), 20.0 * normal(&mut lot));
                            // In pairs of both doses, by lot.
                            first = if block % 2 == 0 { lot.random_bool(0.5) } else { !first };
                            let dose = if first { 4.0 } else { 12.0 };
                            let (growth, control) =
                                if from_reading_to_reading { (b - level, b - a) } else { (a + b, b) };
                            level = b;
                            Point { dose, growth, control }
                        })
                        .collect();
                    let fit = fit(&points, width).unwrap();
                    missed += u64::from(fit.low > 0.0 || fit.high < 0.0);
                }
                assert!((4..=60).contains(&missed), "{blocks} blocks, {from_reading_to_reading}: {missed} of {runs}");
            }
        }
    }

    #[test]
    fn dose_that_is_alone_gives_no_line() {
        assert_eq!(fit(&points(&[(3.0, 1.0, 0.0), (3.0, 1.0, 0.0)]), BoundWidth::new(2, 0.99, 900.0)), None);
    }

    #[test]
    fn scatter_is_that_of_blocks_of_controls_and_between_both() {
        let of = |points: &[Point]| {
            let (slope, scatter, spread) = scatter_around(points).unwrap();
            [slope, spread, scatter.all, scatter.trimmed, scatter.drift]
        };
        let near = |seen: [f64; 5], expected: [f64; 5]| {
            assert!(seen.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{seen:?}, not {expected:?}");
        };
        // Residuals of the blocks are -2, 0, 2, 0, those of the controls half of that, and the lines meet dose 0 at -1 and 2.5.
        let four = points(&[(4.0, 0.0, 1.0), (12.0, 8.0, 1.0), (4.0, 4.0, 3.0), (12.0, 8.0, 1.0)]);
        near(of(&four), [0.75, 64.0, 8.0 + 2.0 * 2.0 + 36.0 / 1.25, 8.0 + 2.0 * 2.0 + 36.0 / 1.25, 36.0 / 1.25]);
        // Two controls are compared with each other; the lines meet dose 0 at -2 and -0.5.
        let two = points(&[(4.0, 2.0, 1.0), (12.0, 10.0, 4.0)]);
        near(of(&two), [1.0, 32.0, 2.0 * 4.5 + 0.4, 2.0 * 4.5 + 0.4, 0.4]);
    }

    #[test]
    fn width_is_that_of_what_is_known_of_the_counter() {
        let width = BoundWidth { freedom: 5.0, quiet: 100.0, noisy: 10.0, noisy_trimmed: 30.0, noisy_scatter: 0.0 };
        let half_width = |all, trimmed, drift, squares| width.half_width(&Scatter { all, trimmed, drift }, squares);
        assert!((half_width(9.0, 0.3, 0.05, 0.0) - 100.0 * (1.74 / 21.0_f64).sqrt()).abs() < 1e-9);
        // Five times 0.09 are still quiet, and so is a drift of 0.09.
        assert_eq!(half_width(9.0, 0.46, 0.05, 0.0), 30.0 * 0.46_f64.sqrt());
        assert_eq!(half_width(4.0, 0.3, 0.1, 0.0), 30.0 * 0.3_f64.sqrt());
        assert_eq!(half_width(4.0, 1.0, 0.1, 0.0), 20.0);
        assert_eq!((half_width(4.0, 0.3, 0.0, 9.0), half_width(16.0, 0.3, 0.0, 9.0)), (30.0, 40.0));
        assert_eq!(
            BoundWidth { quiet: 1.0, ..width }.half_width(&Scatter { all: 0.0, trimmed: 0.0, drift: 0.0 }, 0.0),
            NOISE_OBJECTS
        );
    }
}
