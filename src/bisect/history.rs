//! The history that is searched: `git bisect` itself, in a repository of our own that borrows the objects of the user's.

use crate::error::{Error, Result};
use crate::kernel::external::git::{Repo, run};

/// What the two sides of the search are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terms {
    /// Old commits are good, new ones are bad.
    Break,
    /// Old commits are broken, new ones are fixed.
    Fix,
}

impl Terms {
    /// Returns the word for the side of the older commits.
    pub fn before(self) -> &'static str {
        match self {
            Self::Break => "good",
            Self::Fix => "broken",
        }
    }

    /// Returns the word for the side of the newer commits.
    pub fn after(self) -> &'static str {
        match self {
            Self::Break => "bad",
            Self::Fix => "fixed",
        }
    }
}

/// What is known of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Old,
    New,
    Skip,
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Test this commit; about so many tests are left, this one included.
    Test { commit: String, steps: u64 },
    /// This is the first commit of the new side.
    Found(String),
    /// It is one of these, which cannot be told apart because they were skipped.
    Skipped(Vec<String>),
}

/// A search under way.
pub struct History {
    repo: Repo,
    /// The same history without a search in it: `git rev-list --bisect` looks at what a search has found out by itself.
    plain: Repo,
    terms: Terms,
    paths: Vec<String>,
}

impl History {
    /// Begins between `old` and `new`, both commit ids, in `repo`, which is used for nothing else. With `paths`, only commits that
    /// touch them are tested.
    pub fn start(repo: Repo, terms: Terms, old: &str, new: &str, paths: &[String]) -> Result<(Self, Next)> {
        let plain =
            Repo::borrowing(repo.dir().with_extension("plain"), &repo.dir().join("objects"), Some(&repo.shallow()))?;
        let history = Self { repo, plain, terms, paths: paths.to_vec() };
        let (term_old, term_new) = (format!("--term-old={}", terms.before()), format!("--term-new={}", terms.after()));
        let mut arguments = vec!["bisect", "start", "--no-checkout"];
        if terms == Terms::Fix {
            arguments.extend([term_old.as_str(), term_new.as_str()]);
        }
        arguments.extend([new, old, "--"]);
        arguments.extend(paths.iter().map(String::as_str));
        // git wants a HEAD to go back to.
        history.repo.text(&["update-ref", "--no-deref", "HEAD", new])?;
        let next = history.step(&arguments)?;
        Ok((history, next))
    }

    /// Notes what was found out of `commit`.
    pub fn mark(&self, commit: &str, mark: Mark) -> Result<Next> {
        let word = match mark {
            Mark::Old => self.terms.before(),
            Mark::New => self.terms.after(),
            Mark::Skip => "skip",
        };
        self.step(&["bisect", word, commit])
    }

    /// Returns the log by which `git bisect replay` repeats the search.
    pub fn log(&self) -> Result<String> {
        // Where there is a work tree, the one who replays it wants it checked out.
        Ok(self.repo.text(&["bisect", "log"])?.replace("'--no-checkout' ", ""))
    }

    /// Returns the commits that are tested next if `commit` turns out to be old, and if it turns out to be new. A guess, as
    /// git does not promise what it takes; nothing depends on it but time.
    pub fn guess(&self, commit: &str) -> Result<Vec<String>> {
        let refs = self.repo.text(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/bisect"])?;
        let side = |term: &str| {
            let prefix = format!("refs/bisect/{term}");
            let ids = refs.lines().filter_map(|line| line.strip_prefix(&prefix)?.split_once(' '));
            ids.map(|(_, id)| id.to_owned()).collect::<Vec<_>>()
        };
        let (old, new) = (side(self.terms.before()), side(self.terms.after()));
        let middle = |new: &str, also_old: Option<&str>| {
            let mut arguments = vec!["rev-list", "--bisect", new, "--not"];
            arguments.extend(old.iter().map(String::as_str).chain(also_old));
            arguments.push("--");
            arguments.extend(self.paths.iter().map(String::as_str));
            Ok::<_, Error>(self.plain.maybe(&arguments)?.unwrap_or_default().trim().to_owned())
        };
        let new = new.first().map_or("", String::as_str);
        let (if_old, if_new) = (middle(new, Some(commit))?, middle(commit, None)?);
        Ok([if_old, if_new].into_iter().filter(|next| !next.is_empty() && next != commit).collect())
    }

    fn step(&self, arguments: &[&str]) -> Result<Next> {
        let ended = run(self.repo.git().args(arguments))?;
        let text = &ended.stdout;
        let answer = format!(" is the first {} commit", self.terms.after());
        let found = text.lines().filter_map(|line| line.strip_suffix(&answer)).find(|id| is_id(id));
        if let Some(found) = found {
            return Ok(Next::Found(found.to_owned()));
        }
        if text.lines().any(|line| line.starts_with("There are only 'skip'ped commits left")) {
            return Ok(Next::Skipped(text.lines().filter(|line| is_id(line)).map(str::to_owned).collect()));
        }
        if !ended.success {
            return Err(self.refused(&ended.complaint, text));
        }
        let commit = self.repo.text(&["rev-parse", "--verify", "BISECT_HEAD"])?.trim().to_owned();
        Ok(Next::Test { commit, steps: steps(text) })
    }

    /// Returns git's refusal as an error: git's own reasons are long; the two that users meet are told in a sentence.
    fn refused(&self, complaint: &str, text: &str) -> Error {
        let (old, new) = (self.terms.before(), self.terms.after());
        // A line "[id] subject" is somebody else's words.
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('[')).collect();
        let all = format!("{complaint}\n{}", lines.join("\n"));
        if all.contains("merge base") || all.contains("not ancestors") {
            return Error::kernel(format!(
                "the {old} end is not older than the {new} one, and where their histories part it is {new} already; \
                 choose a {old} commit that is an ancestor of the {new} one"
            ));
        }
        if all.contains("No testable commit") || all.contains("cannot work") {
            return Error::usage(format!(
                "no commit between the {old} and the {new} end touches {}",
                self.paths.join(" ")
            ));
        }
        Error::machine(format!("git bisect: {complaint}"))
    }
}

/// Returns how many tests are left, from `Bisecting: 31 revisions left to test after this (roughly 5 steps)`; this test
/// comes on top.
fn steps(text: &str) -> u64 {
    let number = |rest: &str| rest.split_whitespace().next()?.parse::<u64>().ok();
    let line = text.lines().find(|line| line.starts_with("Bisecting: "));
    1 + line.and_then(|line| line.split_once("(roughly ")).and_then(|(_, rest)| number(rest)).unwrap_or(0)
}

/// Tells a whole id from other words.
fn is_id(word: &str) -> bool {
    word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bisect::test_history::TestHistory;

    #[test]
    fn number_of_steps_is_read() {
        assert_eq!(steps("Bisecting: 31 revisions left to test after this (roughly 5 steps)\n[1234] x"), 6);
        assert_eq!(steps("Bisecting: a merge base must be tested\n"), 1);
    }

    #[test]
    fn guess_is_what_git_takes_next() {
        let made = TestHistory::straight(40);
        for mark in [Mark::Old, Mark::New] {
            let (history, next) = History::start(made.repo(), Terms::Break, &made.id(0), &made.id(39), &[]).unwrap();
            let Next::Test { commit, steps } = next else { panic!("{next:?}") };
            assert!(steps <= 6, "{steps}");
            let guess = history.guess(&commit).unwrap();
            let Next::Test { commit: then, .. } = history.mark(&commit, mark).unwrap() else { panic!() };
            assert_eq!(guess[usize::from(mark == Mark::New)], then);
        }
    }

    #[test]
    fn ends_in_the_wrong_order_are_told() {
        let made = TestHistory::straight(5);
        let error = History::start(made.repo(), Terms::Break, &made.id(4), &made.id(0), &[]).err().unwrap();
        assert!(error.to_string().contains("choose a good commit that is an ancestor of the bad one"), "{error}");
    }

    #[test]
    fn paths_that_nothing_touches_are_told() {
        let made = TestHistory::straight(5);
        let paths = ["nowhere".to_owned()];
        let error = History::start(made.repo(), Terms::Break, &made.id(0), &made.id(4), &paths).err();
        assert!(error.is_some_and(|e| e.to_string().contains("touches nowhere")));
    }

    #[test]
    fn refusal_is_not_read_out_of_a_subject() {
        let made = TestHistory::straight(3);
        let (history, _) = History::start(made.repo(), Terms::Break, &made.id(0), &made.id(2), &[]).unwrap();
        let refused = history.refused("it is full", "[1234] a merge base must be tested\n[1234] bisect cannot work");
        assert_eq!(refused.to_string(), "git bisect: it is full");
        assert!(history.refused("it is full", "a merge base must be tested").to_string().contains("is not older than"));
    }

    #[test]
    fn id_is_forty_hexadecimal_digits() {
        assert!(is_id(&"0a".repeat(20)));
        assert!(!is_id("0a") && !is_id(&"0g".repeat(20)) && !is_id(&"0a".repeat(21)));
    }
}
