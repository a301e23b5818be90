//! `dirleak coverage`: which code of NFS scenarios execute.

use super::exec_args::Exec;
use super::kernel_args::Sources;
use super::measure_args::positive;
use super::sweep::fails;
use super::{output, seed};
use crate::boot::job::{BootOptions, Job};
use crate::boot::pool::{ProcessorSlots, guests, run_parallel};
use crate::coverage::counters::Totals;
use crate::coverage::reached::KernelNotes;
use crate::error::{Error, Exit, Result};
use crate::fleet::cluster_guests;
use crate::kernel;
use crate::kernel::bootable::Kernel;
use crate::kernel::build::coverage::is_counted;
use crate::kernel::build::ingredients::Fragment;
use crate::kernel::external::gcov::Gcov;
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::report::coverage::{lcov, text};
use crate::report::html::coverage::page;
use crate::result::coverage::{Collected, CoverageFile, FileCoverage, SCHEMA, ScenarioCoverage};
use crate::run::coverage::{Effort, Executed, execute};
use crate::run::kernel_record;
use crate::scenario::fail_nth::{AllocationKind, FailNth, MOST_NTH};
use crate::scenario::{Overrides, Scenario, select};
use crate::vm::accelerator;
use crate::vm::machine::Limits;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Tell which lines, branches and functions of the kernel's NFS code scenarios execute.
///
/// Exit status: 0 every scenario did all that it was to do; 125 one could not, which is told; the others as for every command.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: a series (6.1, or newest) or a source tree (DIR, DIR@REV), each with patches or without, which is built so that its NFS code
    /// counts what is executed.
    #[arg(long, value_name = "SPEC")]
    kernel: String,
    #[command(flatten)]
    sources: Sources,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Take all scenarios of this set.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
    #[command(flatten)]
    exec: Exec,
    /// Make no more than N units of each scenario; fewer, when twice as many reach nothing more.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    units: u64,
    /// Have each of the first N objects of slab caches, and of the first N pages, of a unit fail once, too, in scenarios that go with it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MOST_NTH)))]
    failures: u32,
    /// Name the functions that nothing called.
    #[arg(long)]
    functions: bool,
    /// Write the result to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a tracefile for lcov and genhtml; its paths are those below the source tree.
    #[arg(long, value_name = "FILE")]
    lcov: Option<PathBuf>,
    /// Write a page to this file, which needs nothing but itself: no network, no script.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Seed of the names and of what is drawn by lot. Without this it is drawn, and told in the result.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// End a guest that takes longer than this. Without it, what the scenario may take where it is slowest, and 900 s at least.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    timeout: Option<f64>,
    /// End a guest that gives no sign of life for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = positive)]
    silence: f64,
}

/// Executes, shows, and gives 125 if a scenario was kept from something.
pub fn run(arguments: &Args) -> Result<Exit> {
    let scenarios = arguments.scenarios()?;
    let check =
        |path: &Option<PathBuf>, what| path.as_deref().map(|path| OutputFile::check_other(path, what)).transpose();
    let (json, lcov) = (check(&arguments.json, "result file")?, check(&arguments.lcov, "tracefile")?);
    let html = check(&arguments.html, "page")?;
    // Before anything is built.
    let gcov = Gcov::find()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let mut options = arguments.sources.options(false);
    options.config.insert(0, Fragment::Coverage);
    let kernel = kernel::resolve(&arguments.kernel, &options, &cache, &ui)?;
    let file = Coverage { arguments, kernel, gcov, cache, ui }.file(&scenarios)?;
    if let Some(json) = json {
        json.write(&file)?;
    }
    if let Some(target) = lcov {
        target.write_bytes(lcov::render(&file).as_bytes())?;
    }
    if let Some(target) = html {
        target.write_bytes(page(&file).as_bytes())?;
    }
    output::print(&text::render(&file, arguments.functions))?;
    let is_whole = file.scenarios.iter().all(|scenario| scenario.ended_by.is_none());
    Ok(if is_whole { Exit::Clean } else { Exit::CannotJudge })
}

impl Args {
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        let selected = match self.exec.scenario(&self.scenarios, &self.overrides)? {
            Some(scenario) => vec![scenario],
            None => select(&self.scenarios, self.set.as_deref(), &["quick"], &self.overrides)?,
        };
        let seed = self.seed();
        Ok(selected.iter().flat_map(|scenario| cluster_guests::guests(scenario, seed)).collect())
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(seed::drawn)
    }

    fn boot_options(&self) -> BootOptions {
        let limits = Limits {
            whole: self.timeout.map(Duration::from_secs_f64),
            silence: Duration::from_secs_f64(self.silence),
            ..Limits::default()
        };
        BootOptions { seed: self.seed(), limits, ..BootOptions::default() }
    }

    /// Returns what a guest of this scenario is to do.
    fn effort(&self, scenario: &Scenario) -> Effort {
        let first = FailNth { kind: AllocationKind::Slab, nth: 1 };
        let failures = if fails(scenario, first).is_ok() { self.failures } else { 0 };
        Effort { units: self.units, failures }
    }
}

/// Everything that it takes.
struct Coverage<'a> {
    arguments: &'a Args,
    kernel: Kernel,
    gcov: Gcov,
    cache: Cache,
    ui: Ui,
}

impl Coverage<'_> {
    /// Has every scenario executed, and returns what that reached.
    fn file(&self, scenarios: &[Scenario]) -> Result<CoverageFile> {
        let Self { arguments, kernel, gcov, cache, ui } = self;
        let missing = || {
            Error::usage(format!(
                "{} does not count what is executed of it; name a kernel that dirleak builds with vm/coverage.config, such as 6.1 or a source tree",
                kernel.spec
            ))
        };
        let directory = kernel.coverage_notes().ok_or_else(missing)?;
        let notes = KernelNotes::open(&directory)?;
        let options = arguments.boot_options();
        let accelerator = accelerator::choose(&kernel.image, cache, ui)?;
        let slots = ProcessorSlots::default();
        let executed = run_parallel(scenarios, guests(scenarios.iter()), |scenario| {
            let job = Job { scenario, kernel, accelerator, options: &options, cache, ui };
            slots.with(scenario.guest.cpus, || execute(&job, &notes, arguments.effort(scenario)))
        })?;
        let mut record = kernel_record(kernel);
        if let Some(first) = executed.iter().find(|executed| !executed.release.is_empty()) {
            record.release.clone_from(&first.release);
        }
        let (scenarios, files) = self.collect(scenarios, &executed, (&notes, &directory))?;
        Ok(CoverageFile {
            coverage: SCHEMA,
            dirleak: env!("CARGO_PKG_VERSION").into(),
            command_line: std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect(),
            kernel: record,
            gcov: gcov.version()?,
            scenarios,
            files,
        })
    }

    /// Turns counters into lines, scenario by scenario and of all of them.
    fn collect(
        &self,
        scenarios: &[Scenario],
        executed: &[Executed],
        notes: (&KernelNotes, &Path),
    ) -> Result<(Vec<ScenarioCoverage>, Vec<FileCoverage>)> {
        let runs = self.cache.dir("runs")?;
        let task = self.ui.task("reading counters");
        let (mut collected, mut all) = (Collected::default(), Totals::default());
        for (scenario, of_it) in scenarios.iter().zip(executed) {
            task.note(&scenario.name);
            all.add(of_it.counters.files());
            let source = notes.0.executed(of_it.counters.files(), is_counted)?;
            let record = ScenarioCoverage {
                scenario: scenario.name.clone(),
                seed: self.arguments.seed(),
                units: of_it.units,
                failures: of_it.failures,
                seconds: of_it.seconds,
                readings: of_it.readings,
                reading_seconds: of_it.reading_seconds,
                ended_by: of_it.ended_by.clone(),
                ..ScenarioCoverage::default()
            };
            collected.add(record, &source);
        }
        task.note("gcov");
        let sources = self.gcov.sources(notes, all.files(), is_counted, &runs)?;
        task.done("done");
        Ok(collected.finish(&sources))
    }
}
