//! Whether the blocks seen so far decide, and what they say.

use super::block::Block;
use crate::sample::Growth;
use crate::stats::estimate::{CONFIDENCE, Estimate, median};
use crate::stats::theil_sen::{BoundWidth, Point, fit, fit_of_restless, restless_squares};
use std::collections::BTreeSet;

/// A run has two phases, each judged by its own blocks, because blocks are only comparable with blocks as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Short rounds, which find what leaks a lot.
    Scout,
    /// Rounds long enough to say that nothing leaks.
    Full,
}

impl Phase {
    /// Returns the numbers of blocks after which the samples are looked at.
    pub fn looks(self) -> &'static [usize] {
        match self {
            Self::Scout => &[2],
            Self::Full => &[2, 4, 6, 10],
        }
    }
}

/// Looks in all. Every look costs confidence, so their number is fixed.
const LOOKS: usize = 5;

/// The smallest rate that counts, in objects per unit, unless the user says otherwise.
pub const MIN_RATE: f64 = 0.5;
/// Before this many blocks a dose may have come only once, where one jump looks like a slope. Then only what could
/// not be clearer is called a leak: bounds within `CLEAR_SHARE` of the estimate.
const EVERY_DOSE_TWICE_FROM: usize = 4;
const CLEAR_SHARE: f64 = 0.1;
/// Counters that may be restless in a guest at rest: of those recorded on Linux 6.1 up to four were, with the sum of the size classes.
const MOST_RESTLESS: usize = 5;

/// What the samples say of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterVerdict {
    /// It grows with the dose.
    Leak,
    /// It does not grow by as much as counts.
    Clean,
    /// The bounds allow both.
    Undecided,
}

/// One counter.
#[derive(Clone, Debug)]
pub struct Counter {
    pub name: String,
    pub fit: Estimate,
    pub says: CounterVerdict,
}

/// All counters, highest upper bound first.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub counters: Vec<Counter>,
}

impl Judgement {
    /// Returns a leak if any counter leaks, clean if all are, else undecided.
    pub fn verdict(&self) -> CounterVerdict {
        let has = |says| self.counters.iter().any(|c| c.says == says);
        match () {
            () if has(CounterVerdict::Leak) => CounterVerdict::Leak,
            () if self.counters.is_empty() || has(CounterVerdict::Undecided) => CounterVerdict::Undecided,
            () => CounterVerdict::Clean,
        }
    }

    /// Returns how many are undecided.
    pub fn open(&self) -> usize {
        self.counters.iter().filter(|c| c.says == CounterVerdict::Undecided).count()
    }

    /// Returns those that leak, highest rate first.
    pub fn leaks(&self) -> Vec<&Counter> {
        let mut leaks: Vec<_> = self.counters.iter().filter(|c| c.says == CounterVerdict::Leak).collect();
        leaks.sort_by(|a, b| b.fit.estimate.total_cmp(&a.fit.estimate));
        leaks
    }
}

/// Judges all counters by the blocks of one phase so far. `net` is the growth of the whole run, with whatever was
/// freed late, in which `total_dose` units were made.
pub fn judge(phase: Phase, blocks: &[Block], net: &Growth, total_dose: u64, min_rate: f64) -> Judgement {
    judge_with(bound_width(blocks.len(), names(blocks).len()), phase, blocks, net, total_dose, min_rate)
}

/// Returns how wide the bounds are after so many `blocks`, so that those of all `counters` at all looks hold together.
pub fn bound_width(blocks: usize, counters: usize) -> BoundWidth {
    BoundWidth::new(blocks, CONFIDENCE, (counters * LOOKS) as f64)
}

/// Returns the rate below which rounds of such doses exclude nothing, however many there are and however still a counter is: growth of
/// a block is never known exactly.
pub fn least_clean_rate(doses: [u64; 2]) -> f64 {
    let blocks = Phase::Full.looks().last().copied().unwrap_or(0);
    let still = |n: usize| Point { dose: doses[n % 2] as f64, growth: 0.0, control: 0.0 };
    let points: Vec<Point> = (0..blocks).map(still).collect();
    fit(&points, bound_width(blocks, 1)).map_or(f64::INFINITY, |fit| fit.high)
}

/// Judges the counters that the blocks name; `width` is that of all counters that were read.
pub fn judge_with(
    width: BoundWidth,
    phase: Phase,
    blocks: &[Block],
    net: &Growth,
    total_dose: u64,
    min_rate: f64,
) -> Judgement {
    let squares = restless(width, blocks);
    let mut counters: Vec<Counter> = names(blocks)
        .into_iter()
        .filter_map(|name| {
            let fit = fit_of_restless(&points(blocks, name), width, squares)?;
            let says = match verdict_of(&fit, blocks.len(), min_rate) {
                CounterVerdict::Leak if !stays(&fit, net.get(name).copied().unwrap_or(0), total_dose) => {
                    CounterVerdict::Undecided
                }
                CounterVerdict::Clean if phase == Phase::Scout => CounterVerdict::Undecided,
                says => says,
            };
            Some(Counter { name: name.clone(), fit, says })
        })
        .collect();
    counters.sort_by(|a, b| b.fit.high.total_cmp(&a.fit.high));
    Judgement { counters }
}

/// Returns the squares by which any counter must be thought to scatter: those of the middle one of the restless, where these are many.
///
/// Two control rounds of a restless counter agree now and then, and then it looks as one at rest does. Where few counters are restless that is
/// paid for; where many are, being at rest is no longer what is known of a counter, until each dose has come twice.
fn restless(width: BoundWidth, blocks: &[Block]) -> f64 {
    if blocks.len() >= EVERY_DOSE_TWICE_FROM {
        return 0.0;
    }
    let squares = names(blocks).into_iter().filter_map(|name| restless_squares(&points(blocks, name), width));
    let squares: Vec<f64> = squares.collect();
    if squares.len() <= MOST_RESTLESS { 0.0 } else { median(squares).unwrap_or(0.0) }
}

fn names(blocks: &[Block]) -> BTreeSet<&String> {
    blocks.iter().flat_map(|b| b.growth.keys()).collect()
}

/// Returns whether growth is still there at the end: at least half of what the rate promises for `total_dose` units.
pub fn stays(fit: &Estimate, net: i64, total_dose: u64) -> bool {
    net as f64 >= 0.5 * fit.estimate * total_dose as f64
}

fn points(blocks: &[Block], name: &str) -> Vec<Point> {
    let growth_of = |growth: &Growth| growth.get(name).copied().unwrap_or(0) as f64;
    blocks
        .iter()
        .map(|b| Point { dose: b.dose as f64, growth: growth_of(&b.growth), control: growth_of(&b.control) })
        .collect()
}

fn verdict_of(fit: &Estimate, blocks: usize, min_rate: f64) -> CounterVerdict {
    let clear = blocks >= EVERY_DOSE_TWICE_FROM || fit.low >= (1.0 - CLEAR_SHARE) * fit.estimate;
    if fit.low > 0.0 && fit.estimate >= min_rate && clear {
        CounterVerdict::Leak
    } else if fit.high < min_rate {
        CounterVerdict::Clean
    } else {
        CounterVerdict::Undecided
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes blocks of a hundred counters that rest, and one that grows as told by `growth(block number, dose)`, over
    /// the dose round and over the control round.
    fn blocks(doses: &[u64], grow: impl Fn(usize, u64) -> (i64, i64)) -> (Vec<Block>, Growth) {
        let mut net = Growth::new();
        let make = |(number, &dose): (usize, &u64)| {
            let (in_dose, in_control) = grow(number, dose);
            let mut block = Block { dose, ..Block::default() };
            for quiet in 0..100 {
                block.growth.insert(format!("quiet-{quiet}"), 0);
            }
            block.growth.insert("it".into(), in_dose + in_control);
            block.control.insert("it".into(), in_control);
            *net.entry("it".into()).or_default() += in_dose + in_control;
            block
        };
        (doses.iter().enumerate().map(make).collect(), net)
    }

    fn said(doses: &[u64], grow: impl Fn(usize, u64) -> (i64, i64)) -> CounterVerdict {
        let (blocks, net) = blocks(doses, grow);
        judge(Phase::Full, &blocks, &net, doses.iter().sum(), MIN_RATE).verdict()
    }

    const DOSES: [u64; 12] = [128, 32, 32, 128, 128, 32, 128, 32, 32, 128, 32, 128];

    #[test]
    fn exact_leak_is_clear_after_two_blocks() {
        assert_eq!(said(&DOSES[..2], |_, dose| (25 * dose as i64, 0)), CounterVerdict::Leak);
    }

    #[test]
    fn leak_of_one_object_per_listing_is_found() {
        assert_eq!(said(&DOSES[..4], |_, dose| (dose as i64, 0)), CounterVerdict::Leak);
    }

    #[test]
    fn counters_at_rest_are_clean_but_not_by_short_rounds() {
        assert_eq!(said(&DOSES[..2], |_, _| (0, 0)), CounterVerdict::Clean);
        let (blocks, net) = blocks(&DOSES[..2], |_, _| (0, 0));
        assert_eq!(judge(Phase::Scout, &blocks, &net, 160, MIN_RATE).verdict(), CounterVerdict::Undecided);
    }

    #[test]
    fn rounds_that_are_too_short_for_the_bounds_are_not_clean() {
        assert_eq!(said(&[1, 3], |_, _| (0, 0)), CounterVerdict::Undecided);
    }

    #[test]
    fn looks_are_as_many_as_are_paid_for() {
        assert_eq!(Phase::Scout.looks().len() + Phase::Full.looks().len(), LOOKS);
    }

    #[test]
    fn growth_that_comes_once_is_no_leak() {
        for first in 0..3 {
            for blocks in 2..=10 {
                let says = said(&DOSES[..blocks], |number, _| (if number == first { 500 } else { 0 }, 0));
                assert_ne!(says, CounterVerdict::Leak, "block {first} of {blocks}");
            }
        }
        assert_eq!(said(&DOSES[..6], |number, _| (if number == 0 { 500 } else { 0 }, 0)), CounterVerdict::Clean);
    }

    #[test]
    fn drift_with_time_is_no_leak() {
        assert_eq!(said(&DOSES[..4], |_, _| (40, 40)), CounterVerdict::Clean);
    }

    #[test]
    fn frees_that_come_a_round_late_are_no_leak() {
        assert_eq!(said(&DOSES[..4], |_, dose| (dose as i64, -(dose as i64))), CounterVerdict::Clean);
    }

    #[test]
    fn process_churn_follows_dose_and_control_alike_and_is_no_leak() {
        // Rounds are equally long and make equally many opens, so what follows those grows the same in all.
        assert_eq!(said(&DOSES[..4], |_, _| (160, 160)), CounterVerdict::Clean);
    }

    #[test]
    fn counter_that_jumps_is_never_accused() {
        for blocks in 2..=10 {
            for (a, b) in [(0, 1), (1, 3), (0, 3), (2, 3)] {
                let jumps = |number, _| match number {
                    n if n == a => (177, 0),
                    n if n == b => (0, -177),
                    _ => (0, 0),
                };
                assert_ne!(said(&DOSES[..blocks], jumps), CounterVerdict::Leak, "{a} and {b} of {blocks}");
            }
        }
    }

    #[test]
    fn outlier_on_a_leaking_kernel_only_costs_time() {
        for outlier in 0..6 {
            let grow = |number, dose: u64| ((if number == outlier { 50 } else { 25 }) * dose as i64, 0);
            let (blocks, net) = blocks(&DOSES[..6], grow);
            let judgement = judge(Phase::Full, &blocks, &net, blocks.iter().map(|b| b.dose).sum(), MIN_RATE);
            assert_eq!(judgement.verdict(), CounterVerdict::Leak);
            let rate = judgement.leaks()[0].fit.estimate;
            assert!((rate - 25.0).abs() < 1.0, "{rate}");
        }
    }

    #[test]
    fn growth_that_is_gone_at_the_end_is_no_leak() {
        let (blocks, _) = blocks(&DOSES[..4], |_, dose| (25 * dose as i64, 0));
        let net = [("it".to_owned(), 3)].into();
        assert_eq!(
            judge(Phase::Full, &blocks, &net, blocks.iter().map(|b| b.dose).sum(), MIN_RATE).verdict(),
            CounterVerdict::Undecided
        );
    }

    #[test]
    fn least_clean_rate_is_what_two_objects_a_block_leave_open() {
        let least = least_clean_rate([4, 12]);
        assert!((0.15..0.18).contains(&least), "{least}");
        let (blocks, net) = blocks(&[4, 12, 4, 12, 4, 12, 4, 12, 4, 12], |_, _| (0, 0));
        let verdict = |rate| judge(Phase::Full, &blocks, &net, 80, rate).verdict();
        assert_eq!(verdict(least - 0.01), CounterVerdict::Undecided);
        assert_eq!(verdict(least + 0.01), CounterVerdict::Clean);
    }

    #[test]
    fn restless_machine_decides_nothing_by_two_blocks() {
        let (mut blocks, net) = blocks(&DOSES[..2], |_, dose| (25 * dose as i64, 0));
        assert_eq!(judge(Phase::Full, &blocks, &net, 160, MIN_RATE).verdict(), CounterVerdict::Leak);
        for counter in 0..=MOST_RESTLESS {
            for (block, moved) in blocks.iter_mut().zip([3, -2]) {
                block.growth.insert(format!("quiet-{counter}"), moved);
                block.control.insert(format!("quiet-{counter}"), moved);
            }
        }
        assert_eq!(judge(Phase::Full, &blocks, &net, 160, MIN_RATE).verdict(), CounterVerdict::Undecided);
    }

    #[test]
    fn growth_that_is_too_little_to_count_is_clean_where_the_bounds_allow_it() {
        let third = |_, dose: u64| (dose as i64 / 4, 0);
        assert_eq!(said(&DOSES[..6], third), CounterVerdict::Clean);
    }

    #[test]
    fn bounds_that_reach_the_limit_decide_nothing() {
        let says = |estimate, low, high| verdict_of(&Estimate { estimate, low, high }, EVERY_DOSE_TWICE_FROM, MIN_RATE);
        assert_eq!(says(1.0, 0.0, 2.0), CounterVerdict::Undecided);
        assert_eq!(says(1.0, 0.01, 2.0), CounterVerdict::Leak);
        assert_eq!(says(0.25, 0.0, MIN_RATE), CounterVerdict::Undecided);
        assert_eq!(says(0.25, 0.0, 0.49), CounterVerdict::Clean);
    }

    #[test]
    fn growth_stays_if_half_of_what_the_rate_promises_is_there() {
        let fit = Estimate { estimate: 25.0, low: 24.0, high: 26.0 };
        assert!(stays(&fit, 1250, 100) && !stays(&fit, 1249, 100));
    }

    #[test]
    fn counters_that_are_open_are_counted() {
        let counter = |says| Counter { name: "it".into(), fit: Estimate { estimate: 0.0, low: 0.0, high: 0.0 }, says };
        let of = |says: &[CounterVerdict]| Judgement { counters: says.iter().copied().map(counter).collect() };
        use CounterVerdict::{Clean, Leak, Undecided};
        assert_eq!(of(&[Undecided, Clean, Undecided, Leak]).open(), 2);
        assert_eq!(of(&[Clean]).open(), 0);
    }
}
