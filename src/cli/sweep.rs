//! `dirleak sweep`: every allocation of a unit fails once.

use super::kernel_args::Sources;
use super::measure_args::Measure;
use super::run::exit;
use crate::boot::job::Job;
use crate::error::{Error, Exit, Result};
use crate::fleet::cluster;
use crate::kernel;
use crate::kernel::bootable::Kernel;
use crate::kernel::build::ingredients::Fragment;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::file::ResultFile;
use crate::result::record::{RunRecord, Verdict};
use crate::run::options::Options;
use crate::run::sweep::{Swept, sweep};
use crate::scenario::fail_nth::{AllocationKind, FailNth, MOST_NTH};
use crate::scenario::{Overrides, Scenario};
use crate::vm::accelerator;

/// Objects that a cache may hold unless the user says otherwise: on a path where something failed nothing is kept for later, and each object
/// more costs a unit.
pub(super) const LARGEST_CACHE: u64 = 300;
/// Allocations of either kind that are made to fail unless the user says otherwise.
pub(super) const MOST: u32 = 1000;

/// Have every allocation of a unit fail once, and say what each failure leaves behind.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: a series (6.1, or newest) or a source tree (DIR, DIR@REV), each with patches or without, which is built with fault
    /// injection; or an image that has it.
    #[arg(long, value_name = "SPEC")]
    kernel: String,
    #[command(flatten)]
    sources: Sources,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Have no more than the first N objects of slab caches, and the first N pages, of a unit fail.
    #[arg(long, value_name = "N", default_value_t = MOST, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_NTH)))]
    most: u32,
    #[command(flatten)]
    measure: Measure,
}

/// Sweeps each scenario, shows, and gives the status of the worst verdict.
pub fn run(arguments: &Args) -> Result<Exit> {
    let scenarios = arguments.scenarios()?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let mut options = arguments.sources.options(false);
    options.config.insert(0, Fragment::FaultInjection);
    let kernel = kernel::resolve(&arguments.kernel, &options, &cache, &ui)?;
    let mut file = ResultFile::new();
    for scenario in &scenarios {
        arguments.sweep(scenario, &kernel, &mut file, (&cache, &ui))?;
    }
    arguments.measure.show(&file, &targets)?;
    Ok(exit(&file.results))
}

impl Args {
    fn scenarios(&self) -> Result<Vec<Scenario>> {
        if self.measure.overrides.fail_nth.is_some() {
            return Err(Error::usage("sweep has one allocation after the other fail; --fail-nth goes with run"));
        }
        let scenarios = self.measure.scenarios(&self.scenarios, &["quick"])?;
        cluster::none_of(&scenarios, "sweep")?;
        // What a scenario cannot have fail is told before anything is built.
        let first = FailNth { kind: AllocationKind::Slab, nth: 1 };
        for scenario in &scenarios {
            if scenario.unit.fail_nth().is_some() {
                return Err(Error::usage(format!(
                    "{} has an allocation fail already; dirleak run judges it",
                    scenario.name
                )));
            }
            fails(scenario, first)?;
        }
        Ok(scenarios)
    }

    /// Sweeps one scenario, judges in guests of their own what is not clean, and puts all of it into the file.
    fn sweep(
        &self,
        scenario: &Scenario,
        kernel: &Kernel,
        file: &mut ResultFile,
        (cache, ui): (&Cache, &Ui),
    ) -> Result<()> {
        let mut options = self.measure.options();
        options.largest_cache = self.measure.largest_cache.unwrap_or(LARGEST_CACHE);
        let accelerator = accelerator::choose(&kernel.image, cache, ui)?;
        let job = Job { scenario, kernel, accelerator, options: &options.boot, cache, ui };
        let swept = places(&job, &options, self.most, |failing| {
            let pairs: Vec<(&Scenario, &Kernel)> = failing.iter().map(|scenario| (scenario, kernel)).collect();
            self.measure.run_with(&options, &pairs, cache, ui)
        })?;
        file.results.extend(swept.places.into_iter().map(|(_, record)| record));
        file.sweeps.push(swept.record);
        Ok(())
    }
}

/// Sweeps a scenario, and has `judge` judge in guests of their own what is not clean.
pub(super) fn places(
    job: &Job,
    options: &Options,
    most: u32,
    judge: impl Fn(&[Scenario]) -> Result<Vec<RunRecord>>,
) -> Result<Swept> {
    let mut swept = sweep(job, options, most)?;
    let doubtful = |record: &RunRecord| record.failing.is_some() && record.verdict != Verdict::Clean;
    let again: Vec<usize> = (0..swept.places.len()).filter(|at| doubtful(&swept.places[*at].1)).collect();
    let failing = again.iter().map(|at| fails(job.scenario, swept.places[*at].0)).collect::<Result<Vec<_>>>()?;
    for (at, record) in again.into_iter().zip(judge(&failing)?) {
        let first = &mut swept.places[at].1;
        *first = judged_again(first, record);
    }
    Ok(swept)
}

/// Returns the scenario with this allocation of each unit failing.
pub(super) fn fails(scenario: &Scenario, fail: FailNth) -> Result<Scenario> {
    let mut failing = scenario.clone();
    Overrides { fail_nth: Some(fail), ..Overrides::default() }.apply(&mut failing)?;
    Ok(failing)
}

/// Returns the record of a guest of its own, with what only the sweep knows.
fn judged_again(first: &RunRecord, mut record: RunRecord) -> RunRecord {
    if let (Some(before), Some(failing)) = (&first.failing, &mut record.failing) {
        failing.alike = before.alike;
        if failing.stack.is_empty() {
            failing.stack.clone_from(&before.stack);
            failing.function.clone_from(&before.function);
        }
        if failing.stack != before.stack {
            record.notes.push(format!("in the guest of the sweep {} was the one that failed", before.place()));
        }
    }
    if record.verdict != first.verdict {
        record.notes.push(format!("in the guest of the sweep it was {}: {}", first.verdict.as_str(), first.reason));
    }
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::record::KernelRecord;
    use crate::result::sweep::FailingRecord;

    #[test]
    fn record_of_a_second_guest_tells_what_differs_from_the_first() {
        let record = |verdict, function: &str| {
            let mut record = RunRecord::begin("quick", KernelRecord::default(), 1);
            record.verdict = verdict;
            let stack: Vec<String> = Some(function.to_owned()).into_iter().filter(|f| !f.is_empty()).collect();
            record.failing = Some(FailingRecord { function: function.into(), stack, ..FailingRecord::new("slab:7") });
            record
        };
        let mut first = record(Verdict::Leak, "nfs_opendir");
        first.failing.as_mut().unwrap().alike = Some(3);
        let same = judged_again(&first, record(Verdict::Leak, "nfs_opendir"));
        assert_eq!((same.notes.len(), same.failing.unwrap().alike), (0, Some(3)));
        let unknown = judged_again(&first, record(Verdict::Leak, ""));
        assert_eq!((unknown.notes.len(), unknown.failing.unwrap().function.as_str()), (0, "nfs_opendir"));
        let other = judged_again(&first, record(Verdict::Clean, "nfs_readdir"));
        let told = [
            "in the guest of the sweep slab:7 in nfs_opendir was the one that failed",
            "in the guest of the sweep it was leak: nothing was measured",
        ];
        assert_eq!(other.notes, told);
    }
}
