//! `dirleak score`: how often the checker is right.

use crate::cache::Cache;
use crate::error::{Context, Error, Result};
use crate::exit::Exit;
use crate::kernel::{self, Kernel};
use crate::report::json::Target;
use crate::run::compare::compare;
use crate::run::{self, Job};
use crate::scenario::{Scenario, load};
use crate::score::header::Header;
use crate::score::{Row, patches, table};
use crate::ui::Ui;
use crate::vm::accelerator;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Units of the comparison with the plain recipe and kmemleak.
const COMPARED_UNITS: u64 = 20;

/// Judge kernels with known leaks and honest growth, and show how often that is right.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The series whose patches are tried.
    #[arg(long, value_name = "SERIES", default_value = "6.1")]
    series: String,
    /// Only these patches.
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Guests side by side; one per processor unless this is said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Seed of the names and of the order of the rounds.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Leave the plain recipe and kmemleak out, which take a guest more for each patch.
    #[arg(long)]
    alone: bool,
    /// Write the rows to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Builds all kernels, judges them, and gives 0 if everything was right.
pub fn run(arguments: &Args) -> Result<Exit> {
    let headers = chosen(arguments)?;
    let [json, markdown] =
        [&arguments.json, &arguments.markdown].map(|path| path.as_deref().map(Target::check).transpose());
    let (json, markdown) = (json?, markdown?);
    let ui = Ui::new();
    let cache = Cache::open()?;
    let mut tried = Vec::new();
    for header in headers {
        let spec = format!("{}+{}", arguments.series, header.name);
        let kernel = kernel::resolve(&spec, &kernel::Options::default(), &cache, &ui)?;
        let scenario = load(&header.scenario)?;
        tried.push((header, kernel, scenario));
    }
    let rows = judge(arguments, &tried, &cache, &ui)?;
    let text = table::markdown(&rows);
    let head = tried.first().map_or(String::new(), |(_, kernel, _)| title(arguments, kernel));
    if let Some(target) = json {
        target.write_bytes(&serde_json::to_vec_pretty(&rows).machine(|| "cannot write the score as JSON".into())?)?;
    }
    if let Some(target) = markdown {
        target.write_bytes(format!("{head}{text}").as_bytes())?;
    }
    // Whoever reads may stop early.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(if rows.iter().all(Row::all_right) { Exit::Clean } else { Exit::Leak })
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
    Ok(all.into_iter().filter(|h| arguments.only.is_empty() || arguments.only.contains(&h.name)).collect())
}

fn title(arguments: &Args, kernel: &Kernel) -> String {
    let version = kernel.source_version.as_deref().unwrap_or(&kernel.release);
    let only: String = arguments.only.iter().map(|name| format!(" --only {name}")).collect();
    format!(
        "# How often dirleak is right\n\nMade by `dirleak score --series {}{only} --markdown FILE` on Linux {version}.\n\n",
        arguments.series
    )
}

/// All rows in the order of `tried`, as many guests side by side as asked for.
fn judge(arguments: &Args, tried: &[(Header, Kernel, Scenario)], cache: &Cache, ui: &Ui) -> Result<Vec<Row>> {
    let Some((_, kernel, _)) = tried.first() else { return Ok(Vec::new()) };
    let accelerator = accelerator::choose(&kernel.image, cache, ui)?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(processors, usize::from).min(tried.len());
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, Result<Row>)>> = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((header, kernel, scenario)) = tried.get(number) else { return };
            let options = run::Options {
                seed: arguments.seed,
                settle: Duration::from_secs_f64(header.settle_seconds),
                ..run::Options::default()
            };
            let job = Job { scenario, kernel, accelerator, options: &options, cache, ui };
            let row = one(header, &job, arguments.alone);
            if row.is_err() {
                next.store(tried.len(), Ordering::Relaxed);
            }
            rows.lock().expect("no panic while held").push((number, row));
        }
    };
    std::thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    let mut rows = rows.into_inner().expect("all threads have ended");
    rows.sort_by_key(|(number, _)| *number);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn one(header: &Header, job: &Job, alone: bool) -> Result<Row> {
    let record = run::run(job)?;
    let others = if alone { None } else { Some(compare(job, COMPARED_UNITS)?) };
    Ok(Row::new(header, &record, others))
}
