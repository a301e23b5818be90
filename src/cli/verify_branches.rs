//! `dirleak verify --branch`: whether a fix applies to each of several branches, and is one there.

use super::kernel_args::{Config, able_to};
use super::measure_args::Measure;
use super::second_seed;
use crate::error::{Error, Exit, Result};
use crate::fleet::cluster;
use crate::kernel::Builder;
use crate::kernel::bootable::Kernel;
use crate::kernel::build::incremental::BuildOptions;
use crate::kernel::source::change::{Applied, Change};
use crate::kernel::source::snapshot::Snapshot;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::bisection::Commit;
use crate::result::branch::{Applies, BranchRecord};
use crate::result::file::ResultFile;
use crate::result::proof::{self, Outcome, Proof};
use crate::result::record::RunRecord;
use crate::scenario::Scenario;
use std::path::Path;

/// A fix and the branches that it is to be proven on.
#[derive(clap::Args, Debug)]
pub struct Branches {
    /// The git tree of the branches. It is not written to.
    #[arg(long, value_name = "DIR", requires_all = ["fix", "branches"], conflicts_with_all = ["unpatched", "patched"])]
    pub tree: Option<String>,
    /// The fix: a patch file, or a commit of the tree.
    #[arg(long, value_name = "FILE|COMMIT", requires = "tree")]
    fix: Option<String>,
    /// A branch, or any other revision, to prove the fix on. Can be given several times.
    #[arg(long = "branch", value_name = "REV", requires = "tree")]
    branches: Vec<String>,
}

/// What all branches have in common.
struct Work<'a> {
    measure: &'a Measure,
    scenarios: Vec<Scenario>,
    builder: Builder<'a>,
    fix: Change,
    cache: &'a Cache,
    ui: &'a Ui,
}

/// Proves the fix branch by branch, shows a row for each, and gives 0 only if it is proven on all.
pub fn run(tree: &str, asked: &Branches, measure: &Measure, config: &Config, scenarios: &[String]) -> Result<Exit> {
    let scenarios = measure.scenarios(scenarios, &["quick"])?;
    cluster::none_of(&scenarios, "verify")?;
    let targets = measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let builder = Builder::new(tree, &able_to(&scenarios, config.options()), &cache)?;
    let branches = &asked.branches;
    let commits = branches.iter().map(|branch| builder.place.commit(branch)).collect::<Result<Vec<_>>>()?;
    let fix = change(&builder, asked.fix.as_deref().unwrap_or_default())?;
    let work = Work { measure, scenarios, builder, fix, cache: &cache, ui: &ui };
    let mut file = ResultFile::new();
    for (branch, commit) in branches.iter().zip(&commits) {
        let (record, results) = work.prove(branch, commit)?;
        ui.line(&format!("{branch}: {}", record.proof.reason));
        file.branches.push(record);
        file.results.extend(results);
    }
    measure.show(&file, &targets)?;
    let all = |outcome| file.branches.iter().all(|branch| branch.proof.outcome == outcome);
    let any = |outcome| file.branches.iter().any(|branch| branch.proof.outcome == outcome);
    Ok(match () {
        () if all(Outcome::Proven) => Exit::Clean,
        () if any(Outcome::NotProven) => Exit::Leak,
        () => Exit::CannotJudge,
    })
}

/// Finds the change: a file if there is one of that name, else a commit.
fn change(builder: &Builder, fix: &str) -> Result<Change> {
    let path = Path::new(fix);
    if path.is_file() {
        return Change::from_file(&builder.place, path);
    }
    let neither = |_| Error::usage(format!("the fix '{fix}' is neither a patch file nor a commit of {}", builder.word));
    Change::from_commit(&builder.place, &builder.place.commit(fix).map_err(neither)?)
}

impl Work<'_> {
    fn prove(&self, branch: &str, commit: &str) -> Result<(BranchRecord, Vec<RunRecord>)> {
        let mut record = self.unjudged(branch, commit)?;
        let Some((unpatched, patched)) = self.both(commit, &mut record)? else { return Ok((record, Vec::new())) };
        let kernels = self.build(&unpatched).and_then(|unpatched| Ok([unpatched, self.build(&patched)?]));
        let kernels = match kernels {
            // A branch that does not build says nothing about the others.
            Err(error) if error.exit() == Exit::CannotJudge => {
                record.proof.reason = error.to_string();
                return Ok((record, Vec::new()));
            }
            kernels => kernels?,
        };
        let [unpatched, patched] = &kernels;
        let pairs: Vec<_> = self.scenarios.iter().flat_map(|s| [(s, unpatched), (s, patched)]).collect();
        let mut results = self.measure.run(&pairs, self.cache, self.ui)?;
        second_seed::confirm(self.measure, &pairs, &mut results, self.cache, self.ui)?;
        let one_is_enough = self.measure.set.is_some();
        record.proof = proof::from_records(&results, one_is_enough, &unpatched.spec, &patched.spec);
        record.fill(&results, one_is_enough);
        Ok((record, results))
    }

    /// Returns the row of a branch about which nothing is known yet.
    fn unjudged(&self, branch: &str, commit: &str) -> Result<BranchRecord> {
        Ok(BranchRecord {
            branch: branch.to_owned(),
            commit: Commit::from_repo(&self.builder.place.repo, commit)?,
            applies: Applies::Yes,
            leaked_before: None,
            clean_after: None,
            listing_complete: None,
            proof: Proof {
                outcome: Outcome::Undecided,
                reason: String::new(),
                unpatched: String::new(),
                patched: String::new(),
                one_is_enough: false,
            },
        })
    }

    /// Makes the branch without and with the fix; `None`, and the reason, if it does not apply.
    fn both(&self, commit: &str, record: &mut BranchRecord) -> Result<Option<(Snapshot, Snapshot)>> {
        let (place, fix) = (&self.builder.place, &self.fix);
        let as_it_is = place.at_commit(commit)?;
        // Only a verdict disproves; what was not tried is open.
        let mut stopped = |why: String| {
            record.proof.reason = why;
            Ok(None)
        };
        match fix.apply_to(place, commit)? {
            Applied::Sources(patched) => Ok(Some((as_it_is, patched))),
            Applied::Stopped(why) => {
                record.applies = Applies::No;
                stopped(format!("{} does not apply: {why}", fix.name))
            }
            Applied::Nothing => {
                record.applies = Applies::Already;
                match fix.revert_from(place, commit)? {
                    Applied::Sources(unpatched) => Ok(Some((unpatched, as_it_is))),
                    Applied::Nothing => stopped(format!("{} changes nothing", fix.name)),
                    Applied::Stopped(why) => stopped(format!(
                        "{} is there already, but cannot be taken out to see what was before: {why}",
                        fix.name
                    )),
                }
            }
        }
    }

    fn build(&self, snapshot: &Snapshot) -> Result<Kernel> {
        self.builder.build(snapshot, &BuildOptions::default(), self.ui)
    }
}
