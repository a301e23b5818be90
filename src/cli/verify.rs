//! `dirleak verify`: proves that a leak is there without a patch and gone with it.

use super::branches::{self, Branches};
use super::measure::Measure;
use super::sources::Config;
use crate::cache::Cache;
use crate::error::Result;
use crate::exit::Exit;
use crate::kernel;
use crate::report::record::{Outcome, Proof, ResultFile, RunRecord, Verdict};
use crate::ui::Ui;
use std::path::PathBuf;

/// Prove that a leak is there on one kernel and gone on another.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The kernel that is to leak.
    #[arg(long, value_name = "SPEC", default_value = "6.1+spare-pages")]
    unpatched: String,
    /// The kernel that is to be clean.
    #[arg(long, value_name = "SPEC", default_value = "6.1")]
    patched: String,
    #[command(flatten)]
    pub(super) branches: Branches,
    #[command(flatten)]
    pub(super) config: Config,
    /// The modules of the kernel that is to leak, where that is an image: see run --modules.
    #[arg(long, value_name = "DIR")]
    unpatched_modules: Option<PathBuf>,
    /// The modules of the kernel that is to be clean.
    #[arg(long, value_name = "DIR")]
    patched_modules: Option<PathBuf>,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    #[command(flatten)]
    pub(super) measure: Measure,
}

/// Runs both kernels side by side, shows, and gives 0 only for a proof.
pub fn run(arguments: &Args) -> Result<Exit> {
    if let Some(tree) = &arguments.branches.tree {
        return branches::run(arguments, tree);
    }
    let scenarios = arguments.measure.scenarios(&arguments.scenarios, &["huge-flat", "quick"])?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let resolve = |spec: &str, modules: &Option<PathBuf>| {
        let options = kernel::Options { modules: modules.clone(), ..arguments.config.options() };
        kernel::resolve(spec, &options, &cache, &ui)
    };
    let unpatched = resolve(&arguments.unpatched, &arguments.unpatched_modules)?;
    let patched = resolve(&arguments.patched, &arguments.patched_modules)?;
    let pairs: Vec<_> = scenarios.iter().flat_map(|s| [(s, &unpatched), (s, &patched)]).collect();
    let mut file = ResultFile::new();
    file.results = arguments.measure.run(&pairs, &cache, &ui)?;
    let (outcome, reason) = judge(&file.results, arguments.measure.set.is_some());
    let (unpatched, patched) = (arguments.unpatched.clone(), arguments.patched.clone());
    file.proof = Some(Proof { outcome, reason, unpatched, patched });
    arguments.measure.show(&file, &targets)?;
    Ok(match outcome {
        Outcome::Proven => Exit::Clean,
        Outcome::NotProven => Exit::Leak,
        Outcome::Undecided => Exit::CannotJudge,
    })
}

/// Records come in pairs, unpatched first. Every scenario must leak unpatched (of a set: one), and every one must be
/// clean and complete patched.
pub(super) fn judge(records: &[RunRecord], one_is_enough: bool) -> (Outcome, String) {
    let pairs: Vec<_> = records.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect();
    let disproves = |v| matches!(v, Verdict::Leak | Verdict::Crash | Verdict::Broken);
    if let Some((_, bad)) = pairs.iter().find(|(_, patched)| disproves(patched.verdict)) {
        return (Outcome::NotProven, format!("the patched kernel {}", of(bad)));
    }
    let leaking = pairs.iter().filter(|(unpatched, _)| unpatched.verdict == Verdict::Leak).count();
    let clean = pairs.iter().find(|(unpatched, _)| unpatched.verdict == Verdict::Clean);
    if let Some((clean, _)) = clean
        && (!one_is_enough || leaking == 0)
    {
        return (Outcome::NotProven, format!("the unpatched kernel {}", of(clean)));
    }
    if let Some((_, open)) = pairs.iter().find(|(_, patched)| patched.verdict != Verdict::Clean) {
        return (Outcome::Undecided, format!("the patched kernel {}", of(open)));
    }
    let open = pairs.iter().find(|(u, _)| !matches!(u.verdict, Verdict::Leak | Verdict::Clean));
    if let Some((open, _)) = open
        && (!one_is_enough || leaking == 0)
    {
        return (Outcome::Undecided, format!("the unpatched kernel {}", of(open)));
    }
    let both =
        if pairs.len() == 1 { "the scenario".to_owned() } else { format!("{leaking} of {} scenarios", pairs.len()) };
    (Outcome::Proven, format!("the unpatched kernel leaks in {both}, and the patched one is clean in all"))
}

fn of(record: &RunRecord) -> String {
    let (verdict, scenario) = (record.verdict, &record.scenario);
    match verdict {
        Verdict::Leak => format!("leaks in {scenario}"),
        Verdict::Broken => format!("lists wrongly in {scenario}: {}", record.reason),
        Verdict::Crash => format!("crashes in {scenario}: {}", record.reason),
        Verdict::Clean => format!("does not leak in {scenario}"),
        Verdict::Undecided | Verdict::Unsupported => format!("could not be judged in {scenario}: {}", record.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::record::KernelRecord;
    use Verdict::*;

    fn outcome(pairs: &[(Verdict, Verdict)], set: bool) -> Outcome {
        let record = |verdict| {
            let mut record = RunRecord::begin("x", KernelRecord::default(), 1);
            record.verdict = verdict;
            record
        };
        let records: Vec<_> = pairs.iter().flat_map(|(u, p)| [record(*u), record(*p)]).collect();
        judge(&records, set).0
    }

    #[test]
    fn proven_is_every_leak_there_and_every_one_gone() {
        assert_eq!(outcome(&[(Leak, Clean), (Leak, Clean)], false), Outcome::Proven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], false), Outcome::NotProven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], true), Outcome::Proven);
        assert_eq!(outcome(&[(Clean, Clean), (Clean, Clean)], true), Outcome::NotProven);
    }

    #[test]
    fn a_patched_kernel_that_leaks_crashes_or_lists_wrongly_disproves() {
        for verdict in [Leak, Crash, Broken] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::NotProven);
            assert_eq!(outcome(&[(Undecided, verdict)], true), Outcome::NotProven);
        }
    }

    #[test]
    fn what_is_open_proves_nothing_either_way() {
        for verdict in [Undecided, Unsupported] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean), (Leak, Clean)], false), Outcome::Undecided);
        }
    }
}
