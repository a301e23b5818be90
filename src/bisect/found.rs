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

impl TestResult {
    /// Returns what two questions about one commit came to, of which this, the first one, said that it is clean.
    pub fn with_second(self, second: Self) -> Self {
        // Guests of one kernel may have the same noise: two that agree are only sure to be no worse than the better.
        let error = if second.state == State::Clean { self.error.min(second.error) } else { second.error };
        let record = match (self.record, second.record) {
            (Some(first), Some(second)) => Some(first.with_second(second)),
            (first, second) => second.or(first),
        };
        let (guests, seconds) = (self.guests + second.guests, self.seconds + second.seconds);
        Self { state: second.state, record, guests, seconds, error }
    }
}

/// A commit that was judged.
#[derive(Clone, Debug)]
pub struct Step {
    pub commit: Commit,
    pub judged: TestResult,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    fn judged(state: State, record: RunRecord, error: f64) -> TestResult {
        TestResult { state, record: Some(record), guests: 1, seconds: 2.0, error }
    }

    #[test]
    fn end_that_is_clean_twice_is_clean_and_one_that_leaks_the_second_time_leaks() {
        let clean = |error| judged(State::Clean, example::clean(), error);
        let twice = clean(0.02).with_second(clean(0.04));
        assert_eq!((twice.state, twice.guests, twice.seconds, twice.error), (State::Clean, 2, 4.0, 0.02));
        assert_eq!(twice.record.unwrap().other_seeds.len(), 1);
        let leaks = clean(0.02).with_second(judged(State::Leaks, example::leak(), 0.04));
        assert_eq!((leaks.state, leaks.error), (State::Leaks, 0.04));
        assert_eq!(leaks.record.unwrap().verdict, example::leak().verdict);
        let unbuilt = TestResult { state: State::Unknown("crash".into()), ..TestResult::default() };
        assert_eq!(clean(0.02).with_second(unbuilt).state, State::Unknown("crash".into()));
    }

    #[test]
    fn second_question_adds_its_guests_and_seconds() {
        let clean = judged(State::Clean, example::clean(), 0.02);
        let second = TestResult { guests: 3, seconds: 5.0, ..clean.clone() };
        let both = clean.with_second(second);
        assert_eq!((both.guests, both.seconds), (4, 7.0));
    }

    #[test]
    fn error_of_a_path_is_that_of_any_of_its_verdicts() {
        let commit = |id: &str| Commit { id: id.into(), subject: "x".into() };
        let step = |error| Step { commit: commit("1"), judged: judged(State::Leaks, example::leak(), error) };
        let found = Found { commit: None, among: Vec::new(), steps: vec![step(0.1), step(0.2)], log: String::new() };
        assert!((found.error() - (1.0 - 0.9 * 0.8)).abs() < 1e-12);
        assert_eq!(found.guests(), 2);
        assert_eq!(commit("0123456789abcdef").to_string(), "0123456789ab (\"x\")");
    }
}
