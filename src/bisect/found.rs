//! What a search has found.

use crate::error::Result;
use crate::kernel::external::git::Repo;
use crate::result::bisection::Commit;
use crate::result::record::RunRecord;
use crate::text::truncate::short;
use std::fmt;

impl Commit {
    /// Returns the commit of `repo` by its id.
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
    /// Returns the probability that at least one verdict on the way is wrong.
    pub fn error(&self) -> f64 {
        1.0 - self.steps.iter().map(|step| 1.0 - step.judged.error).product::<f64>()
    }

    /// Returns how many guests were run.
    pub fn guests(&self) -> u64 {
        self.steps.iter().map(|step| step.judged.guests).sum()
    }
}

/// What is known of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// What is looked for is there.
    Leaks,
    /// It is not.
    Clean,
    /// Nobody has looked yet.
    #[default]
    Untested,
    /// It cannot be told, and why.
    Unknown(String),
}

/// A commit's state and how it came about.
#[derive(Clone, Debug, Default)]
pub struct TestResult {
    pub state: State,
    /// Of the last guest; none if there was no kernel to boot.
    pub record: Option<RunRecord>,
    /// Guests that were run for it now.
    pub guests: u64,
    /// Building and running.
    pub seconds: f64,
    /// Probability that the state is wrong.
    pub error: f64,
}

/// A commit that was judged.
#[derive(Clone, Debug)]
pub struct Step {
    pub commit: Commit,
    pub judged: TestResult,
}
