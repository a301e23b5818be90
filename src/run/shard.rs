//! Which of all runs a machine makes when several share them: the same split on each machine, about equally long.

use crate::error::{Error, Result};
use crate::result::shard::ShardRecord;
use crate::scenario::Scenario;
use std::cmp::Reverse;
use std::str::FromStr;

/// What a kernel costs that a shard has no other run on: building it. It keeps the runs on a kernel together.
const KERNEL_SECONDS: f64 = 300.0;

/// The part of all runs that is made here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shard {
    /// From 1 to `of`.
    pub number: u32,
    /// How many shards there are.
    pub of: u32,
}

impl Shard {
    /// Returns what the result file says of it, where there are so many runs in all.
    pub fn to_record(self, runs: usize) -> ShardRecord {
        ShardRecord { number: self.number, of: self.of, runs: runs as u64 }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let both = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
        match both {
            Some((number, of)) if number >= 1 && number <= of => Ok(Self { number, of }),
            Some((0, of)) => Err(format!("shards are counted from 1: 1/{of} is the first")),
            _ => Err("not like 2/5, the second of five".into()),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// Returns the places of the runs of `shard` among all `scenarios` on all `kernels`: the scenarios of the first kernel,
/// then those of the next. Never empty: who has nothing to do would look clean.
pub fn runs_of(shard: Shard, scenarios: &[Scenario], kernels: usize) -> Result<Vec<usize>> {
    let all = scenarios.len() * kernels;
    if shard.of as usize > all {
        return Err(Error::usage(format!(
            "--shard {shard}: all runs are {all}, and no shard may be empty; ask for {all} at most"
        )));
    }
    let seconds: Vec<f64> = scenarios.iter().map(crate::run::duration::seconds).collect();
    Ok(split(&seconds, kernels, shard.of as usize).swap_remove(shard.number as usize - 1))
}

/// Puts all kernels on every shard, or each on as few as it takes: whatever is done first.
fn split(seconds: &[f64], kernels: usize, shards: usize) -> Vec<Vec<usize>> {
    let on_few = |shard: usize, kernel: usize| match shards < kernels {
        true => kernel % shards == shard,
        false => shard % kernels == kernel,
    };
    let (few, all) = (deal(seconds, kernels, shards, on_few), deal(seconds, kernels, shards, |_, _| true));
    let longest = |parts: &[Part]| parts.iter().map(|part| part.seconds).fold(0.0, f64::max);
    let parts = if longest(&few) <= longest(&all) { few } else { all };
    parts.into_iter().map(|part| part.runs).collect()
}

/// Deals the longest run first, each to the shard that then is done first, of those that may have the kernel; of equals
/// the first.
fn deal(seconds: &[f64], kernels: usize, shards: usize, may: impl Fn(usize, usize) -> bool) -> Vec<Part> {
    let (scenario, kernel) = (|run: usize| run % seconds.len(), |run: usize| run / seconds.len());
    let mut order: Vec<usize> = (0..seconds.len() * kernels).collect();
    order.sort_by_key(|run| (Reverse((seconds[scenario(*run)] * 1000.0) as u64), *run));
    let mut parts = vec![Part { runs: Vec::new(), seconds: 0.0, has: vec![false; kernels] }; shards];
    for run in order {
        let then = |part: &Part| {
            let build = if part.has[kernel(run)] { 0.0 } else { KERNEL_SECONDS };
            part.seconds + build + seconds[scenario(run)]
        };
        let candidates = (0..shards).filter(|shard| may(*shard, kernel(run)));
        let first = candidates.min_by(|a, b| then(&parts[*a]).total_cmp(&then(&parts[*b])));
        let first = &mut parts[first.expect("every kernel has a shard")];
        first.seconds = then(first);
        first.has[kernel(run)] = true;
        first.runs.push(run);
    }
    parts.iter_mut().for_each(|part| part.runs.sort_unstable());
    parts
}

/// A shard while runs are dealt out.
#[derive(Clone)]
struct Part {
    runs: Vec<usize>,
    seconds: f64,
    /// Whether it has a run on the kernel, by number.
    has: Vec<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{load, names};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn library() -> Vec<Scenario> {
        names().iter().map(|name| load(name).unwrap()).collect()
    }

    #[test]
    fn words_for_shards_are_read_and_other_words_told() {
        assert_eq!("2/5".parse(), Ok(Shard { number: 2, of: 5 }));
        assert_eq!("1/1".parse::<Shard>().unwrap().to_string(), "1/1");
        assert!("0/5".parse::<Shard>().unwrap_err().contains("counted from 1"));
        for wrong in ["6/5", "2", "2/", "/5", "-1/5", "a/b", "1/0", "", "1/2/3", "1/99999999999"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn shards_that_are_more_than_the_runs_are_refused() {
        let scenarios = [load("quick").unwrap()];
        let error = runs_of(Shard { number: 1, of: 3 }, &scenarios, 2).unwrap_err().to_string();
        assert_eq!(error, "--shard 1/3: all runs are 2, and no shard may be empty; ask for 2 at most");
        assert_eq!(runs_of(Shard { number: 2, of: 2 }, &scenarios, 2).unwrap().len(), 1);
    }

    #[test]
    fn library_is_split_into_shards_of_about_the_same_length() {
        let scenarios = library();
        let seconds: Vec<f64> = scenarios.iter().map(crate::run::duration::seconds).collect();
        let longest = seconds.iter().copied().fold(0.0, f64::max);
        for shards in [2, 3, 4, 8] {
            let lengths: Vec<f64> =
                split(&seconds, 1, shards).iter().map(|runs| runs.iter().map(|run| seconds[*run]).sum()).collect();
            let most = lengths.iter().copied().fold(0.0, f64::max);
            let fair = lengths.iter().sum::<f64>() / shards as f64;
            assert!(most <= (1.1 * fair).max(longest), "{shards} shards: {lengths:?}");
        }
    }

    #[test]
    fn kernel_is_built_on_as_few_machines_as_it_takes() {
        let parts = split(&[20.0; 10], 2, 2);
        assert_eq!(parts, [(0..10).collect::<Vec<_>>(), (10..20).collect()]);
        let kernels_of = |runs: &Vec<usize>| runs.iter().map(|run| run / 3).collect::<BTreeSet<_>>();
        let parts = split(&[20.0, 20.0, 20.0], 4, 3);
        assert_eq!(parts.iter().map(|runs| kernels_of(runs).len()).collect::<Vec<_>>(), [2, 1, 1]);
    }

    proptest! {
        #[test]
        fn shards_together_are_every_run_once(
            seconds in prop::collection::vec(0.1..500.0_f64, 1..60), kernels in 1..4_usize, shards in 1..12_usize
        ) {
            let all = seconds.len() * kernels;
            prop_assume!(shards <= all);
            let parts = split(&seconds, kernels, shards);
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            let mut together: Vec<usize> = parts.concat();
            together.sort_unstable();
            prop_assert_eq!(together, (0..all).collect::<Vec<_>>());
            prop_assert_eq!(split(&seconds, kernels, shards), parts);
        }
    }

    #[test]
    fn run_goes_to_the_shard_that_is_done_first_with_the_build_of_its_kernel() {
        let runs = |parts: Vec<Part>| parts.into_iter().map(|part| part.runs).collect::<Vec<_>>();
        // Tenths of a second count, too.
        assert_eq!(runs(deal(&[1.2, 1.9, 1.5], 1, 2, |_, _| true)), [vec![1], vec![0, 2]]);
        let two = deal(&[10.0], 2, 2, |_, _| true);
        assert!(two.iter().all(|part| part.seconds == KERNEL_SECONDS + 10.0));
        assert_eq!(runs(two), [[0], [1]]);
    }
}
