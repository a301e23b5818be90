//! `dirleak explore`: random workloads that end in small scenarios.

use super::kernel_args::Sources;
use super::measure_args::{Measure, positive};
use super::run::exit;
use crate::boot::pool::guests;
use crate::error::{Error, Exit, Result};
use crate::explore::search::{Explored, Plan, explore};
use crate::fleet::cluster;
use crate::kernel;
use crate::kernel::build::ingredients::Fragment;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::file::ResultFile;
use crate::run::shard::Shard;
use crate::scenario::{Overrides, Scenario, is_scenario, load, select};
use crate::vm::accelerator;
use std::path::PathBuf;
use std::time::Duration;

/// Objects that a cache may hold unless the user says otherwise: each object more costs a unit, for each of many suspicions.
pub(super) const LARGEST_CACHE: u64 = 300;
/// Entries of a directory that is begun with.
const MOST_ENTRIES: u64 = 1000;
/// Where in the cache finds are kept, and what is gone on with.
const EXPLORE: &str = "explore";

/// Try random workloads, and make of each that leaks, lists wrongly or ends the kernel the smallest scenario that still does.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: whatever run boots. Series and trees are built with fault injection, so that allocations can fail.
    #[arg(long, value_name = "SPEC")]
    kernel: String,
    #[command(flatten)]
    sources: Sources,
    /// How long to try: 90s, 15m, 2h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time: Duration,
    /// Begin with the scenarios of this set, or with one by name or file, besides what is drawn. Can be given several times.
    #[arg(long, value_name = "SET|SCENARIO")]
    from: Vec<String>,
    /// Keep finds and what is gone on with in this directory [default: one for each kernel in the cache].
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Try only every Nth batch of candidates, beginning with the Kth, so that N machines with the same seed try different ones.
    #[arg(long, value_name = "K/N", requires = "seed")]
    shard: Option<Shard>,
    /// Guests side by side [default: as many as processors and memory allow].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    jobs: Option<u32>,
    /// Keep what reaches code that nothing reached before, to make other candidates of; the kernel is built so that it counts what is executed of
    /// its NFS code.
    #[arg(long)]
    guided: bool,
    /// Have no allocation fail, so that the kernel needs no fault injection.
    #[arg(long, conflicts_with = "guided")]
    without_failures: bool,
    #[command(flatten)]
    measure: Measure,
}

/// Explores, shows what was found, and gives the status of the worst of it.
pub fn run(arguments: &Args) -> Result<Exit> {
    let from = arguments.from()?;
    arguments.check()?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let mut sources = arguments.sources.options(false);
    match (arguments.guided, arguments.without_failures) {
        (true, _) => sources.config.insert(0, Fragment::Coverage),
        (false, false) => sources.config.insert(0, Fragment::FaultInjection),
        (false, true) => {}
    }
    let kernel = kernel::resolve(&arguments.kernel, &sources, &cache, &ui)?;
    let mut options = arguments.measure.options();
    options.largest_cache = arguments.measure.largest_cache.unwrap_or(LARGEST_CACHE);
    let dir = match &arguments.corpus {
        Some(dir) => dir.clone(),
        None => cache.dir(EXPLORE)?.join(file_name(&kernel.spec)),
    };
    let plan = Plan {
        kernel: &kernel,
        accelerator: accelerator::choose(&kernel.image, &cache, &ui)?,
        options: &options,
        cache: &cache,
        ui: &ui,
        time: arguments.time,
        jobs: side_by_side(arguments.jobs)?,
        can_fail: !arguments.without_failures,
        is_guided: arguments.guided,
        shard: arguments.shard,
        from,
        sought: None,
    };
    let Explored { record, results, error } = explore(&plan, &dir, arguments.measure.seed)?;
    let is_nothing = record.candidates == record.not_done;
    let mut file = ResultFile::new();
    file.results = results;
    file.explorations.push(record);
    arguments.measure.show(&file, &targets)?;
    match error {
        Some(error) => Err(error),
        None if file.results.is_empty() && is_nothing => Ok(Exit::CannotJudge),
        None => Ok(exit(&file.results)),
    }
}

impl Args {
    /// Refuses options that say something of one scenario.
    fn check(&self) -> Result<()> {
        let measure = &self.measure;
        let refused = [
            (measure.set.is_some(), "--set", "--from begins with the scenarios of a set"),
            (measure.overrides != Overrides::default(), "-n, -o and --fail-nth", "they go with run"),
            (measure.exec.exec.is_some(), "--exec", "it goes with run"),
            (measure.processors.is_some(), "--processors", "guests with one and with two are drawn"),
            (measure.trace.is_some(), "--trace", "it goes with run, for a scenario that was found"),
        ];
        match refused.iter().find(|(is_given, ..)| *is_given) {
            Some((_, option, instead)) => {
                Err(Error::usage(format!("explore draws its scenarios, so {option} says nothing to it; {instead}")))
            }
            None => Ok(()),
        }
    }

    /// Returns the scenarios that are begun with, as small as those that are drawn.
    fn from(&self) -> Result<Vec<Scenario>> {
        let mut all = Vec::new();
        for word in &self.from {
            if is_scenario(word) {
                all.push(load(word)?);
            } else {
                all.extend(select(&[], Some(word), &[], &Overrides::default())?);
            }
        }
        all.retain(|scenario| scenario.unit.programs().next().is_none());
        cluster::none_of(&all, "explore")?;
        all.iter_mut().for_each(|scenario| scenario.directory = scenario.directory.with_at_most(MOST_ENTRIES));
        Ok(all)
    }
}

/// Returns how many guests are explored in side by side: as many as the user says, else as many as processors and memory allow.
pub(super) fn side_by_side(jobs: Option<u32>) -> Result<usize> {
    let most = guests(std::iter::once(&load("quick")?));
    Ok(jobs.map_or(most, |jobs| jobs as usize))
}

/// Returns a name for the directory of a kernel.
fn file_name(spec: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "+-._".contains(c) { c } else { '_' };
    let name: String = spec.chars().map(plain).collect();
    name.trim_start_matches('.').to_owned()
}

/// Reads `90s`, `15m`, `2h`, or a number of seconds.
pub(super) fn duration(text: &str) -> std::result::Result<Duration, String> {
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        Some((at, 'd')) => (&text[..at], 86400.0),
        _ => (text, 1.0),
    };
    let number = positive(number).map_err(|why| format!("{why}; say 90s, 15m or 2h"))?;
    Ok(Duration::from_secs_f64(number * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_said_in_seconds_minutes_or_hours() {
        let seconds = |text| duration(text).unwrap().as_secs_f64();
        assert_eq!(["90", "90s", "1.5m", "2h", "1d"].map(seconds), [90.0, 90.0, 90.0, 7200.0, 86400.0]);
        for wrong in ["", "h", "-1h", "two hours", "0s", "1w"] {
            assert!(duration(wrong).unwrap_err().ends_with("say 90s, 15m or 2h"), "{wrong}");
        }
    }

    #[test]
    fn directory_of_a_kernel_is_named_after_its_spec() {
        assert_eq!(file_name("6.1+spare-pages"), "6.1+spare-pages");
        assert_eq!(file_name("../linux@v6.1/x"), "_linux_v6.1_x");
    }
}
