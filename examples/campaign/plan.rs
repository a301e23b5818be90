//! Which runs are made, what must come of them, and which of them are killed when and how.

use super::run::Ended;
use nix::sys::signal::Signal;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// What must come of a run that is left alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Must {
    /// Every verdict is clean on a kernel without a patch, and a leak on one with it.
    Judge,
    /// A kernel.
    Build,
}

/// A kind of run.
#[derive(Debug)]
pub struct Kind {
    pub words: &'static [&'static str],
    pub must: Must,
    pub status: i32,
    /// How often it is made, beside the others.
    often: usize,
    /// About what it takes, until one has shown it.
    seconds: f64,
}

const fn judging(words: &'static [&'static str], status: i32, often: usize, seconds: f64) -> Kind {
    Kind { words, must: Must::Judge, status, often, seconds }
}

/// All kinds. `kernel build` is never killed by SIGKILL: the next one then compiles all of it, which takes minutes, and `tests/kernel.rs`
/// tries that with small sources.
pub const KINDS: [Kind; 6] = [
    judging(&["run", "--kernel", "6.1", "quick"], 0, 6, 6.0),
    judging(&["run", "--kernel", "6.1+spare-pages", "quick"], 1, 6, 6.0),
    judging(&["verify", "quick"], 0, 3, 12.0),
    judging(&["run", "--kernel", "6.1", "quick-v4", "mount-cycle"], 0, 2, 20.0),
    judging(&["run", "--kernel", "6.1+spare-pages", "quick", "many-pages"], 1, 2, 20.0),
    Kind { words: &["kernel", "build", "6.1+change.patch"], must: Must::Build, status: 0, often: 1, seconds: 20.0 },
];

/// What runs are killed by.
pub const SIGNALS: [Signal; 3] = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT];

/// When and how a run is killed.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub signal: Signal,
    pub after_seconds: f64,
}

/// A run that is to be made.
pub struct Next {
    pub number: usize,
    pub kind: &'static Kind,
    pub kill: Option<Kill>,
}

/// The runs that are still to be made.
pub struct Plan {
    lot: ChaCha8Rng,
    /// For each run, whether it is to be killed.
    runs: Vec<bool>,
    made: usize,
    builds: bool,
    /// Runs that had ended before they could be killed, so that others are killed for them.
    owed: usize,
    /// Runs of each kind that came to their end, and the seconds of all of them.
    durations: [(usize, f64); KINDS.len()],
}

impl Plan {
    pub fn new(runs: usize, killed: usize, seed: u64, builds: bool) -> Self {
        let mut lot = ChaCha8Rng::seed_from_u64(seed);
        let mut runs: Vec<bool> = (0..runs).map(|run| run < killed).collect();
        runs.shuffle(&mut lot);
        Self { lot, runs, made: 0, builds, owed: 0, durations: [(0, 0.0); KINDS.len()] }
    }

    /// The next run, if there is one.
    pub fn next(&mut self) -> Option<Next> {
        let mut killed = *self.runs.get(self.made)?;
        if !killed && self.owed > 0 {
            (killed, self.owed) = (true, self.owed - 1);
        }
        self.made += 1;
        let kind = self.draw();
        let signals = if KINDS[kind].must == Must::Build { &SIGNALS[1..] } else { &SIGNALS[..] };
        let signal = signals[self.lot.random_range(0..signals.len())];
        let after_seconds = self.lot.random_range(0.0..1.0) * self.expected(kind);
        let kill = killed.then_some(Kill { signal, after_seconds });
        Some(Next { number: self.made, kind: &KINDS[kind], kill })
    }

    fn draw(&mut self) -> usize {
        let kinds = KINDS.iter().enumerate().filter(|(_, kind)| self.builds || kind.must == Must::Judge);
        let kinds: Vec<usize> = kinds.flat_map(|(number, kind)| vec![number; kind.often]).collect();
        kinds[self.lot.random_range(0..kinds.len())]
    }

    fn expected(&self, kind: usize) -> f64 {
        match self.durations[kind] {
            (0, _) => KINDS[kind].seconds,
            (runs, seconds) => seconds / runs as f64,
        }
    }

    /// A run has ended, or was ended.
    pub fn ended(&mut self, next: &Next, ended: &Ended) {
        if ended.kill.is_none() {
            self.owed += usize::from(next.kill.is_some());
            let kind = KINDS.iter().position(|kind| std::ptr::eq(kind, next.kind)).expect("it is one of them");
            let (runs, seconds) = self.durations[kind];
            self.durations[kind] = (runs + 1, seconds + ended.seconds);
        }
    }

    pub fn made(&self) -> usize {
        self.made
    }

    /// Runs of each kind that came to their end, and the mean of their seconds.
    pub fn durations(&self) -> impl Iterator<Item = (usize, f64)> {
        self.durations.into_iter().map(|(runs, seconds)| (runs, seconds / runs.max(1) as f64))
    }
}
