//! Synthetic runs: noise drawn from what was recorded, a leak if one is wanted, and the course of a run from look to look.

use super::noise::{Seen, Setup};
use dirleak::internals::sample::Growth;
use dirleak::internals::scenario::Rounds;
use dirleak::internals::stats::net_growth::Round;
use dirleak::internals::stats::theil_sen::BoundWidth;
use dirleak::internals::verdict::block::Block;
use dirleak::internals::verdict::dose_order::Doses;
use dirleak::internals::verdict::judge::Phase;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// The counters that never moved. One stands for all, as all have the same growth.
pub const AT_REST: &str = "at rest";
/// Objects of a jump, as a cache was once seen to gain and lose.
const JUMP_OBJECTS: i64 = 177;
/// Growth per round of a counter that drifts, at most.
const DRIFT_OBJECTS: i64 = 40;
/// Counters with stray objects, and how likely each has one in a round.
const STRAYS: (u64, f64) = (20, 0.1);

/// What is done to the recorded noise.
#[derive(Clone, Copy, Debug)]
pub enum Stress {
    Nothing,
    /// All of it is as many times larger.
    Times(i64),
    /// One counter jumps up or down in one of eight rounds.
    Jumps,
    /// One counter grows or shrinks by as much in every round.
    Drift,
    /// Many counters gain or lose one object now and then.
    Strays,
    /// One counter has normal noise with this standard deviation in every round.
    Normal(f64),
    /// So many counters have it, each for itself.
    Several(u64, f64),
    /// So many counters have it in every reading, so that what one round shows too much the next shows too little.
    Readings(u64, f64),
}

/// What leaks in one counter, in objects per unit.
#[derive(Clone, Copy, Debug)]
pub enum Leak {
    Nothing,
    /// Each unit leaks as much, or the next whole object when it is due.
    Steady(f64),
    /// Each unit leaks a Poisson number of objects with this mean.
    Random(f64),
    /// One of so many units leaks so many objects: by lot, or else at regular intervals that begin anywhere.
    Lumps {
        every: u64,
        objects: u64,
        by_lot: bool,
    },
}

impl Leak {
    pub fn rate(self) -> f64 {
        match self {
            Self::Nothing => 0.0,
            Self::Steady(rate) | Self::Random(rate) => rate,
            Self::Lumps { every, objects, .. } => objects as f64 / every as f64,
        }
    }
}

/// A kernel to make runs of.
#[derive(Clone, Debug)]
pub struct World<'a> {
    pub noise: &'a Setup,
    pub rounds: &'a Rounds,
    /// The counters one of which leaks or is under stress.
    pub counters: Vec<&'a String>,
    /// How wide bounds are, by the number of blocks.
    pub widths: BTreeMap<usize, BoundWidth>,
    pub stress: Stress,
    pub leak: Leak,
}

/// What there is to judge at one look.
#[derive(Debug)]
pub struct Look<'a> {
    pub phase: Phase,
    pub blocks: &'a [Block],
    /// Growth of the whole run so far.
    pub net: &'a Growth,
    pub total_dose: u64,
    /// The counter that leaks or is under stress.
    pub counter: &'a str,
}

impl Look<'_> {
    /// Blocks of both phases.
    pub fn number_of_blocks(&self) -> usize {
        self.blocks.len() + if self.phase == Phase::Full { Phase::Scout.looks()[0] } else { 0 }
    }
}

/// One run; `enough` is asked at every look, and ends the run if it says so.
pub fn run<'a>(world: &'a World<'a>, seed: u64, mut enough: impl FnMut(&Look) -> bool) -> Guest<'a> {
    let mut lot = ChaCha8Rng::seed_from_u64(seed);
    // The order of the doses comes from the seed itself.
    lot.set_stream(1);
    let mut guest = Guest::new(world, lot);
    for (phase, spread) in [(Phase::Scout, world.rounds.scout_doses), (Phase::Full, world.rounds.doses)] {
        let mut doses = Doses::for_phase(phase, spread, seed);
        let mut blocks = Vec::new();
        for look in phase.looks() {
            while blocks.len() < *look {
                blocks.extend(guest.pair([doses.draw(), doses.draw()]));
            }
            let (net, total_dose, counter) = (&guest.net, guest.total_dose, guest.counter.as_str());
            if enough(&Look { phase, blocks: &blocks, net, total_dose, counter }) {
                return guest;
            }
        }
    }
    guest
}

/// The counters that moved in the noise.
pub fn moving(noise: &Setup) -> Vec<&String> {
    let moved = noise.pairs.iter().flat_map(|pairs| &pairs.moved);
    let names: BTreeSet<&String> = moved.flatten().flat_map(Growth::keys).collect();
    names.into_iter().collect()
}

/// A guest that goes on leaking.
pub struct Guest<'a> {
    world: &'a World<'a>,
    lot: ChaCha8Rng,
    counter: String,
    drift: i64,
    net: Growth,
    pub total_dose: u64,
    /// Pairs of blocks so far.
    pairs: usize,
    /// Every round so far.
    pub rounds: Vec<Round>,
    /// Units to the next lump.
    to_lump: u64,
    /// What the last reading of each noisy counter was off by.
    off: Vec<i64>,
}

impl<'a> Guest<'a> {
    /// One more round of so many units.
    pub fn further(&mut self, units: u64) {
        let mut round = self.further_noise();
        self.stress(&mut round);
        self.leak(&mut round, units);
        for (name, grown) in &round {
            *self.net.entry(name.clone()).or_default() += grown;
        }
        let long = units as f64 / self.world.rounds.doses[1] as f64;
        self.rounds.push(Round { units, seconds: long, growth: round });
    }

    fn new(world: &'a World<'a>, mut lot: ChaCha8Rng) -> Self {
        let counter = world.counters[lot.random_range(0..world.counters.len())].clone();
        let drift = lot.random_range(-DRIFT_OBJECTS..=DRIFT_OBJECTS);
        let mut guest = Self {
            world,
            lot,
            counter,
            drift,
            net: Growth::new(),
            total_dose: 0,
            pairs: 0,
            rounds: Vec::new(),
            to_lump: 0,
            off: Vec::new(),
        };
        if let Leak::Lumps { every, by_lot, .. } = world.leak {
            guest.to_lump = if by_lot { guest.wait(every) } else { guest.lot.random_range(1..=every) };
        }
        guest
    }

    /// Two blocks.
    fn pair(&mut self, doses: [u64; 2]) -> [Block; 2] {
        let mut rounds = self.noise_of_pair(self.pairs);
        self.pairs += 1;
        rounds.iter_mut().for_each(|round| self.stress(round));
        let [mut first, first_control, mut second, second_control] = rounds;
        self.leak(&mut first, doses[0]);
        self.leak(&mut second, doses[1]);
        [self.block(doses[0], first, first_control), self.block(doses[1], second, second_control)]
    }

    /// The noise of a pair of blocks at its place; of a place that no run came to, as where time is over, that of another with full rounds.
    fn noise_of_pair(&mut self, place: usize) -> [Growth; 4] {
        match self.world.noise.pairs.get(place) {
            Some(seen) => self.draw(seen),
            None => self.noise_of_full_pair(),
        }
    }

    /// The noise of a pair with full rounds, at whatever place.
    fn noise_of_full_pair(&mut self) -> [Growth; 4] {
        let pairs = &self.world.noise.pairs;
        let place = self.lot.random_range(1..pairs.len());
        self.draw(&pairs[place])
    }

    /// The noise of a further round, or of a control round where no run came to one.
    fn further_noise(&mut self) -> Growth {
        let further = &self.world.noise.further;
        if further.count() > 0 {
            let [round] = self.draw(further);
            return round;
        }
        let [_, control, ..] = self.noise_of_full_pair();
        control
    }

    fn draw<const N: usize>(&mut self, seen: &Seen<[Growth; N]>) -> [Growth; N] {
        let drawn = self.lot.random_range(0..seen.count());
        seen.moved.get(drawn).cloned().unwrap_or_else(|| std::array::from_fn(|_| Growth::new()))
    }

    fn stress(&mut self, round: &mut Growth) {
        match self.world.stress {
            Stress::Nothing => {}
            Stress::Times(factor) => round.values_mut().for_each(|grown| *grown *= factor),
            Stress::Jumps if self.lot.random_bool(0.125) => {
                let jump = self.sign() * JUMP_OBJECTS;
                *round.entry(self.counter.clone()).or_default() += jump;
            }
            Stress::Jumps => {}
            Stress::Drift => *round.entry(self.counter.clone()).or_default() += self.drift,
            Stress::Normal(deviation) => {
                let grown = (deviation * self.normal()).round() as i64;
                *round.entry(self.counter.clone()).or_default() += grown;
            }
            Stress::Several(counters, deviation) => {
                for number in 0..counters {
                    let grown = (deviation * self.normal()).round() as i64;
                    *round.entry(format!("noisy {number}")).or_default() += grown;
                }
            }
            Stress::Readings(counters, deviation) => {
                self.off.resize(counters as usize, 0);
                for number in 0..counters as usize {
                    let off = (deviation * self.normal()).round() as i64;
                    let grown = off - std::mem::replace(&mut self.off[number], off);
                    *round.entry(format!("noisy {number}")).or_default() += grown;
                }
            }
            Stress::Strays => {
                for number in 0..STRAYS.0 {
                    if self.lot.random_bool(STRAYS.1) {
                        *round.entry(format!("stray {number}")).or_default() += self.sign();
                    }
                }
            }
        }
    }

    /// A standard normal number, by the method of Box and Muller.
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.lot.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.lot.random::<f64>()).cos()
    }

    fn sign(&mut self) -> i64 {
        if self.lot.random_bool(0.5) { 1 } else { -1 }
    }

    /// The units of a dose round.
    fn leak(&mut self, round: &mut Growth, dose: u64) {
        let before = self.total_dose;
        self.total_dose += dose;
        let leaked = match self.world.leak {
            Leak::Nothing => return,
            Leak::Steady(rate) => {
                (self.total_dose as f64 * rate).floor() as i64 - (before as f64 * rate).floor() as i64
            }
            Leak::Random(rate) => (0..dose).map(|_| self.poisson(rate)).sum(),
            Leak::Lumps { every, objects, by_lot } => (0..dose).map(|_| self.lump(every, objects, by_lot)).sum(),
        };
        *round.entry(self.counter.clone()).or_default() += leaked;
    }

    /// What one unit leaks in lumps.
    fn lump(&mut self, every: u64, objects: u64, by_lot: bool) -> i64 {
        self.to_lump -= 1;
        if self.to_lump > 0 {
            return 0;
        }
        self.to_lump = if by_lot { self.wait(every) } else { every };
        objects as i64
    }

    /// Units to the next lump, if one of `every` has one.
    fn wait(&mut self, every: u64) -> u64 {
        let mut units = 1;
        while self.lot.random_range(0..every) > 0 {
            units += 1;
        }
        units
    }

    /// Events of a Poisson process before time `mean`.
    fn poisson(&mut self, mean: f64) -> i64 {
        let mut time = 0.0;
        let mut events = -1;
        while time < mean {
            events += 1;
            time -= (1.0 - self.lot.random::<f64>()).ln();
        }
        events
    }

    fn block(&mut self, dose: u64, in_dose: Growth, control: Growth) -> Block {
        self.rounds.push(Round { units: dose, seconds: 1.0, growth: in_dose.clone() });
        self.rounds.push(Round { units: 0, seconds: 1.0, growth: control.clone() });
        let mut growth = in_dose;
        for (name, grown) in &control {
            *growth.entry(name.clone()).or_default() += grown;
        }
        for (name, grown) in &growth {
            *self.net.entry(name.clone()).or_default() += grown;
        }
        growth.insert(AT_REST.into(), 0);
        growth.entry(self.counter.clone()).or_default();
        Block { dose, growth, control }
    }
}
