//! `dirleak run`: scenarios on one kernel.

use super::measure::Measure;
use super::sources::Sources;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::kernel::{self, Options};
use crate::report::record::{ResultFile, RunRecord, Verdict};
use crate::scenario::Scenario;
use crate::shard::{self, Shard};
use crate::ui::Ui;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Run scenarios on a kernel and say whether it leaks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: a series (6.1) or a source tree (DIR, DIR@REV), either with patches (6.1+spare-pages, DIR+fix.patch), or a
    /// path to a vmlinux, a bzImage or a kernel package (.deb, .rpm). Can be given several times.
    #[arg(long = "kernel", value_name = "SPEC", required = true)]
    kernels: Vec<String>,
    /// The modules of a kernel image: a directory like /lib/modules/VERSION, or a root directory that has it. A package
    /// brings its own.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
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
    let runs = arguments.runs(&scenarios)?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let options = Options { modules: arguments.modules.clone(), ..arguments.sources.options(false) };
    let mut kernels = BTreeMap::new();
    for (_, number) in &runs {
        if !kernels.contains_key(number) {
            kernels.insert(*number, kernel::resolve(&arguments.kernels[*number], &options, &cache, &ui)?);
        }
    }
    let pairs: Vec<_> = runs.iter().map(|(scenario, number)| (*scenario, &kernels[number])).collect();
    let mut file = ResultFile::new();
    file.shard = arguments.shard.map(|shard| shard.of_runs(scenarios.len() * arguments.kernels.len()));
    file.results = arguments.measure.run(&pairs, &cache, &ui)?;
    arguments.measure.show(&file, &targets)?;
    Ok(exit(&file.results))
}

impl Args {
    /// What is to be run here: scenarios, each with the number of its kernel.
    fn runs<'a>(&self, scenarios: &'a [Scenario]) -> Result<Vec<(&'a Scenario, usize)>> {
        let mut sorted: Vec<&String> = self.kernels.iter().collect();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|two| two[0] == two[1]) {
            return Err(Error::usage(format!("--kernel {} is named twice", twice[0])));
        }
        if self.modules.is_some() && self.kernels.len() > 1 {
            return Err(Error::usage("--modules belongs to one kernel; name one, or run dirleak for each"));
        }
        let numbers = match self.shard {
            Some(shard) => shard::runs_of(shard, scenarios, self.kernels.len())?,
            None => (0..scenarios.len() * self.kernels.len()).collect(),
        };
        Ok(numbers.into_iter().map(|run| (&scenarios[run % scenarios.len()], run / scenarios.len())).collect())
    }
}

/// 1 if anything leaks or lists wrongly, 125 if anything could not be judged, else 0.
pub fn exit(records: &[RunRecord]) -> Exit {
    let has = |verdicts: &[Verdict]| records.iter().any(|r| verdicts.contains(&r.verdict));
    if has(&[Verdict::Leak]) {
        Exit::Leak
    } else if has(&[Verdict::Undecided, Verdict::Unsupported, Verdict::Crash, Verdict::Broken]) {
        Exit::CannotJudge
    } else {
        Exit::Clean
    }
}
