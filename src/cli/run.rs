//! `dirleak run`: scenarios on one kernel.

use super::kernel_args::{Sources, able_to};
use super::measure_args::Measure;
use super::plan;
use crate::boot::job::AGREED_SEED;
use crate::error::{Error, Exit, Result};
use crate::fleet::{cluster_compare, cluster_guests};
use crate::kernel;
use crate::kernel::build::ingredients::Options;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::file::ResultFile;
use crate::result::record::{RunRecord, Verdict};
use crate::run::shard::{self, Shard};
use crate::scenario::Scenario;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;

/// Run scenarios on a kernel and say whether it leaks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: a series (6.1, or newest), the distribution's kernel of it (6.1:cloud, 6.1:amd64=VERSION) or a source tree (DIR,
    /// DIR@REV), each with patches or without (6.1+spare-pages, DIR+fix.patch), or a path to a vmlinux, a bzImage or a kernel package
    /// (.deb, of Debian with patches, too; .rpm, .pkg.tar.zst, .apk, a tarball; with commas between them if a kernel is in several). Can
    /// be given several times.
    #[arg(long = "kernel", value_name = "SPEC", required = true)]
    kernels: Vec<String>,
    /// The modules of a kernel image: a directory like /lib/modules/VERSION, a root directory that has it, or packages, behind commas or one
    /// by one. A package brings its own, where they are not in others.
    #[arg(long, value_name = "DIR|PACKAGE")]
    modules: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Make only part K of N of all runs, about as long as each other part: the same on every machine. dirleak report puts the
    /// results together.
    #[arg(long, value_name = "K/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    measure: Measure,
}

/// Runs, shows, and gives the status of the worst verdict.
pub fn run(arguments: &Args) -> Result<Exit> {
    let scenarios = arguments.measure.scenarios(&arguments.scenarios, &["quick"])?;
    let measure = Measure { seed: agreed_seed(arguments, &scenarios), ..arguments.measure.clone() };
    let runs = arguments.runs(&scenarios)?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let options =
        able_to(&scenarios, Options { modules: arguments.modules.clone(), ..arguments.sources.options(false) });
    if options.patches.is_empty() && options.config.is_empty() {
        plan::tell(&arguments.kernels, &scenarios, &cache, &ui)?;
    }
    let mut kernels = BTreeMap::new();
    for run in &runs {
        if let Entry::Vacant(kernel) = kernels.entry(run.kernel) {
            kernel.insert(kernel::resolve(&arguments.kernels[run.kernel], &options, &cache, &ui)?);
        }
    }
    let seed = measure.options().boot.seed;
    let guests: Vec<Vec<Scenario>> = scenarios.iter().map(|scenario| cluster_guests::guests(scenario, seed)).collect();
    let mut pairs = Vec::new();
    for run in &runs {
        pairs.extend(guests[run.scenario].iter().map(|guest| (guest, &kernels[&run.kernel])));
    }
    let mut file = ResultFile::new();
    let all = guests.iter().map(Vec::len).sum::<usize>() * arguments.kernels.len();
    file.shard = arguments.shard.map(|shard| shard.to_record(all));
    file.results = measure.run(&pairs, &cache, &ui)?;
    let mut records = file.results.as_slice();
    for run in &runs {
        let (of_run, others) = records.split_at(guests[run.scenario].len());
        let spec = &kernels[&run.kernel].spec;
        file.clusters.extend(cluster_compare::compare(&scenarios[run.scenario], seed, spec, of_run));
        records = others;
    }
    arguments.measure.show(&file, &targets)?;
    Ok(exit(&file.results))
}

/// Returns the seed that was given, or that all machines have whose parts are put together: which guest of a cluster has which site is drawn,
/// and is to be the same on each. Everything else has a seed of its own on each machine.
fn agreed_seed(arguments: &Args, scenarios: &[Scenario]) -> Option<u64> {
    let is_shared = arguments.shard.is_some() && scenarios.iter().any(|scenario| scenario.cluster.is_some());
    arguments.measure.seed.or(is_shared.then_some(AGREED_SEED))
}

/// One scenario on one kernel, by their numbers.
struct Run {
    scenario: usize,
    kernel: usize,
}

impl Args {
    /// Returns what is to be run here.
    fn runs(&self, scenarios: &[Scenario]) -> Result<Vec<Run>> {
        let mut sorted: Vec<&String> = self.kernels.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::usage(format!("--kernel {} is named twice", twice[0])));
        }
        if !self.modules.is_empty() && self.kernels.len() > 1 {
            return Err(Error::usage("--modules belongs to one kernel; name one, or run dirleak for each"));
        }
        let numbers = match self.shard {
            Some(shard) => shard::runs_of(shard, scenarios, self.kernels.len())?,
            None => (0..scenarios.len() * self.kernels.len()).collect(),
        };
        let run = |number: usize| Run { scenario: number % scenarios.len(), kernel: number / scenarios.len() };
        Ok(numbers.into_iter().map(run).collect())
    }
}

/// Returns 1 if anything leaks or lists wrongly, 125 if anything could not be judged, else 0.
pub fn exit(records: &[RunRecord]) -> Exit {
    let has = |verdicts: &[Verdict]| records.iter().any(|r| verdicts.contains(&r.verdict));
    if has(&[Verdict::Leak, Verdict::Broken]) {
        Exit::Leak
    } else if has(&[Verdict::Undecided, Verdict::Unsupported, Verdict::Crash]) {
        Exit::CannotJudge
    } else {
        Exit::Clean
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::record::KernelRecord;

    /// Returns the row of the documentation that begins with this status.
    fn row(status: i32) -> &'static str {
        let rows = include_str!("../../docs/exit-status.md").lines();
        let begin = format!("| {status} | ");
        rows.clone().find(|line| line.starts_with(&begin)).unwrap_or_else(|| panic!("{status} is not documented"))
    }

    #[test]
    fn status_of_each_verdict_is_that_of_the_row_that_names_it() {
        let record = |verdict| RunRecord { verdict, ..RunRecord::begin("x", KernelRecord::default(), 1) };
        for (verdict, status, word) in [
            (Verdict::Clean, 0, "every verdict is clean"),
            (Verdict::Leak, 1, "at least one leak"),
            (Verdict::Broken, 1, "a listing was wrong (`broken`)"),
            (Verdict::Undecided, 125, "undecided"),
            (Verdict::Unsupported, 125, "unsupported"),
            (Verdict::Crash, 125, "crashed"),
        ] {
            assert_eq!(exit(&[record(verdict)]).status(), status, "{verdict:?}");
            assert!(row(status).contains(word), "the row of {status} has no {word:?}: {}", row(status));
            for other in [0, 1, 125].into_iter().filter(|other| *other != status) {
                assert!(!row(other).contains(word), "{word:?} is in the row of {other}, too");
            }
            // A clean run beside it changes nothing, and a leak outweighs all.
            assert_eq!(exit(&[record(Verdict::Clean), record(verdict)]).status(), status);
            assert_eq!(exit(&[record(verdict), record(Verdict::Leak)]).status(), 1);
        }
    }
}
