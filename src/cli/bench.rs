//! `dirleak bench`: what listing a directory costs, on one kernel or on one against another.

use super::kernel_args::Config;
use super::measure_args::{not_negative, positive};
use crate::bench::baseline::Baseline;
use crate::bench::session::{Effort, measure};
use crate::bench::{compare, eligible, scaling};
use crate::boot::job::{BootOptions, Job, clocked};
use crate::error::{Error, Exit, Result};
use crate::fleet::cluster;
use crate::kernel;
use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::protocol::timing::CacheState;
use crate::report::bench::plot::{Look, growth as growth_plot};
use crate::report::bench::text;
use crate::result::bench::{BenchFile, BenchRecord, BenchVerdict, Machine, SCHEMA};
use crate::scenario::{Overrides, Scenario, select};
use crate::vm::accelerator;
use crate::vm::machine::Limits;
use crate::vm::qemu::Accelerator;
use std::path::PathBuf;
use std::time::Duration;

/// Measure what listing a directory costs, on one kernel or on one against another.
///
/// Exit status: 0 measured; 1 slower than --fail-if-slower allows; 125 a kernel cannot be measured, or whether it is slower cannot be
/// said; the others as for every command.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: see run --kernel.
    #[arg(long, value_name = "SPEC")]
    kernel: String,
    /// The kernel that is measured against it, in a guest beside the other's.
    #[arg(long, value_name = "SPEC")]
    vs: Option<String>,
    /// The modules of the kernel, where that is an image: see run --modules.
    #[arg(long, value_name = "DIR")]
    modules: Vec<PathBuf>,
    /// The modules of the kernel that is measured against it.
    #[arg(long, value_name = "DIR", requires = "vs")]
    vs_modules: Vec<PathBuf>,
    /// Compare with this result of a bench; refused where machine, accelerator or scenario were others.
    #[arg(long, value_name = "FILE", conflicts_with = "vs")]
    reference: Option<PathBuf>,
    /// End with status 1 if a listing takes so much longer than on the other kernel, or than it took for the reference.
    #[arg(long, value_name = "PERCENT", value_parser = not_negative)]
    fail_if_slower: Option<f64>,
    /// How far apart times may be and still be called the same.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, value_parser = positive)]
    margin: f64,
    /// The states of the cache in which listings are timed.
    #[arg(long, value_name = "STATE", value_enum, value_delimiter = ',', default_values_t = CacheState::ALL)]
    states: Vec<CacheState>,
    /// Measure a scenario with 1,000, 10,000, 100,000 and 1,000,000 entries, or as many as -n says at most, and say how cost grows.
    #[arg(long, conflicts_with_all = ["vs", "reference"])]
    grow: bool,
    /// Draw the growth into this file, as SVG.
    #[arg(long, value_name = "FILE", requires = "grow")]
    plot: Option<PathBuf>,
    /// Measure by the clock of the machine, also where instructions could be counted.
    #[arg(long)]
    real_time: bool,
    /// Begin no further listings when a scenario has taken so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 70.0, value_parser = positive)]
    budget: f64,
    #[command(flatten)]
    config: Config,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Write the result to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Seed of the names.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Take all scenarios of this set.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    /// End a guest that takes longer than this.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800.0, value_parser = positive)]
    timeout: f64,
    /// End a guest that gives no sign of life for this long; where instructions are counted it gives them more seldom.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = positive)]
    silence: f64,
}

/// Everything that a measurement needs.
struct Bench<'a> {
    arguments: &'a Args,
    kernels: Vec<Kernel>,
    accelerator: Accelerator,
    options: BootOptions,
    cache: Cache,
    ui: Ui,
}

/// Measures, shows, and gives 1 only if a listing is slower than it may be.
pub fn run(arguments: &Args) -> Result<Exit> {
    if arguments.fail_if_slower.is_some() && arguments.vs.is_none() && arguments.reference.is_none() {
        return Err(Error::usage("--fail-if-slower needs something to compare with: name it with --vs or --reference"));
    }
    let scenarios = scenarios(arguments)?;
    let [json, svg] = [&arguments.json, &arguments.plot].map(|path| path.as_deref().map(OutputFile::check).transpose());
    let (json, svg) = (json?, svg?);
    let reference = arguments.reference.as_deref().map(Baseline::read).transpose()?;
    let bench = Bench::new(arguments)?;
    let mut file = bench.file()?;
    if let Some(reference) = &reference {
        reference.check(&file.machine, bench.accelerator, &scenarios, arguments.seed)?;
    }
    let measured = scenarios.iter().try_for_each(|scenario| bench.measure(scenario, reference.as_ref(), &mut file));
    if file.results.is_empty() {
        measured?;
        return Ok(Exit::Clean);
    }
    // What was measured before something went wrong is not lost.
    if let Some(json) = json {
        json.write(&file)?;
    }
    if let Some(svg) = svg {
        svg.write_bytes(growth_plot::svg(&growth_plot::lines(&file.growth), &Look::FILE)?.as_bytes())?;
    }
    super::output::print(&text::render(&file))?;
    measured.map(|()| exit(&file, arguments.fail_if_slower))
}

/// Returns the scenarios that were asked for, as they are timed.
fn scenarios(arguments: &Args) -> Result<Vec<Scenario>> {
    let overrides = if arguments.grow {
        Overrides { entries: None, ..arguments.overrides.clone() }
    } else {
        arguments.overrides.clone()
    };
    let chosen = select(&arguments.scenarios, arguments.set.as_deref(), &["quick"], &overrides)?;
    cluster::none_of(&chosen, "bench")?;
    chosen.iter().map(|scenario| eligible::make_eligible(scenario, overrides.mount_options.as_deref())).collect()
}

impl<'a> Bench<'a> {
    fn new(arguments: &'a Args) -> Result<Self> {
        let ui = Ui::new();
        let cache = Cache::open()?;
        let resolve = |spec: &str, modules: &[PathBuf]| {
            let options =
                kernel::build::ingredients::Options { modules: modules.to_vec(), ..arguments.config.options() };
            kernel::resolve(spec, &options, &cache, &ui)
        };
        let mut kernels = vec![resolve(&arguments.kernel, &arguments.modules)?];
        if let Some(vs) = &arguments.vs {
            kernels.push(resolve(vs, &arguments.vs_modules)?);
        }
        // Guests have one processor whatever the scenario says (bench/eligible.rs).
        let accelerator = clocked(accelerator::choose(&kernels[0].image, &cache, &ui)?, 1, arguments.real_time);
        let limits = Limits {
            whole: Some(Duration::from_secs_f64(arguments.timeout)),
            silence: Duration::from_secs_f64(arguments.silence),
            ..Limits::default()
        };
        let real_time = arguments.real_time;
        let options = BootOptions { seed: arguments.seed, limits, real_time, ..BootOptions::default() };
        Ok(Self { arguments, kernels, accelerator, options, cache, ui })
    }

    fn file(&self) -> Result<BenchFile> {
        Ok(BenchFile {
            bench: SCHEMA,
            dirleak: env!("CARGO_PKG_VERSION").into(),
            command_line: std::env::args().collect(),
            machine: Machine::this()?,
            accelerator: self.accelerator.as_str().into(),
            results: Vec::new(),
            comparisons: Vec::new(),
            growth: Vec::new(),
            fail_if_slower: self.arguments.fail_if_slower,
        })
    }

    /// Measures one scenario, with everything that is to be said of it.
    fn measure(&self, scenario: &Scenario, reference: Option<&Baseline>, file: &mut BenchFile) -> Result<()> {
        if self.arguments.grow {
            return self.grow(scenario, file);
        }
        let records = self.records(scenario)?;
        let margin = self.arguments.margin / 100.0;
        match (records.as_slice(), reference) {
            ([base, other], _) => file.comparisons.push(compare::compare(base, other, margin)),
            ([now], Some(reference)) => file.comparisons.extend(reference.compare(now, margin)),
            _ => {}
        }
        file.results.extend(records);
        Ok(())
    }

    fn grow(&self, scenario: &Scenario, file: &mut BenchFile) -> Result<()> {
        let most = self.arguments.overrides.entries.unwrap_or(u64::MAX);
        let mut records = Vec::new();
        for entries in scaling::SIZES.into_iter().filter(|entries| *entries <= most) {
            let mut sized = scenario.clone();
            Overrides { entries: Some(entries), ..Overrides::default() }.apply(&mut sized)?;
            records.extend(self.records(&eligible::make_eligible(&sized, Some("actimeo"))?)?);
        }
        file.growth.extend(scaling::growths(&records));
        file.results.extend(records);
        Ok(())
    }

    fn records(&self, scenario: &Scenario) -> Result<Vec<BenchRecord>> {
        let (margin, budget) = (self.arguments.margin / 100.0, Duration::from_secs_f64(self.arguments.budget));
        let mut states = self.arguments.states.clone();
        states.sort_unstable();
        states.dedup();
        let effort = Effort::usual(self.accelerator, states, margin, budget);
        let jobs: Vec<Job> = self
            .kernels
            .iter()
            .map(|kernel| Job {
                scenario,
                kernel,
                accelerator: self.accelerator,
                options: &self.options,
                cache: &self.cache,
                ui: &self.ui,
            })
            .collect();
        let specs: Vec<&str> = self.kernels.iter().map(|kernel| kernel.spec.as_str()).collect();
        let task = self.ui.task(format!(
            "{}, {} entries, on {}",
            scenario.name,
            scenario.directory.entries,
            specs.join(" and ")
        ));
        let records = measure(&jobs, &effort, &task)?;
        task.done("measured");
        Ok(records)
    }
}

fn exit(file: &BenchFile, percent: Option<f64>) -> Exit {
    let Some(percent) = percent else { return Exit::Clean };
    let words: Vec<BenchVerdict> =
        file.comparisons.iter().map(|c| crate::result::bench_metrics::is_slower_by(c, percent)).collect();
    if words.contains(&BenchVerdict::Slower) {
        Exit::Leak
    } else if words.contains(&BenchVerdict::Undecided) {
        Exit::CannotJudge
    } else {
        Exit::Clean
    }
}
