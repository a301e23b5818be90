//! Made-up results of benches for tests; no figure in here was measured.

use super::format::ROWS;
use crate::bench::scaling::{MEMORY, SIZES};
use crate::protocol::timing::{CacheState, Footprint};
use crate::result::bench::{Machine, *};
use crate::result::bench_metrics::SECONDS;
use crate::stats::estimate::Estimate;
use std::collections::BTreeMap;

/// Makes a file with all that a bench can have.
pub fn file() -> BenchFile {
    BenchFile {
        bench: SCHEMA,
        dirleak: "0.1.0".into(),
        command_line: ["dirleak", "bench", "--json", "bench.json", "huge-flat"].map(String::from).to_vec(),
        machine: Machine::default(),
        accelerator: "tcg-icount".into(),
        results: vec![record()],
        comparisons: vec![comparison(BenchVerdict::Slower)],
        growth: vec![growth(SECONDS, Some(CacheState::Changing)), growth(MEMORY, None)],
        fail_if_slower: None,
    }
}

/// Makes the file of two kernels, compared so often, to these words.
pub fn compared(words: &[BenchVerdict]) -> BenchFile {
    BenchFile { comparisons: words.iter().copied().map(comparison).collect(), growth: Vec::new(), ..file() }
}

fn record() -> BenchRecord {
    let medians: BTreeMap<String, f64> = ROWS.iter().map(|(name, ..)| ((*name).to_owned(), 123_456.789)).collect();
    BenchRecord {
        scenario: "huge-flat".into(),
        kernel: KernelId { spec: "6.1+slow-readdir".into(), release: "6.1.192".into(), ..KernelId::default() },
        entries: 100_000,
        seed: 42,
        setup: crate::scenario::load("huge-flat").unwrap(),
        wall_seconds: 12.3,
        states: CacheState::ALL.map(|state| StateRecord { state, listings: 2, medians: medians.clone() }).to_vec(),
        memory: Footprint { timed_seconds: Some(1.02), bare_seconds: Some(1.0), ..Footprint::default() },
        listings: Vec::new(),
        console_log: None,
    }
}

fn comparison(verdict: BenchVerdict) -> Comparison {
    let ratio = Estimate { estimate: 1.1, low: 1.09, high: 1.11 };
    let ratios: BTreeMap<String, Estimate> = ROWS.iter().map(|(name, ..)| ((*name).to_owned(), ratio)).collect();
    let states = CacheState::ALL.map(|state| StateComparison { state, verdict, ratios: ratios.clone() });
    Comparison {
        scenario: "huge-flat".into(),
        base: "6.1".into(),
        other: "6.1+slow-readdir".into(),
        margin: 0.05,
        verdict,
        states: states.to_vec(),
    }
}

fn growth(what: &str, state: Option<CacheState>) -> Growth {
    Growth {
        scenario: "huge-flat".into(),
        kernel: "6.1".into(),
        what: what.into(),
        state,
        points: SIZES.map(|n| (n, n as f64 * 1.234_567e-3)).to_vec(),
        exponent: Estimate { estimate: -1.05, low: -1.23, high: -0.87 },
        last_step: -1.01,
        called: "more than quadratic".into(),
    }
}
