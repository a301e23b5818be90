//! Recorded noise: by how much counters moved in the rounds of a kernel without a leak.

use dirleak::internals::sample::{Growth, growth};
use dirleak::result::parts::{Round, RoundKind};
use dirleak::result::record::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen in the rounds of some runs.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Noise {
    /// Version of the kernel's source package.
    pub source_version: String,
    /// Runs, by scenario.
    pub runs: BTreeMap<String, u64>,
    /// Runs that were not judged clean, by verdict. They are among the recorded.
    pub not_clean: BTreeMap<String, u64>,
    /// Counters of a run, at most.
    pub counters: u64,
    /// The short rounds.
    pub scout: Pairs,
    /// Those of full length.
    pub full: Pairs,
}

/// Pairs of blocks of one phase. Doses come in pairs, too, so noise that is drawn by the pair keeps what the rounds of a
/// pair have to do with each other.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Pairs {
    /// Pairs in which no counter moved.
    pub at_rest: usize,
    /// The others: the growth of each counter that moved, in the dose round and the control round of the first block, and in
    /// those of the second.
    pub moved: Vec<[Growth; 4]>,
}

impl Noise {
    /// Adds the rounds of one run.
    pub fn add(&mut self, run: &RunRecord) {
        self.source_version = run.kernel.source_version.clone().unwrap_or_default();
        *self.runs.entry(run.scenario.clone()).or_default() += 1;
        let verdict = run.verdict.as_str();
        if verdict != "clean" {
            *self.not_clean.entry(verdict.to_owned()).or_default() += 1;
        }
        self.counters = self.counters.max(run.bounds.as_ref().map_or(0, |bounds| bounds.counters));
        for (number, pair) in pairs(&run.rounds).into_iter().enumerate() {
            // The scout phase has one look, after two blocks.
            let pairs = if number == 0 { &mut self.scout } else { &mut self.full };
            pairs.add(pair);
        }
    }

    /// Pairs of blocks.
    pub fn pairs(&self) -> usize {
        self.scout.count() + self.full.count()
    }
}

impl Pairs {
    fn add(&mut self, pair: [Growth; 4]) {
        match pair.iter().all(Growth::is_empty) {
            true => self.at_rest += 1,
            false => self.moved.push(pair),
        }
    }

    fn count(&self) -> usize {
        self.at_rest + self.moved.len()
    }
}

/// The whole pairs of blocks of a run from its first reading on.
fn pairs(rounds: &[Round]) -> Vec<[Growth; 4]> {
    let moved = |before: &Round, after: &Round| {
        growth(&before.samples, &after.samples).into_iter().filter(|(_, grown)| *grown != 0).collect()
    };
    let kinds = [RoundKind::Dose, RoundKind::Control, RoundKind::Dose, RoundKind::Control];
    let mut pairs = Vec::new();
    // Each pair begins with the last reading of the one before.
    for window in rounds.windows(5).step_by(4) {
        if window[1..].iter().map(|round| round.kind).ne(kinds) {
            break;
        }
        pairs.push(std::array::from_fn(|i| moved(&window[i], &window[i + 1])));
    }
    pairs
}

#[test]
fn run_becomes_pairs_of_blocks_by_phase() {
    let mut run = RunRecord::begin("quick", dirleak::result::record::KernelRecord::default(), 1);
    run.verdict = dirleak::result::record::Verdict::Clean;
    let mut objects = 100;
    let mut round = |kind, dose, grown: i64| {
        objects += grown;
        let samples = [("pages".to_owned(), objects), ("filp".to_owned(), 7)].into();
        run.rounds.push(Round { dose, samples, kind, seconds: 1.0 });
    };
    round(RoundKind::Warmup, 2, 0);
    let grown = [(6, [4, 0]), (2, [0, -1]), (4, [0, 0]), (12, [0, 0]), (12, [0, 1])];
    for (dose, [in_dose, in_control]) in grown {
        round(RoundKind::Dose, dose, in_dose);
        round(RoundKind::Control, 0, in_control);
    }
    round(RoundKind::Unmount, 0, -50);
    let mut noise = Noise::default();
    noise.add(&run);
    let moved = |n| Growth::from([("pages".to_owned(), n)]);
    let scout = Pairs { at_rest: 0, moved: vec![[moved(4), Growth::new(), Growth::new(), moved(-1)]] };
    // The last block has no other to make a pair.
    assert_eq!((noise.scout, noise.full), (scout, Pairs { at_rest: 1, moved: vec![] }));
    assert_eq!(noise.runs["quick"], 1);
}
