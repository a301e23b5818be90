//! Which runs are simulated, and their numbers as Markdown.

use super::course::{Leak, Look, Stress, World, moving};
use super::naive;
use super::noise::Noise;
use super::tally::{LOOKS, Verdicts, missed, verdict};
use dirleak::internals::scenario::{self, Rounds};
use dirleak::internals::verdict::judge::{Judgement, Phase, bound_width};
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
        let looks = Phase::Full.looks();
        let widths = looks.iter().map(|blocks| (*blocks, bound_width(*blocks, noise.counters as usize))).collect();
        let widths = &widths;
        let world =
            |rounds, stress, leak| World { noise: &noise, counters: moving(&noise), widths, rounds, stress, leak };
        let without_leak = |rounds, stress| without_leak(&world(rounds, stress, Leak::Nothing), verdict);
        let with_leak_in = |world: &World| with_leak(world);
        let with_leak = |leak| {
            let worlds = [(&usual, Stress::Nothing), (&huge, Stress::Nothing), (&usual, Stress::Normal(2.0))];
            // A leak by lot scatters by itself.
            let worlds = &worlds[..if matches!(leak, Leak::Random(_)) { 2 } else { 3 }];
            let rows = worlds.iter().map(|&(rounds, stress)| with_leak(&world(rounds, stress, leak)));
            rows.collect::<Vec<_>>()
        };
        let naive = |stress| {
            let world = world(&usual, stress, Leak::Nothing);
            let row = |name, judge| Row { name, ..self::without_leak(&world, judge) };
            [
                row(format!("difference of two readings, {}", described(stress)), naive::difference as Judge),
                row(format!("least squares, {}", described(stress)), naive::least_squares),
            ]
        };
        Self {
            recorded: recorded(&noise),
            without_leak: vec![
                without_leak(&usual, Stress::Nothing),
                without_leak(&huge, Stress::Nothing),
                without_leak(&usual, Stress::Times(10)),
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
            naive: [Stress::Nothing, Stress::Jumps].into_iter().flat_map(naive).collect(),
        }
    }

    pub fn markdown(&self) -> String {
        let mut text =
            format!("{}\n\n| noise | false leak | bounds that fail | clean | undecided | blocks |\n", self.recorded);
        text += "|---|---|---|---|---|---|\n";
        for Row { name, verdicts: v, missed } in &self.without_leak {
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

fn recorded(noise: &Noise) -> String {
    let runs: Vec<String> = noise.runs.iter().map(|(scenario, runs)| format!("{runs} of `{scenario}`")).collect();
    let not_clean = match noise.not_clean.values().sum() {
        0 => "all of them clean".to_owned(),
        n => format!("{n} of them not clean"),
    };
    let moved = noise.scout.moved.len() + noise.full.moved.len();
    format!(
        "Recorded were {} runs ({}), {not_clean}; in {moved} of {} pairs of blocks some counter moved.",
        noise.runs.values().sum::<u64>(),
        runs.join(", "),
        noise.pairs()
    )
}

fn without_leak(world: &World, judge: Judge) -> Row {
    let name = format!("{}{}", described(world.stress), doses(world.rounds));
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
    let name = format!("{leak}{stress}{}", doses(world.rounds));
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
