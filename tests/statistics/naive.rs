//! Judges that the simulation must catch.

use super::course::{Look, World};
use dirleak::internals::sample::Growth;
use dirleak::internals::stats::estimate::Estimate;
use dirleak::internals::verdict::block::Block;
use dirleak::internals::verdict::judge::{Counter, CounterVerdict, Judgement, MIN_RATE};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// The difference of two readings: whatever grew by as much as counts is a leak, and nothing is doubted.
pub fn difference(_: &World, look: &Look) -> Judgement {
    let counter = |(name, grown): (&String, &i64)| {
        let rate = *grown as f64 / look.total_dose as f64;
        let says = if rate >= MIN_RATE { CounterVerdict::Leak } else { CounterVerdict::Clean };
        Counter { name: name.clone(), fit: Estimate { estimate: rate, low: rate, high: rate }, says }
    };
    Judgement { counters: look.net.iter().map(counter).collect() }
}

/// Least squares with Student's interval from the scatter of the blocks alone: no floor, no knowledge of counters at rest,
/// one confidence of 99 % for each counter at each look.
pub fn least_squares(_: &World, look: &Look) -> Judgement {
    let counter = |name: &String| {
        let fit = ordinary(look.blocks, name);
        let says = match () {
            () if fit.low > 0.0 && fit.estimate >= MIN_RATE => CounterVerdict::Leak,
            () if fit.high < MIN_RATE => CounterVerdict::Clean,
            () => CounterVerdict::Undecided,
        };
        Counter { name: name.clone(), fit, says }
    };
    let names: std::collections::BTreeSet<&String> = look.blocks.iter().flat_map(|b| b.growth.keys()).collect();
    Judgement { counters: names.into_iter().map(counter).collect() }
}

fn ordinary(blocks: &[Block], name: &str) -> Estimate {
    let growth_of = |growth: &Growth| growth.get(name).copied().unwrap_or(0) as f64;
    let points: Vec<(f64, f64)> = blocks.iter().map(|b| (b.dose as f64, growth_of(&b.growth))).collect();
    let count = points.len() as f64;
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_dose, mean_growth) = (mean(&|p| p.0), mean(&|p| p.1));
    let spread: f64 = points.iter().map(|p| (p.0 - mean_dose).powi(2)).sum();
    let slope = points.iter().map(|p| (p.0 - mean_dose) * (p.1 - mean_growth)).sum::<f64>() / spread;
    let left: f64 = points.iter().map(|p| (p.1 - mean_growth - slope * (p.0 - mean_dose)).powi(2)).sum();
    let freedom = count - 2.0;
    // Through two blocks a line always fits.
    let half_width = if freedom > 0.0 {
        let t = StudentsT::new(0.0, 1.0, freedom).expect("degrees of freedom are positive").inverse_cdf(0.995);
        t * (left / freedom / spread).sqrt()
    } else {
        0.0
    };
    Estimate { estimate: slope, low: slope - half_width, high: slope + half_width }
}
