//! Finding the commit that broke or mended something, without a person: which commits there are (`history`), in which order they are
//! asked (`search`), what each of them says (`judge`, with `ahead` and `verdicts`), and whether the answer holds (`confirm`).

mod ahead;
mod confirm;
pub mod history;
mod judge;
pub mod record;
pub mod search;
#[cfg(test)]
mod test_history;
mod verdicts;

pub use confirm::{Confirmation, Revert, confirm};
pub use judge::KernelTester;

use crate::error::Result;
use crate::kernel::external::git::Repo;
use crate::result::bisection::Commit;
use crate::text::truncate::short;
use search::Step;
use std::fmt;

impl Commit {
    /// The commit of `repo` by its id.
    pub fn from_repo(repo: &Repo, id: &str) -> Result<Self> {
        let subject = repo.text(&["log", "-1", "--format=%s", id])?;
        Ok(Self { id: id.to_owned(), subject: subject.trim().to_owned() })
    }
}

/// `0123456789ab ("NFS: ...")`, as kernel people quote it.
impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (\"{}\")", short(&self.id), self.subject)
    }
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// The first commit of the new side.
    pub commit: Option<Commit>,
    /// Where skipped commits leave several: all that it can be.
    pub among: Vec<Commit>,
    /// All that were judged, in order.
    pub steps: Vec<Step>,
    /// `git bisect log`.
    pub log: String,
}

impl Found {
    /// Probability that at least one verdict on the way is wrong.
    pub fn error(&self) -> f64 {
        1.0 - self.steps.iter().map(|step| 1.0 - step.judged.error).product::<f64>()
    }

    /// Guests that were run.
    pub fn guests(&self) -> u64 {
        self.steps.iter().map(|step| step.judged.guests).sum()
    }
}
