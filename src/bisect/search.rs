//! The search itself: both ends first, then what git asks for, until one commit is left. Who judges is somebody else.

use super::found::{Found, State, Step, TestResult};
use super::history::{History, Mark, Next, Terms};
use crate::error::{Error, Result};
use crate::kernel::external::git::Repo;
use crate::result::bisection::Commit;
use crate::result::record::Verdict;
use std::collections::BTreeSet;

/// Whoever can say of a commit what state it is in.
pub trait TestCommit {
    /// Returns the commit by its id.
    fn commit(&self, id: &str) -> Result<Commit>;
    /// Judges `commit`; one of `guess` is probably asked for next.
    fn test(&mut self, commit: &Commit, guess: &[String]) -> Result<TestResult>;
    /// Judges an end, on which the whole search rests.
    fn test_end(&mut self, commit: &Commit, guess: &[String]) -> Result<TestResult> {
        self.test(commit, guess)
    }
    /// Hears what became of a commit, with about how many more to come.
    fn step(&mut self, step: &Step, left: u64);
}

/// Finds the commit between the two `ends`, the old one first, from which on all is as at the new end.
pub fn search(
    repo: Repo,
    terms: Terms,
    ends: [&str; 2],
    paths: &[String],
    judge: &mut dyn TestCommit,
) -> Result<Found> {
    let [old, new] = ends;
    if old == new {
        return Err(Error::usage(format!("both ends are the commit {old}; name two different ones")));
    }
    let (history, mut next) = History::start(repo, terms, old, new, paths)?;
    let mut steps = Vec::new();
    let first = if let Next::Test { commit, .. } = &next { vec![commit.clone()] } else { vec![] };
    for (end, guess) in [(old, vec![new.to_owned()]), (new, first)] {
        let commit = judge.commit(end)?;
        let judged = judge.test_end(&commit, &guess)?;
        let step = Step { commit, judged };
        judge.step(&step, steps_left(&next));
        steps.push(step);
        check_end(&steps, terms)?;
    }
    while let Next::Test { commit, .. } = &next {
        let guess = history.guess(commit)?;
        let commit = judge.commit(commit)?;
        let judged = judge.test(&commit, &guess)?;
        next = history.mark(&commit.id, mark(&judged.state, terms))?;
        let step = Step { commit, judged };
        judge.step(&step, steps_left(&next));
        steps.push(step);
    }
    let log = history.log()?;
    match next {
        Next::Found(id) => Ok(Found { commit: Some(judge.commit(&id)?), among: Vec::new(), steps, log }),
        Next::Skipped(ids) => {
            let among = ids.iter().map(|id| judge.commit(id)).collect::<Result<_>>()?;
            Ok(Found { commit: None, among, steps, log })
        }
        Next::Test { .. } => unreachable!("the loop ends with something else"),
    }
}

fn steps_left(next: &Next) -> u64 {
    if let Next::Test { steps, .. } = next { *steps } else { 0 }
}

/// Returns on which side of the change a commit is.
pub fn mark(state: &State, terms: Terms) -> Mark {
    match (state, terms) {
        (State::Leaks, Terms::Break) | (State::Clean, Terms::Fix) => Mark::New,
        (State::Clean, Terms::Break) | (State::Leaks, Terms::Fix) => Mark::Old,
        (State::Untested | State::Unknown(_), _) => Mark::Skip,
    }
}

/// Fails unless the ends differ, and in the right direction; else there is nothing to search for.
fn check_end(steps: &[Step], terms: Terms) -> Result<()> {
    let at = steps.len() - 1;
    let (word, wanted) = [(terms.before(), Mark::Old), (terms.after(), Mark::New)][at];
    let Step { commit, judged } = &steps[at];
    if mark(&judged.state, terms) == wanted {
        return Ok(());
    }
    let is = match &judged.state {
        State::Leaks => "leaks".to_owned(),
        State::Clean => other_leaks(judged).unwrap_or("does not leak".to_owned()),
        State::Unknown(why) => format!("cannot be judged ({})", why.trim_end_matches('.')),
        State::Untested => "was not judged".to_owned(),
    };
    let other = match terms {
        Terms::Break => "",
        Terms::Fix => "; without --find-fix the older commit is the one that does not leak",
    };
    Err(Error::kernel(format!(
        "nothing to search for: the {word} end {commit} {is}; choose another commit for it or another scenario{other}"
    )))
}

/// Returns what leaks, where only the leak of another function is looked for.
fn other_leaks(judged: &TestResult) -> Option<String> {
    let leaking = judged.record.as_ref().filter(|record| record.verdict == Verdict::Leak);
    let findings = leaking.map(|record| record.findings.as_slice()).unwrap_or_default();
    let functions: BTreeSet<&str> =
        findings.iter().filter_map(|f| Some(f.call_sites.first()?.function.as_str())).collect();
    let list = functions.into_iter().collect::<Vec<_>>().join(", ");
    (!list.is_empty()).then(|| format!("leaks only what was allocated in {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bisect::test_history::TestHistory;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn right_commit_is_found_wherever_it_is() {
        let made = TestHistory::straight(65);
        for change in (1..made.len()).step_by(7) {
            let change = made.id(change);
            let (found, asked) = made.search(Terms::Break, &change, &[]);
            assert_eq!(found.unwrap().commit.unwrap().id, change);
            assert!(asked <= 8, "{asked} verdicts for 64 commits");
        }
    }

    #[test]
    fn right_fix_is_found_in_histories_with_merges_and_commits_that_do_not_build() {
        let mut lot = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..5 {
            let made = TestHistory::with_merges(30, 4);
            let change = lot.random_range(1..made.len());
            let broken: Vec<String> = (0..3)
                .map(|_| lot.random_range(1..made.len() - 1))
                .filter(|n| n.abs_diff(change) > 1)
                .map(|n| made.id(n))
                .collect();
            let change = made.id(change);
            for terms in [Terms::Break, Terms::Fix] {
                let (found, asked) = made.search(terms, &change, &broken);
                let found = found.unwrap();
                match found.commit {
                    Some(commit) => assert_eq!(commit.id, change),
                    None => {
                        assert!(found.among.iter().any(|c| c.id == change) && found.among.len() <= broken.len() + 1)
                    }
                }
                assert!(asked <= 9 + broken.len(), "{asked}");
            }
        }
    }

    #[test]
    fn skipped_commits_are_all_named_where_no_others_are_left() {
        let made = TestHistory::straight(9);
        let broken = [made.id(4), made.id(5)];
        let (found, _) = made.search(Terms::Break, &made.id(5), &broken);
        let found = found.unwrap();
        let mut among: Vec<_> = found.among.iter().map(|c| c.id.clone()).collect();
        let mut expected = vec![made.id(4), made.id(5), made.id(6)];
        among.sort();
        expected.sort();
        assert_eq!((found.commit, among), (None, expected));
        assert!(found.log.contains("git bisect skip"), "{}", found.log);
    }

    #[test]
    fn leak_of_another_function_is_told() {
        let mut judged = TestResult { record: Some(crate::result::example::leak()), ..TestResult::default() };
        assert_eq!(other_leaks(&judged).unwrap(), "leaks only what was allocated in nfs_readdir_page_array_append");
        judged.record = Some(crate::result::example::clean());
        assert_eq!(other_leaks(&judged), None);
    }

    #[test]
    fn ends_that_do_not_differ_are_refused() {
        let made = TestHistory::straight(9);
        for (change, terms, part) in [(0, Terms::Break, "the good end"), (0, Terms::Fix, "the broken end")] {
            let (found, asked) = made.search(terms, &made.id(change), &[]);
            let error = found.err().unwrap();
            assert_eq!(error.exit(), crate::error::Exit::CannotJudge);
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(asked, 1);
        }
        let (found, _) = made.search(Terms::Break, "0000000000000000000000000000000000000000", &[]);
        assert!(found.err().unwrap().to_string().contains("the bad end"));
        let (found, _) = made.search(Terms::Break, &made.id(4), &[made.id(0)]);
        assert!(found.err().unwrap().to_string().contains("cannot be judged (it does not build)"));
    }

    #[test]
    fn steps_left_are_those_of_a_test() {
        assert_eq!(steps_left(&Next::Test { commit: "1".into(), steps: 5 }), 5);
        assert_eq!(steps_left(&Next::Found("1".into())), 0);
    }
}
