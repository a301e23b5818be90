//! The second witness beside the slopes: what a counter grew by over the whole run, with a bound that holds for lumps.
//!
//! A robust slope finds a steady leak through noise because it passes over the one block that differs. A leak that comes
//! in lumps is that one block. So before anything is called clean, the net growth of the whole run must be small, too:
//! nothing is left out, and what grew is taken for lumps as large as the largest growth of one round and the control round
//! after it. The number of such lumps in `n` units is Poisson if they come at random, and its exact upper bound (Garwood
//! 1936, "Fiducial limits for the Poisson distribution") times the lump is what may leak in `n` units.

use super::estimate::{CONFIDENCE, median};
use crate::sample::Growth;
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::collections::BTreeSet;

/// How often net growth may be looked at before a run is called clean. Each look has its share of the error.
pub const LOOKS: usize = 2;

/// One round of a run and what grew in it.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Units made on the NFS mount; 0 of a control round.
    pub units: u64,
    /// From the reading before to this one.
    pub seconds: f64,
    pub growth: Growth,
}

/// The net growth of a counter over a whole run.
#[derive(Clone, Debug, PartialEq)]
pub struct NetGrowth {
    pub name: String,
    /// Objects, less what control rounds of that length grow by.
    pub grown: f64,
    /// The largest growth of a round with units and the control rounds after it, in objects.
    pub lump: f64,
    /// Objects per unit that may leak in such lumps, at most.
    pub high: f64,
}

/// Returns the net growth of every counter that a round names, the highest bound first.
pub fn net_growth(rounds: &[Round]) -> Vec<NetGrowth> {
    let names: BTreeSet<&String> = rounds.iter().flat_map(|round| round.growth.keys()).collect();
    let mut nets: Vec<NetGrowth> = names.into_iter().map(|name| counter_growth(name, rounds)).collect();
    nets.sort_by(|a, b| b.high.total_cmp(&a.high));
    nets
}

/// Returns how many units there are to one lump of the rarest leak that `units` units without one exclude.
pub fn rarest(units: u64) -> f64 {
    units as f64 / poisson_bound(0.0)
}

/// Returns in how many units what has grown, and `more_lumps` lumps of the same size with it, would be less than `min_rate` objects per
/// unit.
pub fn units_wanted(net: &NetGrowth, more_lumps: f64, min_rate: f64) -> u64 {
    (leaked_at_most(net.grown + more_lumps * net.lump, net.lump) / min_rate).floor() as u64 + 1
}

fn counter_growth(name: &str, rounds: &[Round]) -> NetGrowth {
    let grew = |round: &Round| round.growth.get(name).copied().unwrap_or(0) as f64;
    let controls = rounds.iter().filter(|round| round.units == 0 && round.seconds > 0.0);
    // What shrinks between doses are late frees, which are no drift.
    let drift = median(controls.map(|round| grew(round) / round.seconds)).unwrap_or(0.0).max(0.0);
    let mut blocks: Vec<f64> = Vec::new();
    for round in rounds {
        let beyond = grew(round) - drift * round.seconds;
        match blocks.last_mut() {
            Some(block) if round.units == 0 => *block += beyond,
            _ => blocks.push(beyond),
        }
    }
    let grown: f64 = blocks.iter().sum();
    // More than is there at the end never leaked at once, and less than an object does not.
    let lump = blocks.iter().copied().fold(0.0, f64::max).min(grown).max(1.0);
    let units: u64 = rounds.iter().map(|round| round.units).sum();
    let high = leaked_at_most(grown, lump) / units.max(1) as f64;
    NetGrowth { name: name.to_owned(), grown, lump, high }
}

/// Returns how many objects leak in as many units on the average, at most, if `grown` objects came in lumps of `lump`.
fn leaked_at_most(grown: f64, lump: f64) -> f64 {
    lump * poisson_bound(grown.max(0.0) / lump)
}

/// Returns the upper bound of a Poisson mean of which `events` were seen.
fn poisson_bound(events: f64) -> f64 {
    let tail = (1.0 - CONFIDENCE) / LOOKS as f64;
    ChiSquared::new(2.0 * (events + 1.0)).expect("degrees of freedom are positive").inverse_cdf(1.0 - tail) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    fn round(units: u64, seconds: f64, grown: i64) -> Round {
        Round { units, seconds, growth: [("it".to_owned(), grown)].into() }
    }

    fn high(rounds: &[Round]) -> f64 {
        net_growth(rounds)[0].high
    }

    #[test]
    fn poisson_bound_of_few_events_is_that_of_the_tables() {
        // Two-sided 99 % limits of 0 and 1 events are those of one side at 99.5 %: -ln(0.005) = 5.298, and 7.430, the root of
        // (1 + m) exp(-m) = 0.005.
        assert!((poisson_bound(0.0) - 0.005_f64.ln().abs()).abs() < 1e-9);
        let m = poisson_bound(1.0);
        assert!(((1.0 + m) * (-m).exp() - 0.005).abs() < 1e-9, "{m}");
    }

    #[test]
    fn rest_is_bounded_by_the_units_that_were_made() {
        assert!(high(&[round(8, 1.0, 0), round(0, 1.0, 0)]) > 0.5, "eight units exclude little");
        assert!(high(&[round(100, 1.0, 0), round(0, 1.0, 0)]) < 0.07);
        assert!((rarest(100) - 18.9).abs() < 0.1, "{}", rarest(100));
    }

    #[test]
    fn lump_of_a_burst_is_not_passed_over() {
        let mut rounds: Vec<Round> = (0..12).flat_map(|_| [round(8, 1.0, 0), round(0, 1.0, 0)]).collect();
        rounds[6] = round(8, 1.0, 64);
        let seen = net_growth(&rounds).remove(0);
        assert_eq!((seen.grown, seen.lump), (64.0, 64.0));
        assert!(seen.high > 0.5, "{seen:?}");
        let wanted = units_wanted(&seen, 0.0, 0.5);
        rounds.push(round(wanted - 96, 1.0, 0));
        assert!(high(&rounds) < 0.5);
    }

    #[test]
    fn growth_with_time_is_none_with_units() {
        let rounds: Vec<Round> =
            (0..6).flat_map(|_| [round(20, 1.0, 20), round(0, 1.0, 20)]).chain([round(80, 4.0, 81)]).collect();
        let seen = net_growth(&rounds).remove(0);
        assert_eq!((seen.grown, seen.lump), (1.0, 1.0));
    }

    #[test]
    fn late_frees_and_a_jump_up_and_down_are_no_growth() {
        let late: Vec<Round> = (0..6).flat_map(|_| [round(20, 1.0, 20), round(0, 1.0, -20)]).collect();
        assert_eq!(net_growth(&late)[0].grown, 0.0);
        let mut jump = vec![round(100, 1.0, 177), round(0, 1.0, 0), round(100, 1.0, -177)];
        jump.push(round(0, 1.0, 0));
        assert!(high(&jump) < 0.1);
    }

    #[test]
    fn leak_in_lumps_is_above_its_bound_no_more_often_than_promised() {
        let mut lot = ChaCha8Rng::seed_from_u64(7);
        // Rarer ones are those that a run of a hundred units does not exclude.
        for (every, lump) in [(8, 10), (16, 64), (12, 25)] {
            let runs = 4000;
            let mut missed = 0;
            for _ in 0..runs {
                let mut unit = || i64::from(lot.random_range(0..every) == 0) * lump;
                let rounds: Vec<Round> =
                    [2, 6, 12, 4, 76].map(|units| round(units, 1.0, (0..units).map(|_| unit()).sum())).into();
                missed += u64::from(high(&rounds) < 0.5);
            }
            assert!(missed as f64 <= 0.005 * f64::from(runs) + 10.0, "{lump} every {every}: {missed}");
        }
    }

    #[test]
    fn units_wanted_are_those_of_one_more_lump() {
        let net = |grown| NetGrowth { name: "it".into(), grown, lump: 64.0, high: 0.0 };
        // After two events a Poisson mean is at most 9.274 with 99.5 %.
        assert_eq!(units_wanted(&net(128.0), 0.0, 0.5), (64.0 * 9.274 / 0.5_f64) as u64 + 1);
        assert_eq!(units_wanted(&net(64.0), 1.0, 0.5), units_wanted(&net(128.0), 0.0, 0.5));
    }

    #[test]
    fn lump_is_the_largest_growth_of_a_round_and_its_control() {
        let seen =
            net_growth(&[round(20, 1.0, 30), round(0, 1.0, -20), round(20, 1.0, 25), round(0, 1.0, 0)]).remove(0);
        assert_eq!((seen.grown, seen.lump), (35.0, 25.0));
    }

    #[test]
    fn growth_with_time_is_that_of_controls_per_second() {
        let slow = [round(20, 1.0, 2), round(0, 2.0, 4), round(20, 1.0, 2), round(0, 2.0, 4)];
        assert_eq!(net_growth(&slow)[0].grown, 0.0);
        // A control round that took no time tells nothing of a pace.
        let at_once = [round(20, 1.0, 0), round(0, 0.0, 5), round(20, 1.0, 0), round(0, 1.0, 0)];
        assert_eq!(net_growth(&at_once)[0].grown, 5.0);
    }
}
