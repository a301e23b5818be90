//! Which runs are simulated, and their numbers as Markdown.

use super::course::{Leak, Look, Stress, World, moving};
use super::naive;
use super::noise::{Kind, Noise, Setup};
use super::tally::{LOOKS, Verdicts, missed, verdict};
use dirleak::internals::scenario::{self, Rounds};
use dirleak::internals::stats::theil_sen::BoundWidth;
use dirleak::internals::verdict::judge::{Judgement, Phase, bound_width};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Synthetic runs of each row.
const RUNS: u64 = 10_000;
/// Objects per unit that leak.
const RATES: [f64; 5] = [0.5, 0.75, 1.0, 2.0, 25.0];

/// Leaks that do not come with every unit: how rarely, and how much of it.
pub const LUMPS: [Leak; 8] = [
    Leak::Lumps { every: 5, objects: 5, by_lot: true },
    Leak::Lumps { every: 16, objects: 16, by_lot: true },
    Leak::Lumps { every: 20, objects: 20, by_lot: true },
    Leak::Lumps { every: 50, objects: 50, by_lot: true },
    Leak::Lumps { every: 100, objects: 1000, by_lot: true },
    Leak::Lumps { every: 50, objects: 50, by_lot: false },
    Leak::Lumps { every: 64, objects: 64, by_lot: false },
    Leak::Lumps { every: 100, objects: 1000, by_lot: false },
];

/// What is said at a look.
type Judge = fn(&World, &Look) -> Judgement;

/// One kind of runs.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub verdicts: Verdicts,
    /// Runs with an interval that does not contain its rate, by the first look at which that is so; not of runs with a leak.
    pub missed: [u64; LOOKS],
}

#[derive(Debug)]
pub struct Tables {
    /// What was recorded.
    recorded: String,
    /// Noise as it was recorded, a row for each setup.
    pub setups: Vec<Row>,
    pub without_leak: Vec<Row>,
    pub steady: Vec<Row>,
    pub random: Vec<Row>,
    pub lumps: Vec<Row>,
    pub naive: Vec<Row>,
}

impl Tables {
    pub fn simulate() -> Self {
        let noise: Noise = serde_json::from_str(include_str!("../data/noise-6.1.json")).expect("the noise is JSON");
        let [usual, huge] = ["quick", "huge-flat"].map(|name| scenario::load(name).expect("it ships").rounds);
        // The first is what nearly all scenarios are run as; the last is the most restless.
        let [first, .., last] = &noise.setups[..] else { panic!("noise of several setups was recorded") };
        let some_counter = "some counter".to_owned();
        let world_of = |noise, rounds, stress, leak| World {
            noise,
            // Where none moved, whatever leaks or is under stress was at rest.
            counters: Some(moving(noise)).filter(|moving| !moving.is_empty()).unwrap_or_else(|| vec![&some_counter]),
            widths: widths(noise),
            rounds,
            stress,
            leak,
        };
        let world = |rounds, stress, leak| world_of(first, rounds, stress, leak);
        let of_setup = |noise| without_leak(&world_of(noise, &usual, Stress::Nothing, Leak::Nothing), verdict);
        let recorded: Vec<Row> = noise.setups.iter().map(of_setup).collect();
        let without_leak = |rounds, stress| without_leak(&world(rounds, stress, Leak::Nothing), verdict);
        let with_leak_in = |world: &World| with_leak(world);
        let with_leak = |leak| {
            let nothing = Stress::Nothing;
            let worlds = [
                (first, &usual, nothing),
                (first, &huge, nothing),
                (last, &usual, nothing),
                (first, &usual, Stress::Normal(2.0)),
            ];
            // A leak by lot scatters by itself.
            let worlds = &worlds[..if matches!(leak, Leak::Random(_)) { 3 } else { 4 }];
            let rows = worlds.iter().map(|&(noise, rounds, stress)| with_leak(&world_of(noise, rounds, stress, leak)));
            rows.collect::<Vec<_>>()
        };
        let naive = |(noise, stress)| {
            let world = world_of(noise, &usual, stress, Leak::Nothing);
            let row = |name, judge| {
                let row = self::without_leak(&world, judge);
                Row { name: format!("{name}, {}", row.name), ..row }
            };
            [row("difference of two readings", naive::difference as Judge), row("least squares", naive::least_squares)]
        };
        Self {
            recorded: noise.setups.iter().map(summary).collect(),
            setups: recorded,
            without_leak: vec![
                without_leak(&huge, Stress::Nothing),
                self::without_leak(&world_of(last, &usual, Stress::Times(10), Leak::Nothing), verdict),
                without_leak(&usual, Stress::Strays),
                without_leak(&usual, Stress::Normal(0.5)),
                without_leak(&usual, Stress::Normal(2.0)),
                without_leak(&usual, Stress::Normal(20.0)),
                without_leak(&usual, Stress::Several(10, 2.0)),
                without_leak(&usual, Stress::Several(10, 20.0)),
                without_leak(&usual, Stress::Several(30, 2.0)),
                without_leak(&usual, Stress::Readings(30, 2.0)),
                without_leak(&usual, Stress::Drift),
                without_leak(&usual, Stress::Jumps),
            ],
            steady: RATES.map(Leak::Steady).into_iter().flat_map(with_leak).collect(),
            random: RATES.map(Leak::Random).into_iter().flat_map(with_leak).collect(),
            lumps: LUMPS.map(|leak| with_leak_in(&world(&usual, Stress::Nothing, leak))).into(),
            naive: [(last, Stress::Nothing), (first, Stress::Jumps)].into_iter().flat_map(naive).collect(),
        }
    }

    pub fn markdown(&self) -> String {
        let mut text =
            format!("{}\n| noise | false leak | bounds that fail | clean | undecided | blocks |\n", self.recorded);
        text += "|---|---|---|---|---|---|\n";
        for Row { name, verdicts: v, missed } in self.setups.iter().chain(&self.without_leak) {
            let [leak, failed, clean, undecided] =
                [v.false_leaks, missed.iter().sum(), v.clean, v.undecided].map(percent);
            let blocks = v.mean_blocks();
            let _ = writeln!(text, "| {name} | {leak} | {failed} | {clean} | {undecided} | {blocks:.1} |");
        }
        text += "\n| leak | found | at look 1 to 5 | wrongly clean | undecided | covered | blocks |\n";
        text += "|---|---|---|---|---|---|---|\n";
        for Row { name, verdicts: v, .. } in self.steady.iter().chain(&self.random).chain(&self.lumps) {
            let looks = v.found.map(|found| format!("{:.0}", 100.0 * found as f64 / RUNS as f64)).join(", ");
            let [found, clean, undecided, covered] =
                [v.found.iter().sum(), v.clean, v.undecided, v.covered].map(percent);
            let blocks = v.mean_blocks();
            let _ = writeln!(text, "| {name} | {found} | {looks} | {clean} | {undecided} | {covered} | {blocks:.1} |");
        }
        text += "\n| naive judge | false leak | bounds that fail |\n|---|---|---|\n";
        for Row { name, verdicts, missed } in &self.naive {
            let _ = writeln!(text, "| {name} | {} | {} |", percent(verdicts.false_leaks), percent(missed.iter().sum()));
        }
        text
    }
}

/// How wide bounds are by the number of blocks, with as many counters as there were.
fn widths(noise: &Setup) -> BTreeMap<usize, BoundWidth> {
    Phase::Full.looks().iter().map(|blocks| (*blocks, bound_width(*blocks, noise.counters as usize))).collect()
}

/// Says what was recorded of a setup, in a line.
fn summary(noise: &Setup) -> String {
    let runs: Vec<String> = noise.runs.iter().map(|(scenario, runs)| format!("{runs} of `{scenario}`")).collect();
    let not_clean = match noise.not_clean.values().sum() {
        0 => "all of them clean".to_owned(),
        n => format!("{n} of them not clean"),
    };
    let moved: usize = noise.pairs.iter().map(|pairs| pairs.moved.len()).sum();
    let [full, all_full] = noise.full_phase();
    format!(
        "* {}: {} runs ({}), {not_clean}; in {moved} of {} pairs of blocks some counter moved, in {full} of {all_full} of the full phase.\n",
        setup(noise),
        noise.runs.values().sum::<u64>(),
        runs.join(", "),
        noise.count()
    )
}

fn setup(noise: &Setup) -> String {
    let processors = if noise.cpus == 1 { "1 processor".to_owned() } else { format!("{} processors", noise.cpus) };
    let how = match noise.kind {
        Kind::Series if noise.stock => ", `--stock`",
        Kind::Series => "",
        Kind::Package => ", Debian's package",
        Kind::Busy => ", beside a busy neighbour",
    };
    processors + how
}

/// What guests were, other than nearly all are.
fn on(noise: &Setup) -> String {
    let is_usual = noise.kind == Kind::Series && noise.cpus == 1 && !noise.stock;
    if is_usual { String::new() } else { format!(", {}", setup(noise)) }
}

fn without_leak(world: &World, judge: Judge) -> Row {
    let name = match world.stress {
        Stress::Nothing => format!("as recorded on {}{}", setup(world.noise), doses(world.rounds)),
        stress => format!("{}{}{}", described(stress), doses(world.rounds), on(world.noise)),
    };
    let (verdicts, missed) = (Verdicts::count(world, RUNS, judge), missed(world, RUNS, judge));
    Row { name, verdicts, missed }
}

fn with_leak(world: &World) -> Row {
    let leak = match world.leak {
        Leak::Nothing => "none".into(),
        Leak::Steady(rate) => format!("{rate}"),
        Leak::Random(rate) => format!("{rate} by lot"),
        Leak::Lumps { every, objects, by_lot: true } => format!("{objects} in one of {every} units"),
        Leak::Lumps { every, objects, by_lot: false } => format!("{objects} in every {every}th unit"),
    };
    let stress = match world.stress {
        Stress::Nothing => String::new(),
        stress => format!(", {}", described(stress)),
    };
    let name = format!("{leak}{stress}{}{}", doses(world.rounds), on(world.noise));
    Row { name, verdicts: Verdicts::count(world, RUNS, verdict), missed: [0; LOOKS] }
}

fn described(stress: Stress) -> String {
    match stress {
        Stress::Nothing => "as recorded".into(),
        Stress::Times(factor) => format!("{factor} times as large"),
        Stress::Jumps => "a counter that jumps".into(),
        Stress::Drift => "a counter that drifts".into(),
        Stress::Strays => "stray objects".into(),
        Stress::Normal(deviation) => format!("a counter with scatter {deviation}"),
        Stress::Several(counters, deviation) => format!("{counters} counters with scatter {deviation}"),
        Stress::Readings(counters, deviation) => format!("{counters} counters with readings off by {deviation}"),
    }
}

/// Doses other than those of nearly all scenarios.
fn doses(rounds: &Rounds) -> String {
    match rounds.doses {
        [4, 12] => String::new(),
        [small, large] => format!(", doses {small} and {large}"),
    }
}

fn percent(runs: u64) -> String {
    format!("{:.2} %", 100.0 * runs as f64 / RUNS as f64)
}
