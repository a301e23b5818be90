//! Whether the answer of a search holds: the found commit and its parent once more in fresh guests, and the new end without it.

use super::found::{Found, State, TestResult};
use super::history::{Mark, Terms};
use super::judge::KernelTester;
use super::search::{TestCommit, mark};
use crate::boot::job::second_seed;
use crate::boot::pool::{guests, run_parallel};
use crate::error::Result;
use crate::kernel::source::change::{Applied, Change};
use crate::result::bisection::Commit;

/// What became of the found commit the second time.
#[derive(Clone, Debug)]
pub struct Confirmation {
    pub commit: TestResult,
    pub parent: Commit,
    pub parent_judged: TestResult,
    pub revert: Revert,
}

/// The new end without the found commit.
#[derive(Clone, Debug)]
pub enum Revert {
    /// The new end is the found commit itself, so it is its parent.
    IsParent,
    /// It could not be made, and why.
    NotTried(String),
    /// What its kernel said.
    Judged(Box<TestResult>),
}

impl Confirmation {
    /// Returns why the result is not confirmed; `None` if it is.
    pub fn doubt(&self, terms: Terms) -> Option<String> {
        let says = |judged: &TestResult| match &judged.state {
            State::Leaks => "leaks".to_owned(),
            State::Clean => "does not leak".to_owned(),
            State::Unknown(why) => format!("cannot be judged ({})", why.trim_end_matches('.')),
            State::Untested => "was not judged".to_owned(),
        };
        if mark(&self.commit.state, terms) != Mark::New {
            return Some(format!("run again, the found commit {}", says(&self.commit)));
        }
        if mark(&self.parent_judged.state, terms) != Mark::Old {
            return Some(format!("run again, its parent {}", says(&self.parent_judged)));
        }
        match &self.revert {
            Revert::Judged(judged) if mark(&judged.state, terms) != Mark::Old => {
                Some(format!("the {} end without the found commit {}", terms.after(), says(judged)))
            }
            Revert::NotTried(why) => Some(format!(
                "in fresh guests the commit and its parent said the same again, but the {} end without it was not tried, as {why}",
                terms.after()
            )),
            Revert::IsParent | Revert::Judged(_) => None,
        }
    }

    /// Returns the probability, at most, that the found commit or its parent is not what both of their verdicts say.
    /// Guests of one kernel may have the same noise, so being asked twice is only sure to be no worse than the better
    /// of the two.
    pub fn error(&self, first: &Found) -> f64 {
        let error_of = |id: &str, again: &TestResult| {
            let step = first.steps.iter().find(|step| step.commit.id == id);
            again.error.min(step.map_or(1.0, |step| step.judged.error))
        };
        let commit = first.commit.as_ref().map_or(1.0, |commit| error_of(&commit.id, &self.commit));
        commit + error_of(&self.parent.id, &self.parent_judged)
    }

    /// Returns how many guests were run.
    pub fn guests(&self) -> u64 {
        let revert = if let Revert::Judged(judged) = &self.revert { judged.guests } else { 0 };
        self.commit.guests + self.parent_judged.guests + revert
    }
}

/// Asks again, in fresh guests, about `commit` as the first one of the side of `new`, the end.
pub fn confirm(kernels: &KernelTester, commit: &Commit, new: &str) -> Result<Confirmation> {
    let place = &kernels.builder.place;
    let seed = second_seed(kernels.options.boot.seed);
    // Of a merge, what it was merged into.
    let parent = place.repo.text(&["rev-parse", "--verify", &format!("{}^1", commit.id)])?;
    let parent = kernels.commit(parent.trim())?;
    // Both kernels are there already, so two guests are all there is to do.
    let judged = run_parallel(&[&commit.id, &parent.id], guests([kernels.scenario].into_iter()), |id| {
        kernels.test_snapshot(&place.at_commit(id)?, seed, &[])
    })?;
    let [judged, parent_judged] = judged.try_into().expect("as many results as commits");
    let revert = if commit.id == new {
        Revert::IsParent
    } else {
        match Change::from_commit(place, &commit.id)?.revert_from(place, new)? {
            Applied::Sources(snapshot) => Revert::Judged(Box::new(kernels.test_snapshot(&snapshot, seed, &[])?)),
            Applied::Nothing => Revert::NotTried("nothing of the commit is left in it".into()),
            Applied::Stopped(why) => Revert::NotTried(format!("taking the commit out of it {why}")),
        }
    };
    Ok(Confirmation { commit: judged, parent, parent_judged, revert })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(state: State) -> TestResult {
        TestResult { state, error: 0.01, ..TestResult::default() }
    }

    fn confirmation(commit: State, parent: State, revert: Revert) -> Confirmation {
        let parent_commit = Commit { id: "1".into(), subject: "x".into() };
        Confirmation { commit: judged(commit), parent: parent_commit, parent_judged: judged(parent), revert }
    }

    #[test]
    fn confirmation_needs_all_three_to_say_the_same_as_before() {
        let fine = confirmation(State::Leaks, State::Clean, Revert::Judged(Box::new(judged(State::Clean))));
        assert_eq!(fine.doubt(Terms::Break), None);
        assert!(fine.doubt(Terms::Fix).is_some());
        let fixed = confirmation(State::Clean, State::Leaks, Revert::Judged(Box::new(judged(State::Leaks))));
        assert_eq!(fixed.doubt(Terms::Fix), None);
        for (wrong, part) in [
            (confirmation(State::Clean, State::Clean, Revert::IsParent), "the found commit does not leak"),
            (confirmation(State::Leaks, State::Leaks, Revert::IsParent), "its parent leaks"),
            (
                confirmation(State::Leaks, State::Clean, Revert::Judged(Box::new(judged(State::Leaks)))),
                "the bad end without the",
            ),
            (confirmation(State::Unknown("crash".into()), State::Clean, Revert::IsParent), "cannot be judged (crash)"),
        ] {
            assert!(wrong.doubt(Terms::Break).unwrap().contains(part), "{:?}", wrong.doubt(Terms::Break));
        }
        assert_eq!(confirmation(State::Leaks, State::Clean, Revert::IsParent).doubt(Terms::Break), None);
    }

    #[test]
    fn confirmation_without_take_out_is_doubted() {
        let not_tried = || Revert::NotTried("taking the commit out of it conflicts in fs/nfs/dir.c".into());
        for (commit, parent, terms, end) in
            [(State::Leaks, State::Clean, Terms::Break, "bad"), (State::Clean, State::Leaks, Terms::Fix, "fixed")]
        {
            let doubt = confirmation(commit, parent, not_tried()).doubt(terms).unwrap();
            assert!(doubt.contains(&format!("the {end} end without it was not tried, as taking")), "{doubt}");
            assert!(doubt.ends_with("conflicts in fs/nfs/dir.c"), "{doubt}");
        }
    }

    #[test]
    fn error_of_a_result_is_that_of_the_better_of_two_verdicts_on_each_commit() {
        let commit = |id: &str| Commit { id: id.into(), subject: "x".into() };
        let step = |id: &str, error| super::super::found::Step {
            commit: commit(id),
            judged: TestResult { error, ..judged(State::Leaks) },
        };
        let found = |commit| Found {
            commit,
            among: Vec::new(),
            steps: vec![step("1", 0.04), step("2", 0.005)],
            log: String::new(),
        };
        // The parent is "1", and each was asked again with an error of 0.01.
        let again = confirmation(State::Leaks, State::Clean, Revert::IsParent);
        assert!((again.error(&found(Some(commit("2")))) - (0.005 + 0.01)).abs() < 1e-12);
        assert!((again.error(&found(Some(commit("3")))) - (0.01 + 0.01)).abs() < 1e-12, "it was never asked before");
        assert!((again.error(&found(None)) - (1.0 + 0.01)).abs() < 1e-12);
    }

    #[test]
    fn guests_of_a_confirmation_are_those_of_all_three() {
        let mut again = confirmation(State::Leaks, State::Clean, Revert::Judged(Box::new(judged(State::Clean))));
        (again.commit.guests, again.parent_judged.guests) = (1, 2);
        let Revert::Judged(revert) = &mut again.revert else { panic!("it was judged") };
        revert.guests = 4;
        assert_eq!(again.guests(), 7);
        again.revert = Revert::IsParent;
        assert_eq!(again.guests(), 3);
    }
}
