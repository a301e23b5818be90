//! `dirleak score`: how often the checker is right.

use super::score_explore::{ExploreArgs, Explorer, is_explored};
use super::{seed, sweep};
use crate::boot::job::Job;
use crate::boot::pool::{ProcessorSlots, guests, run_parallel};
use crate::error::{Context, Error, Exit, Result};
use crate::kernel::bootable::Kernel;
use crate::kernel::build::ingredients::Fragment;
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::result::record::RunRecord;
use crate::run::options::Options;
use crate::scenario::{Scenario, load};
use crate::score::catches::Catch;
use crate::score::clean::{self, CleanRun};
use crate::score::header::{Header, Kind};
use crate::score::other_tools::compare;
use crate::score::report::Score;
use crate::score::{Row, patches, table};
use crate::vm::accelerator;
use crate::vm::qemu::Accelerator;
use crate::{kernel, run};
use std::path::PathBuf;
use std::time::Duration;

/// Units of the comparison with the plain recipe and kmemleak.
const COMPARED_UNITS: u64 = 20;
/// Processors of the guests in which every leak is judged once more.
const SEVERAL_PROCESSORS: u32 = 4;

/// Judge kernels with known leaks and honest growth, and show how often that is right.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The series whose patches are tried.
    #[arg(long, value_name = "SERIES", default_value = "6.1")]
    series: String,
    /// Only these patches.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Judge every patch so often, each time with another seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,
    /// Judge the kernel as it is so often, too, over three sizes of directory, two versions of NFS, and one to four processors.
    #[arg(long, value_name = "N", default_value_t = 0)]
    clean: u16,
    /// Guests side by side; one per processor unless this is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Seed of the names and of the order of the rounds, drawn unless it is given; further runs take the numbers after it.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Judge every leak in the other scenarios that catch it, too, and in its own with several processors, and show which do.
    #[arg(long)]
    also: bool,
    /// Judge the patches that leak only where an allocation fails, by a sweep of the scenario of each, and none of the others.
    #[arg(long, conflicts_with_all = ["also", "clean", "alone"])]
    sweep: bool,
    #[command(flatten)]
    random: ExploreArgs,
    /// Leave the plain recipe and kmemleak out, which take a guest more for each patch.
    #[arg(long)]
    alone: bool,
    /// Judge no patch, only the kernel as it is.
    #[arg(long, requires = "clean", conflicts_with_all = ["only", "repeat", "alone"])]
    no_patches: bool,
    /// Write everything to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// One guest, or two.
enum Trial {
    /// A patch.
    Patch { header: Header, kernel: Kernel, scenario: Scenario, seed: u64, compared: bool },
    /// A leak patch in a scenario that is not its own.
    Also { header: Header, kernel: Kernel, scenario: Scenario, seed: u64 },
    /// A patch that leaks only where an allocation fails.
    Sweep { header: Header, kernel: Kernel, scenario: Scenario, seed: u64 },
    /// The kernel as it is.
    Clean { kernel: Kernel, scenario: Scenario, seed: u64 },
}

enum Tried {
    Patch(Box<Row>),
    Also(Catch),
    Clean(CleanRun),
}

/// Builds all kernels, judges them, and gives 0 if everything was right.
pub fn run(arguments: &Args) -> Result<Exit> {
    let headers = if arguments.no_patches { Vec::new() } else { chosen(arguments)? };
    let [json, markdown] =
        [&arguments.json, &arguments.markdown].map(|path| path.as_deref().map(OutputFile::check).transpose());
    let (json, markdown) = (json?, markdown?);
    let ui = Ui::new();
    let cache = Cache::open()?;
    let stock = kernel::resolve(&arguments.series, &kernel::build::ingredients::Options::default(), &cache, &ui)?;
    let accelerator = accelerator::choose(&stock.image, &cache, &ui)?;
    let mut score = Score {
        series: arguments.series.clone(),
        source_version: stock.source_version.clone().unwrap_or(stock.release.clone()),
        rows: Vec::new(),
        catches: Vec::new(),
        clean: Vec::new(),
        explored: Vec::new(),
    };
    let (explored, headers): (Vec<Header>, Vec<Header>) =
        headers.into_iter().partition(|header| arguments.random.explore.is_some() && is_explored(header));
    let trials = trials(arguments, headers, &stock, &cache, &ui)?;
    let jobs = arguments.jobs.map_or_else(|| guests(trials.iter().map(Trial::scenario)), usize::from);
    let slots = ProcessorSlots::default();
    let try_it = |trial: &Trial| match arguments.jobs {
        Some(_) => trial.run(accelerator, &cache, &ui),
        None => slots.with(trial.scenario().guest.cpus, || trial.run(accelerator, &cache, &ui)),
    };
    for tried in run_parallel(&trials, jobs, try_it)? {
        match tried {
            Tried::Patch(row) => score.rows.push(*row),
            Tried::Also(catch) => score.catches.push(catch),
            Tried::Clean(run) => score.clean.push(run),
        }
    }
    let seeds = arguments.seed()..arguments.seed() + u64::from(arguments.repeat);
    let series = &arguments.series;
    let explorer = Explorer { series, stock: &stock, accelerator, cache: &cache, ui: &ui, jobs: arguments.jobs };
    score.explored = arguments.random.explored(&explored, seeds, &explorer)?;
    let text = table::markdown(&score, &command(arguments));
    if let Some(target) = json {
        target.write_bytes(&serde_json::to_vec_pretty(&score).machine(|| "cannot write the score as JSON".into())?)?;
    }
    if let Some(target) = markdown {
        target.write_bytes(text.as_bytes())?;
    }
    super::output::print_exactly(&text)?;
    Ok(if score.all_right() { Exit::Clean } else { Exit::Leak })
}

fn chosen(arguments: &Args) -> Result<Vec<Header>> {
    let all = patches(&arguments.series)?;
    if let Some(unknown) = arguments.only.iter().find(|name| all.iter().all(|h| h.name != **name)) {
        let names: Vec<_> = all.iter().map(|h| h.name.as_str()).collect();
        return Err(Error::usage(format!(
            "there is no patch \"{unknown}\" for {}; there are {}",
            arguments.series,
            names.join(", ")
        )));
    }
    let is_random = arguments.random.explore.is_some();
    let wanted = |h: &Header| match h.fails.is_empty() {
        true if arguments.sweep || is_random => is_random && is_explored(h),
        true => true,
        false => arguments.sweep,
    };
    if let Some(other) = all.iter().find(|h| arguments.only.contains(&h.name) && !wanted(h)) {
        return Err(Error::usage(format!("{} {}", other.name, way_out(other))));
    }
    let is_named = |h: &Header| arguments.only.is_empty() || arguments.only.contains(&h.name);
    Ok(all.into_iter().filter(|h| wanted(h) && is_named(h)).collect())
}

/// Says how a patch is judged that was named and is not judged as the options have it.
fn way_out(header: &Header) -> &'static str {
    match (header.fails.is_empty(), is_explored(header)) {
        (false, _) => "leaks only where an allocation fails; add --sweep",
        (true, true) => "leaks, or is honest, without an allocation that fails; leave --sweep out, or add --explore",
        (true, false) => "needs no odd combination and no allocation that fails; leave --sweep and --explore out",
    }
}

/// Returns what is to be done, with every kernel built.
fn trials(arguments: &Args, headers: Vec<Header>, stock: &Kernel, cache: &Cache, ui: &Ui) -> Result<Vec<Trial>> {
    let mut trials = Vec::new();
    for header in headers {
        let spec = format!("{}+{}", arguments.series, header.name);
        let config = header.fails.first().map(|_| Fragment::FaultInjection).into_iter().collect();
        let options = kernel::build::ingredients::Options { config, ..Default::default() };
        let kernel = kernel::resolve(&spec, &options, cache, ui)?;
        let scenario = load(&header.scenario)?;
        if !header.fails.is_empty() {
            trials.extend((0..u64::from(arguments.repeat)).map(|n| Trial::Sweep {
                header: header.clone(),
                kernel: kernel.clone(),
                scenario: scenario.clone(),
                seed: arguments.seed() + n,
            }));
            continue;
        }
        let mut others: Vec<Scenario> = header.also.iter().map(|name| load(name)).collect::<Result<_>>()?;
        if matches!(header.kind, Kind::Leak(_)) && !header.may_be_undecided {
            let mut several = scenario.clone();
            several.guest.cpus = SEVERAL_PROCESSORS;
            others.push(several);
        }
        for scenario in others.into_iter().filter(|_| arguments.also) {
            let (header, kernel) = (header.clone(), kernel.clone());
            trials.push(Trial::Also { header, kernel, scenario, seed: arguments.seed() });
        }
        trials.extend((0..u64::from(arguments.repeat)).map(|n| Trial::Patch {
            header: header.clone(),
            kernel: kernel.clone(),
            scenario: scenario.clone(),
            seed: arguments.seed() + n,
            compared: n == 0 && !arguments.alone,
        }));
    }
    let clean = clean::scenarios(u64::from(arguments.clean), arguments.seed())?;
    trials.extend(clean.into_iter().map(|(scenario, seed)| Trial::Clean { kernel: stock.clone(), scenario, seed }));
    Ok(trials)
}

impl Args {
    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(seed::drawn)
    }
}

/// Returns the command line that makes the same score again.
fn command(arguments: &Args) -> String {
    let mut words = format!("dirleak score --series {}", arguments.series);
    if !arguments.only.is_empty() {
        words += &format!(" --only {}", arguments.only.join(" "));
    }
    for (option, number, usual) in [("repeat", arguments.repeat, 1), ("clean", arguments.clean, 0)] {
        if number != usual {
            words += &format!(" --{option} {number}");
        }
    }
    if let Some(time) = arguments.random.explore {
        words += &format!(" --explore={}s", time.as_secs());
    }
    words += &format!(" --seed {}", arguments.seed());
    for (option, given) in [
        ("sweep", arguments.sweep),
        ("without-library", arguments.random.without_library),
        ("also", arguments.also),
        ("alone", arguments.alone),
        ("no-patches", arguments.no_patches),
    ] {
        if given {
            words += &format!(" --{option}");
        }
    }
    words
}

/// Returns what a run is told that has this seed and waits so long for late frees.
fn options(seed: u64, settle: Duration) -> Options {
    Options { settle, ..Options::seeded(seed) }
}

impl Trial {
    fn scenario(&self) -> &Scenario {
        match self {
            Self::Patch { scenario, .. }
            | Self::Also { scenario, .. }
            | Self::Sweep { scenario, .. }
            | Self::Clean { scenario, .. } => scenario,
        }
    }

    fn run(&self, accelerator: Accelerator, cache: &Cache, ui: &Ui) -> Result<Tried> {
        match self {
            Self::Patch { header, kernel, scenario, seed, compared } => {
                let settle = Duration::from_secs_f64(header.settle_seconds);
                let options = options(*seed, settle);
                let job = Job { scenario, kernel, accelerator, options: &options.boot, cache, ui };
                let record = run::run(&job, &options)?;
                let others = if *compared { Some(compare(&job, COMPARED_UNITS)?) } else { None };
                Ok(Tried::Patch(Box::new(Row::new(header, &record, others))))
            }
            Self::Also { header, kernel, scenario, seed } => {
                let settle = Duration::from_secs_f64(header.settle_seconds);
                let options = options(*seed, settle);
                let record =
                    run::run(&Job { scenario, kernel, accelerator, options: &options.boot, cache, ui }, &options)?;
                let name = match scenario.guest.cpus {
                    SEVERAL_PROCESSORS => format!("{} with {SEVERAL_PROCESSORS} processors", scenario.name),
                    _ => scenario.name.clone(),
                };
                Ok(Tried::Also(Catch::new(header, &name, &record)))
            }
            Self::Sweep { header, kernel, scenario, seed } => {
                let mut options = options(*seed, Duration::ZERO);
                options.largest_cache = sweep::LARGEST_CACHE;
                let job = Job { scenario, kernel, accelerator, options: &options.boot, cache, ui };
                let swept = sweep::places(&job, &options, sweep::MOST, |failing| {
                    failing.iter().map(|scenario| run::run(&Job { scenario, ..job }, &options)).collect()
                })?;
                let records: Vec<RunRecord> = swept.places.into_iter().map(|(_, record)| record).collect();
                Ok(Tried::Patch(Box::new(Row::of_sweep(header, &records, swept.record.seconds))))
            }
            Self::Clean { kernel, scenario, seed } => {
                let options = options(*seed, Duration::ZERO);
                let job = Job { scenario, kernel, accelerator, options: &options.boot, cache, ui };
                Ok(Tried::Clean(CleanRun::new(scenario, &run::run(&job, &options)?)))
            }
        }
    }
}
