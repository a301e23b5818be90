//! `dirleak verify`: proves that a leak is there without a patch and gone with it.

use super::kernel_args::{Config, able_to};
use super::measure_args::Measure;
use super::plan;
use super::second_seed;
use super::verify_branches::{self, Branches};
use crate::error::{Exit, Result};
use crate::fleet::cluster;
use crate::kernel;
use crate::kernel::distribution;
use crate::kernel::source::catalog::Catalog;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::file::ResultFile;
use crate::result::proof::{self, Outcome};
use crate::run::shard::{self, Shard};
use crate::scenario::Scenario;
use std::path::PathBuf;

/// What makes a kernel leak, if no other is named.
const LEAK: &str = "spare-pages";
/// The scenarios, if none is named.
pub(super) const SCENARIOS: [&str; 2] = ["huge-flat", "quick"];

/// Prove that a leak is there on one kernel and gone on another.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The kernel that is to leak [default: the other one with the leak of 2019 put into it: SPEC+spare-pages of 6.1:cloud].
    #[arg(long, value_name = "SPEC")]
    unpatched: Option<String>,
    /// The kernel that is to be clean [default: 6.1:cloud, or 6.12:cloud where gcc is that of Debian trixie, or amd64 instead of cloud for
    /// guests with several processors; 6.1 where gcc is another one, and with --config].
    #[arg(long, value_name = "SPEC")]
    patched: Option<String>,
    #[command(flatten)]
    pub(super) branches: Branches,
    #[command(flatten)]
    pub(super) config: Config,
    /// The modules of the kernel that is to leak, where that is an image: see run --modules.
    #[arg(long, value_name = "DIR")]
    unpatched_modules: Vec<PathBuf>,
    /// The modules of the kernel that is to be clean.
    #[arg(long, value_name = "DIR")]
    patched_modules: Vec<PathBuf>,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// Take only part K of N of the scenarios, each on both kernels: the same on every machine. dirleak report puts the results
    /// together and says whether they are a proof.
    #[arg(long, value_name = "K/N", conflicts_with = "tree")]
    shard: Option<Shard>,
    #[command(flatten)]
    pub(super) measure: Measure,
}

/// Runs both kernels side by side, shows, and gives 0 only for a proof.
pub fn run(arguments: &Args) -> Result<Exit> {
    if let Some(tree) = &arguments.branches.tree {
        let Args { branches, measure, config, scenarios, .. } = arguments;
        return verify_branches::run(tree, branches, measure, config, scenarios);
    }
    let all = arguments.measure.scenarios(&arguments.scenarios, &SCENARIOS)?;
    cluster::none_of(&all, "verify")?;
    let scenarios = arguments.part(&all)?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let resolve = |spec: &str, modules: &[PathBuf]| {
        let options = kernel::build::ingredients::Options { modules: modules.to_vec(), ..arguments.config.options() };
        kernel::resolve(spec, &able_to(&all, options), &cache, &ui)
    };
    let [unpatched_spec, patched_spec] = arguments.kernels(&all)?;
    plan::tell(&[unpatched_spec.clone(), patched_spec.clone()], &all, &cache, &ui)?;
    let unpatched = resolve(&unpatched_spec, &arguments.unpatched_modules)?;
    let patched = resolve(&patched_spec, &arguments.patched_modules)?;
    let pairs: Vec<_> = scenarios.into_iter().flat_map(|s| [(s, &unpatched), (s, &patched)]).collect();
    let mut file = ResultFile::new();
    file.shard = arguments.shard.map(|shard| shard.to_record(2 * all.len()));
    file.results = arguments.measure.run(&pairs, &cache, &ui)?;
    second_seed::confirm(&arguments.measure, &pairs, &mut file.results, &cache, &ui)?;
    let one_is_enough = arguments.measure.set.is_some();
    let prove = if arguments.shard.is_some() { proof::from_part } else { proof::from_records };
    let proof = prove(&file.results, one_is_enough, &unpatched_spec, &patched_spec);
    let outcome = proof.outcome;
    file.proof = Some(proof);
    arguments.measure.show(&file, &targets)?;
    Ok(match outcome {
        Outcome::Proven => Exit::Clean,
        Outcome::NotProven => Exit::Leak,
        Outcome::Undecided => Exit::CannotJudge,
    })
}

/// Returns the kernels that are judged where none is named: the one that is to leak, and the one that is not. `is_built` asks for kernels
/// that are built from source, `several` for such as bring up several processors.
pub(super) fn usual_kernels(is_built: bool, several: bool) -> Result<[String; 2]> {
    let patched =
        if is_built { distribution::USUAL.to_owned() } else { distribution::usual(&Catalog::load()?, several) };
    Ok([format!("{patched}+{LEAK}"), patched])
}

impl Args {
    fn kernels(&self, scenarios: &[Scenario]) -> Result<[String; 2]> {
        if let (Some(unpatched), Some(patched)) = (&self.unpatched, &self.patched) {
            return Ok([unpatched.clone(), patched.clone()]);
        }
        let is_failing = scenarios.iter().any(|scenario| scenario.unit.fail_nth().is_some());
        let several = scenarios.iter().any(|scenario| self.measure.processors.unwrap_or(scenario.guest.cpus) > 1);
        let [unpatched, patched] = usual_kernels(!self.config.files.is_empty() || is_failing, several)?;
        Ok([self.unpatched.clone().unwrap_or(unpatched), self.patched.clone().unwrap_or(patched)])
    }

    /// Returns the scenarios that are run here. Both kernels of one stay together, as a pair is what proves something.
    fn part<'a>(&self, all: &'a [Scenario]) -> Result<Vec<&'a Scenario>> {
        match self.shard {
            Some(shard) => Ok(shard::runs_of(shard, all, 1)?.into_iter().map(|place| &all[place]).collect()),
            None => Ok(all.iter().collect()),
        }
    }
}
