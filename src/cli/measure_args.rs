//! What every subcommand that measures takes, and how several guests are run side by side.

use super::exec_args::Exec;
use super::seed;
use crate::boot::job::{BootOptions, Job};
use crate::boot::pool::{ProcessorSlots, guests, run_parallel};
use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::{Task, Ui};
use crate::result::file::ResultFile;
use crate::result::record::RunRecord;
use crate::run::options::{LARGEST_CACHE, Options};
use crate::run::{self, duration};
use crate::scenario::{Overrides, Scenario, select};
use crate::text::number;
use crate::text::plural::plural;
use crate::verdict::judge::{MIN_RATE, least_clean_rate};
use crate::vm::accelerator;
use crate::vm::machine::Limits;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// Arguments of every subcommand that measures.
#[derive(clap::Args, Clone, Debug)]
pub struct Measure {
    /// Write the result to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the system calls of the workload to this file, a line each; the same seed gives the same lines.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Seed of the names, of what is drawn by lot, and of the order of the rounds. Without this it is drawn, and told in the result.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Take all scenarios of this set.
    #[arg(long, value_name = "NAME")]
    pub set: Option<String>,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub exec: Exec,
    /// Boot guests with so many processors instead of the scenario's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::scenario::check::MAX_CPUS)))]
    pub processors: Option<u32>,
    /// The smallest rate that counts, in objects per unit.
    #[arg(long, value_name = "RATE", default_value_t = MIN_RATE, value_parser = positive)]
    pub min_rate: f64,
    /// Wait this long for late frees before growth is called a leak.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0, value_parser = not_negative)]
    pub settle: f64,
    /// Growth that unmounting frees is a leak, too.
    #[arg(long)]
    pub strict: bool,
    /// Growth that unmounting frees may be in a clean verdict, which tells it.
    #[arg(long, conflicts_with = "strict")]
    pub allow_until_unmount: bool,
    /// Make at least so many listings (or other units) before anything is called clean: what leaks in fewer than one of about a fifth as
    /// many is not excluded. Without this, 100 if they take no longer than some seconds.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub listings: Option<u64>,
    /// Call growth a leak only when it has gone past what a cache of so many objects holds [default: 5000; of sweep 300].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub largest_cache: Option<u64>,
    /// Have the kernel's own leak detector watch and scan at the end, and show what it reports beside the findings.
    #[arg(long)]
    pub kmemleak: bool,
    /// Boot without slub_debug and page_owner, as distributions do; call sites then come from tracepoints.
    #[arg(long)]
    pub stock: bool,
    /// Boot a kernel package with slub_debug and page_owner, too; else it is booted as distributions do.
    #[arg(long, conflicts_with = "stock")]
    pub track: bool,
    /// End a guest that takes longer than this. Without it, what the scenario may take where it is slowest, and 900 s at least.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub timeout: Option<f64>,
    /// End a guest that gives no sign of life for this long.
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = positive)]
    pub silence: f64,
    /// Let the clock of guests go as this machine's does. Without this it counts instructions where there is no KVM and one processor, so
    /// that waiting takes no time and the same seed gives the same samples.
    #[arg(long)]
    pub real_time: bool,
    /// Tell where the time went.
    #[arg(long)]
    pub timings: bool,
}

fn number(text: &str) -> std::result::Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number.is_finite() && number < 1e9 { Ok(number) } else { Err("too large".into()) }
}

pub(super) fn positive(text: &str) -> std::result::Result<f64, String> {
    number(text).and_then(|n| if n > 0.0 { Ok(n) } else { Err("must be above 0".into()) })
}

pub(super) fn not_negative(text: &str) -> std::result::Result<f64, String> {
    number(text).and_then(|n| if n >= 0.0 { Ok(n) } else { Err("must not be below 0".into()) })
}

impl Measure {
    /// Returns the scenarios asked for, or else the default ones.
    pub fn scenarios(&self, words: &[String], default: &[&str]) -> Result<Vec<Scenario>> {
        let mut scenarios = match self.exec.scenario(words, &self.overrides)? {
            Some(scenario) => vec![scenario],
            None => select(words, self.set.as_deref(), default, &self.overrides)?,
        };
        for (scenario, cpus) in scenarios.iter_mut().zip(self.processors.into_iter().cycle()) {
            scenario.guest.cpus = cpus;
        }
        scenarios.iter().try_for_each(|scenario| self.check_rate(scenario))?;
        Ok(scenarios)
    }

    /// Refuses a rate so small that nothing could ever be called clean of it.
    fn check_rate(&self, scenario: &Scenario) -> Result<()> {
        let [small, large] = scenario.rounds.doses;
        let least = least_clean_rate(scenario.rounds.doses);
        if self.min_rate >= least.min(MIN_RATE) {
            return Ok(());
        }
        let (unit, name) = (&scenario.unit.name, &scenario.name);
        let units = plural(unit);
        Err(Error::usage(format!(
            "--min-rate {} is too small for {name}: its rounds of {small} and {large} {units} exclude no rate below {} per {unit}, so \
             nothing would ever be clean; `rounds.doses` farther apart exclude less",
            self.min_rate,
            number::upper(least)
        )))
    }

    /// Returns where the result is to be written, checked before anything is built or booted.
    pub fn targets(&self) -> Result<Targets> {
        let check = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::check).transpose();
        Ok(Targets { json: check(&self.json)?, trace: check(&self.trace)? })
    }

    /// Returns what a run is told.
    pub fn options(&self) -> Options {
        Options {
            boot: self.boot_options(),
            min_rate: self.min_rate,
            settle: Duration::from_secs_f64(self.settle),
            strict: self.strict,
            allow_until_unmount: self.allow_until_unmount,
            listings: self.listings,
            largest_cache: self.largest_cache.unwrap_or(LARGEST_CACHE),
            stock: self.stock,
            track: self.track,
            every_counter: false,
        }
    }

    /// Returns what the guests of a run are booted with.
    fn boot_options(&self) -> BootOptions {
        BootOptions {
            seed: self.seed.unwrap_or_else(seed::drawn),
            trace: self.trace.is_some(),
            kmemleak: self.kmemleak,
            real_time: self.real_time,
            limits: Limits {
                whole: self.timeout.map(Duration::from_secs_f64),
                silence: Duration::from_secs_f64(self.silence),
                ..Limits::default()
            },
            ..BootOptions::default()
        }
    }

    /// Runs every pair, as many guests side by side as processors and memory allow, and gives the records in the
    /// order of the pairs. What had ended before an error is kept beside the result file.
    pub fn run(&self, pairs: &[(&Scenario, &Kernel)], cache: &Cache, ui: &Ui) -> Result<Vec<RunRecord>> {
        self.run_with(&self.options(), pairs, cache, ui)
    }

    /// Returns the same, judged by other options.
    pub fn run_with(
        &self,
        options: &Options,
        pairs: &[(&Scenario, &Kernel)],
        cache: &Cache,
        ui: &Ui,
    ) -> Result<Vec<RunRecord>> {
        let Some((_, kernel)) = pairs.first() else { return Ok(Vec::new()) };
        let accelerator = accelerator::choose(&kernel.image, cache, ui)?;
        let whole = Whole::begin(pairs, ui);
        let slots = ProcessorSlots::default();
        let ended = run_parallel(pairs, guests(pairs.iter().map(|(scenario, _)| *scenario)), |(scenario, kernel)| {
            let job = Job { scenario, kernel, accelerator, options: &options.boot, cache, ui };
            let record = slots.with(scenario.guest.cpus, || run::run(&job, options))?;
            whole.ended(scenario);
            Ok(record)
        });
        ended.map_err(|unfinished| {
            self.keep(unfinished.results, pairs.len(), ui);
            unfinished.error
        })
    }

    /// Writes what there is of `all` records to a file of its own; the result file is only ever replaced by a whole one.
    fn keep(&self, results: Vec<RunRecord>, all: usize, ui: &Ui) {
        let Some(json) = self.json.as_ref().filter(|_| !results.is_empty()) else { return };
        let mut name = json.clone().into_os_string();
        name.push(".unfinished");
        let ended = results.len();
        let file = ResultFile { results, ..ResultFile::new() };
        // The error that ended the run is told anyway, and is the one to mend.
        if OutputFile::check(name.as_ref()).and_then(|target| target.write(&file)).is_ok() {
            ui.warn(&format!("{ended} of {all} runs had ended; their records are in {}", name.to_string_lossy()));
        }
    }

    /// Writes the files that were asked for, and the text to standard output.
    pub fn show(&self, file: &ResultFile, targets: &Targets) -> Result<()> {
        targets.write(file)?;
        let mut text = crate::report::text::render(file);
        if self.timings {
            text += &format!("\n{}", crate::report::text::timings(&file.results));
        }
        super::output::print(&text)
    }
}

/// How far several runs are, and how long they will still take.
struct Whole {
    /// `None` where there is but one, which tells that of itself.
    task: Option<Task>,
    runs: usize,
    seconds: f64,
    /// Runs that ended, and the seconds that they were thought to take.
    ended: Mutex<(usize, f64)>,
}

impl Whole {
    fn begin(pairs: &[(&Scenario, &Kernel)], ui: &Ui) -> Self {
        let runs = pairs.len();
        let seconds = pairs.iter().map(|(scenario, _)| duration::seconds(scenario)).sum();
        Self { task: (runs > 1).then(|| ui.task(format!("{runs} runs"))), runs, seconds, ended: Mutex::default() }
    }

    fn ended(&self, scenario: &Scenario) {
        let mut ended = self.ended.lock().expect("no panic while held");
        *ended = (ended.0 + 1, ended.1 + duration::seconds(scenario));
        if let Some(task) = &self.task {
            task.part(ended.0, self.runs, ended.1 / self.seconds);
        }
    }
}

/// The files that a command writes.
pub struct Targets {
    json: Option<OutputFile>,
    trace: Option<OutputFile>,
}

impl Targets {
    /// Writes those that were asked for.
    pub fn write(&self, file: &ResultFile) -> Result<()> {
        if let Some(json) = &self.json {
            json.write(file)?;
        }
        if let Some(trace) = &self.trace {
            let calls_of =
                |r: &RunRecord| format!("# {} on {}, seed {}\n{}", r.scenario, r.kernel.spec, r.seed, r.called);
            trace.write_bytes(file.results.iter().map(calls_of).collect::<String>().as_bytes())?;
        }
        Ok(())
    }
}
