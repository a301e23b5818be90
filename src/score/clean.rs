//! How often a kernel without a known leak is accused: runs of several directories over several versions of NFS.

use super::bound::upper_bound;
use crate::error::Result;
use crate::result::record::{RunRecord, Verdict};
use crate::scenario::{Overrides, Scenario, load};
use crate::stats::estimate::median;
use serde::Serialize;
use std::fmt::Write;

/// Scenarios, numbers of entries and of processors that are tried in turn: both servers, versions 3 and 4.2, three sizes of directory,
/// and two and four processors.
const TRIED: [(&str, u64, u32); 9] = [
    ("quick", 20, 1),
    ("quick-v4", 20, 1),
    ("quick", 150, 1),
    ("quick-v4", 150, 1),
    ("many-pages", 1000, 1),
    ("quick-v4", 1000, 1),
    ("quick", 150, 4),
    ("quick-v4", 150, 4),
    ("many-pages", 1000, 2),
];
/// Of the bounds on the rate of false alarms.
const CONFIDENCE: f64 = 0.95;

/// One run on the kernel as it is, from a boot of its own.
#[derive(Clone, Debug, Serialize)]
pub struct CleanRun {
    pub scenario: String,
    pub nfs_version: String,
    pub entries: u64,
    pub processors: u32,
    pub seed: u64,
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
    pub seconds: f64,
}

/// Returns the scenarios of `runs` runs, each with its seed.
pub fn scenarios(runs: u64, first_seed: u64) -> Result<Vec<(Scenario, u64)>> {
    let tried = TRIED.iter().map(|(name, entries, processors)| {
        let mut scenario = load(name)?;
        Overrides { entries: Some(*entries), ..Overrides::default() }.apply(&mut scenario)?;
        scenario.guest.cpus = *processors;
        Ok(scenario)
    });
    let tried: Vec<Scenario> = tried.collect::<Result<_>>()?;
    Ok((0..runs).zip(tried.iter().cycle()).map(|(n, scenario)| (scenario.clone(), first_seed + n)).collect())
}

impl CleanRun {
    /// Notes what a run says.
    pub fn new(scenario: &Scenario, record: &RunRecord) -> Self {
        Self {
            scenario: scenario.name.clone(),
            nfs_version: scenario.mount.version.to_string(),
            entries: scenario.directory.entries,
            processors: scenario.guest.cpus,
            seed: record.seed,
            verdict: record.verdict,
            reason: record.reason.clone(),
            seconds: record.seconds,
        }
    }
}

/// Returns the runs as Markdown: a table, and what follows from it for the rate of false alarms.
pub fn markdown(runs: &[CleanRun]) -> String {
    let mut text =
        String::from("| scenario | NFS | entries | processors | runs | clean | accused | other | s, median |\n");
    text += "|---|---|---|---|---|---|---|---|---|\n";
    let cell_of = |run: &'_ CleanRun| (run.scenario.clone(), run.nfs_version.clone(), run.entries, run.processors);
    let mut cells = Vec::new();
    for run in runs {
        let cell = cell_of(run);
        if !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    for cell in cells {
        let matching: Vec<&CleanRun> = runs.iter().filter(|run| cell_of(run) == cell).collect();
        let (scenario, version, entries, processors) = cell;
        let (clean, accused) =
            (count(matching.iter().copied(), Verdict::Clean), count(matching.iter().copied(), Verdict::Leak));
        let (all, other) = (matching.len(), matching.len() - clean - accused);
        let seconds = median(matching.iter().map(|run| run.seconds)).unwrap_or_default();
        let _ = writeln!(
            text,
            "| {scenario} | {version} | {entries} | {processors} | {all} | {clean} | {accused} | {other} | {seconds:.1} |"
        );
    }
    let accused = count(runs.iter(), Verdict::Leak);
    let upper = 100.0 * upper_bound(accused as u64, runs.len() as u64, CONFIDENCE);
    let _ = writeln!(
        text,
        "\n{accused} of {} runs accused a kernel without a known leak. Each had a seed of its own, which draws the order of the \
         doses: over such draws, with the noise of this kernel, the rate of false alarms is at most {upper:.2} % ({:.0} % confidence, exact binomial).",
        runs.len(),
        100.0 * CONFIDENCE
    );
    text
}

fn count<'a>(runs: impl Iterator<Item = &'a CleanRun>, verdict: Verdict) -> usize {
    runs.filter(|run| run.verdict == verdict).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_is_tried_as_often_with_seeds_of_its_own() {
        let tried = scenarios(18, 7).unwrap();
        assert_eq!(tried.iter().map(|(_, seed)| *seed).collect::<Vec<_>>(), (7..25).collect::<Vec<_>>());
        assert!((0..9).all(|cell| tried[cell].0 == tried[cell + 9].0));
        let of_several = tried[..9].iter().filter(|(scenario, _)| scenario.guest.cpus > 1);
        assert_eq!(of_several.map(|(scenario, _)| scenario.guest.cpus).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!((tried[5].0.mount.version.as_str(), tried[5].0.directory.entries), ("4.2", 1000));
    }

    #[test]
    fn false_alarm_is_counted_and_bounded() {
        let record = crate::result::example::clean();
        let scenario = load("quick").unwrap();
        let mut runs = vec![CleanRun::new(&scenario, &record); 300];
        assert!(markdown(&runs).contains("0 of 300 runs accused"));
        assert!(markdown(&runs).contains("at most 0.99 %"), "{}", markdown(&runs));
        runs[17].verdict = Verdict::Leak;
        runs[18].processors = 4;
        let text = markdown(&runs);
        assert!(text.contains("| quick | 3 | 150 | 1 | 299 | 298 | 1 | 0 |"), "{text}");
        assert!(text.contains("| quick | 3 | 150 | 4 | 1 | 1 | 0 | 0 |"), "{text}");
    }
}
