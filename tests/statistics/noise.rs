//! Recorded noise: by how much counters moved in the rounds of a kernel without a leak.

use dirleak::internals::sample::{Growth, growth};
use dirleak::internals::verdict::judge::Phase;
use dirleak::result::parts::{Round, RoundKind};
use dirleak::result::record::RunRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was seen in the rounds of some runs.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Noise {
    /// Version of the kernel's source package.
    pub source_version: String,
    /// By what the guests were.
    pub setups: Vec<Setup>,
}

/// Whose kernel was booted, and what it was left to do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One of dirleak's own series, in a guest that does nothing else.
    #[default]
    Series,
    /// A distribution's package as it comes.
    Package,
    /// A guest that somebody else uses at the same time, measured from within as `host` measures a machine.
    Busy,
}

/// The runs of guests of one kind.
#[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Setup {
    pub kind: Kind,
    pub cpus: u64,
    /// Whether the kernel kept nothing of who allocated what.
    pub stock: bool,
    /// Runs, by scenario.
    pub runs: BTreeMap<String, u64>,
    /// Runs that were not judged clean, by verdict. They are among the recorded.
    pub not_clean: BTreeMap<String, u64>,
    /// Counters of a run, at most.
    pub counters: u64,
    /// Pairs of blocks by their place in a run, as what happens once happens at a certain place: the short rounds first, then those of
    /// full length. Doses come in pairs, too, so noise that is drawn by the pair keeps what the rounds of a pair have to do with each other.
    pub pairs: Vec<Seen<[Growth; 4]>>,
    /// Further rounds, which follow the blocks.
    pub further: Seen<[Growth; 1]>,
}

/// What counters did in some rounds that belong together.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub struct Seen<T> {
    /// How often no counter moved.
    pub at_rest: usize,
    /// The other times: the growth of each counter that moved; of a pair of blocks in the dose round and the control round of the first
    /// block, and in those of the second.
    pub moved: Vec<T>,
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self { at_rest: 0, moved: Vec::new() }
    }
}

impl<const N: usize> Seen<[Growth; N]> {
    fn add(&mut self, rounds: [Growth; N]) {
        match rounds.iter().all(Growth::is_empty) {
            true => self.at_rest += 1,
            false => self.moved.push(rounds),
        }
    }

    pub fn count(&self) -> usize {
        self.at_rest + self.moved.len()
    }
}

impl Kind {
    /// Returns the kind of a run. Nobody records a live machine that does nothing but be measured: a guest of `run` is that.
    fn of(run: &RunRecord) -> Self {
        if !run.unmounted() {
            return Self::Busy;
        }
        // `6.1:cloud`, where a series is `6.1` and a patched one `6.1+spare-pages`.
        if run.kernel.spec.contains(':') { Self::Package } else { Self::Series }
    }
}

impl Noise {
    /// Adds the rounds of one run.
    pub fn add(&mut self, run: &RunRecord) {
        if let Some(version) = &run.kernel.source_version {
            self.source_version.clone_from(version);
        }
        let (cpus, stock) = run.setup.as_ref().map_or((1, false), |setup| (setup.cpus, setup.stock));
        let kind = Kind::of(run);
        let found = self.setups.iter().position(|setup| (setup.kind, setup.cpus, setup.stock) == (kind, cpus, stock));
        let place = found.unwrap_or_else(|| {
            self.setups.push(Setup { kind, cpus, stock, ..Setup::default() });
            self.setups.len() - 1
        });
        self.setups[place].add(run);
    }
}

impl Setup {
    fn add(&mut self, run: &RunRecord) {
        *self.runs.entry(run.scenario.clone()).or_default() += 1;
        let verdict = run.verdict.as_str();
        if verdict != "clean" {
            *self.not_clean.entry(verdict.to_owned()).or_default() += 1;
        }
        self.counters = self.counters.max(run.bounds.as_ref().map_or(0, |bounds| bounds.counters));
        for (place, pair) in pairs(&run.rounds).into_iter().enumerate() {
            if self.pairs.len() <= place {
                self.pairs.push(Seen::default());
            }
            self.pairs[place].add(pair);
        }
        run.rounds.windows(2).filter(|pair| pair[1].kind == RoundKind::Proof).for_each(|pair| {
            self.further.add([moved(&pair[0], &pair[1])]);
        });
    }

    /// Returns in how many pairs of the full phase, which alone can say clean, some counter moved, and how many there are.
    pub fn full_phase(&self) -> [usize; 2] {
        // Those with short rounds come first.
        let full = self.pairs.get(Phase::Scout.looks()[0] / 2..).unwrap_or_default();
        [full.iter().map(|pairs| pairs.moved.len()).sum(), full.iter().map(Seen::count).sum()]
    }

    /// Pairs of blocks.
    pub fn count(&self) -> usize {
        self.pairs.iter().map(Seen::count).sum()
    }
}

fn moved(before: &Round, after: &Round) -> Growth {
    growth(&before.samples, &after.samples).into_iter().filter(|(_, grown)| *grown != 0).collect()
}

/// The whole pairs of blocks of a run from its first reading on.
fn pairs(rounds: &[Round]) -> Vec<[Growth; 4]> {
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

#[cfg(test)]
fn four_processors() -> dirleak::result::parts::Setup {
    let text = r#"{"server": "synthetic", "nfs_version": "3", "mount_options": "", "rsize_bytes": 4096, "getdents_buffer_bytes": 4096,
                   "memory_mib": 256, "cpus": 4, "stock": true}"#;
    serde_json::from_str(text).unwrap()
}

#[test]
fn run_becomes_pairs_of_blocks_by_setup_and_place() {
    let mut run = RunRecord::begin("quick", dirleak::result::record::KernelRecord::default(), 1);
    run.verdict = dirleak::result::record::Verdict::Clean;
    let mut objects = 100;
    let mut round = |kind, dose, grown: i64| {
        objects += grown;
        let samples = [("pages".to_owned(), objects), ("filp".to_owned(), 7)].into();
        run.rounds.push(Round { dose, samples, kind, seconds: 1.0 });
    };
    round(RoundKind::Warmup, 2, 0);
    let grown = [(6, [4, 0]), (2, [0, -1]), (4, [0, 0]), (12, [0, 0])];
    for (dose, [in_dose, in_control]) in grown {
        round(RoundKind::Dose, dose, in_dose);
        round(RoundKind::Control, 0, in_control);
    }
    round(RoundKind::Proof, 70, 2);
    round(RoundKind::Unmount, 0, -50);
    let mut noise = Noise::default();
    noise.add(&run);
    let grown = |n| Growth::from([("pages".to_owned(), n)]);
    let setup = &noise.setups[0];
    let scout = Seen { at_rest: 0, moved: vec![[grown(4), Growth::new(), Growth::new(), grown(-1)]] };
    assert_eq!(setup.pairs, [scout, Seen { at_rest: 1, moved: vec![] }]);
    assert_eq!(setup.further, Seen { at_rest: 0, moved: vec![[grown(2)]] });
    assert_eq!((setup.cpus, setup.stock, setup.runs["quick"]), (1, false, 1));
    // A block that has no other makes no pair.
    run.rounds.truncate(7);
    noise.add(&run);
    assert_eq!(noise.setups[0].pairs.iter().map(Seen::count).collect::<Vec<_>>(), [2, 1]);
    // Guests of another kind are kept apart.
    run.setup = Some(four_processors());
    noise.add(&run);
    assert_eq!((noise.setups.len(), noise.setups[1].cpus, noise.setups[1].runs["quick"]), (2, 4, 1));
    // So are those of a package, and those that somebody else uses, too.
    run.kernel.spec = "6.1:cloud".into();
    noise.add(&run);
    run.accelerator = dirleak::result::record::NO_ACCELERATOR.into();
    noise.add(&run);
    assert_eq!(noise.setups[2..].iter().map(|setup| setup.kind).collect::<Vec<_>>(), [Kind::Package, Kind::Busy]);
}
