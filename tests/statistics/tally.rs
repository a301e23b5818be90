//! Many runs of one kind, counted.

use super::course::{Guest, Look, World, run};
use dirleak::internals::run::options::LISTINGS;
use dirleak::internals::stats::net_growth::{net_growth, units_wanted};
use dirleak::internals::verdict::judge::{CounterVerdict, Judgement, MIN_RATE, judge_with};

/// Units that fit into the seconds which a run of `quick` spends on growth that may yet be little: six, of some 20 ms each.
const THIN_UNITS: u64 = 300;

/// Looks of a run at most.
pub const LOOKS: usize = 5;

/// Verdicts of runs that stop at the first look which decides.
#[derive(Debug, Default)]
pub struct Verdicts {
    pub runs: u64,
    /// Runs in which a counter was called a leak that does not leak.
    pub false_leaks: u64,
    /// Runs in which the leak was found, by the look.
    pub found: [u64; LOOKS],
    pub clean: u64,
    pub undecided: u64,
    /// Runs whose last interval of the counter that leaks contains its rate.
    pub covered: u64,
    pub blocks: u64,
}

/// What dirleak says at a look.
pub fn verdict(world: &World, look: &Look) -> Judgement {
    judge_with(world.widths[&look.blocks.len()], look.phase, look.blocks, look.net, look.total_dose, MIN_RATE)
}

impl Verdicts {
    /// Of `runs` runs as `judge` judges.
    pub fn count(world: &World, runs: u64, judge: impl Fn(&World, &Look) -> Judgement) -> Self {
        let mut verdicts = Self { runs, ..Self::default() };
        (0..runs).for_each(|seed| verdicts.add(world, seed, &judge));
        verdicts
    }

    /// Blocks of a run on the average.
    pub fn mean_blocks(&self) -> f64 {
        self.blocks as f64 / self.runs as f64
    }

    fn add(&mut self, world: &World, seed: u64, judge: impl Fn(&World, &Look) -> Judgement) {
        let (mut looks, mut last) = (0, None);
        let mut guest = run(world, seed, |look| {
            looks += 1;
            let judgement = judge(world, look);
            let enough = judgement.verdict() != CounterVerdict::Undecided;
            last = Some((judgement, look.counter.to_owned(), look.number_of_blocks()));
            enough
        });
        let (judgement, counter, blocks) = last.expect("a run has a look");
        self.blocks += blocks as u64;
        let rate = world.leak.rate();
        let leaks = |name: &str| rate > 0.0 && name == counter;
        let called = judgement.leaks();
        self.false_leaks += u64::from(called.iter().any(|c| !leaks(&c.name)));
        self.found[looks - 1] += u64::from(called.iter().any(|c| leaks(&c.name)));
        let clean = judgement.verdict() == CounterVerdict::Clean && rules_out_what_is_rare(&mut guest);
        self.clean += u64::from(clean);
        self.undecided += u64::from(judgement.verdict() != CounterVerdict::Leak && !clean);
        let fit = judgement.counters.iter().find(|c| c.name == counter).map(|c| c.fit);
        self.covered += u64::from(fit.is_some_and(|fit| fit.low <= rate && rate <= fit.high));
    }
}

/// Whether a run that the slopes call clean is: a further round, and the net growth of all of them.
fn rules_out_what_is_rare(guest: &mut Guest) -> bool {
    let missing = LISTINGS.saturating_sub(guest.total_dose);
    if missing > 0 {
        guest.further(missing);
    }
    let nets = net_growth(&guest.rounds);
    let missing = |more_lumps: f64| {
        let wanted = nets.iter().map(|net| units_wanted(net, more_lumps, MIN_RATE)).max().unwrap_or(0);
        wanted.saturating_sub(guest.total_dose)
    };
    let (more, with_another) = (missing(0.0), missing(1.0));
    if more > 0 && more <= THIN_UNITS {
        guest.further(with_another.min(THIN_UNITS));
    }
    net_growth(&guest.rounds).first().is_none_or(|net| net.high < MIN_RATE)
}

/// Runs in which some counter's interval does not contain its rate, by the first look at which that is so; no look ends a
/// run.
pub fn missed(world: &World, runs: u64, judge: impl Fn(&World, &Look) -> Judgement) -> [u64; LOOKS] {
    let mut missed = [0; LOOKS];
    for seed in 0..runs {
        let mut looks = 0;
        let _ = run(world, seed, |look| {
            let rate_of = |name: &str| if name == look.counter { world.leak.rate() } else { 0.0 };
            let holds =
                judge(world, look).counters.iter().all(|c| (c.fit.low..=c.fit.high).contains(&rate_of(&c.name)));
            missed[looks] += u64::from(!holds);
            looks += 1;
            !holds
        });
    }
    missed
}
