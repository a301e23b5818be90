//! For tests: histories that are made up, and a judge who knows the answer.

use super::found::{Found, State, TestResult};
use super::history::Terms;
use super::search::{TestCommit, search};
use crate::error::Result;
use crate::kernel::external::git::Repo;
use crate::result::bisection::Commit;
use std::collections::BTreeMap;
use std::process::Command;
use tempfile::TempDir;

/// A git tree with a made-up history of small files.
pub struct TestHistory {
    dir: TempDir,
    /// Commits in the order in which they were made; merges last of what they join.
    ids: Vec<String>,
    sessions: std::cell::Cell<u32>,
}

impl TestHistory {
    /// Makes commits one after the other.
    pub fn straight(commits: usize) -> Self {
        Self::new(commits, usize::MAX)
    }

    /// Makes a history in which every `every`-th commit begins a side branch of three, which is merged.
    pub fn with_merges(commits: usize, every: usize) -> Self {
        Self::new(commits, every)
    }

    fn new(commits: usize, every: usize) -> Self {
        let made = Self { dir: tempfile::tempdir().unwrap(), ids: Vec::new(), sessions: 0.into() };
        let script = script(commits, every);
        std::fs::write(made.dir.path().join("script"), script).unwrap();
        let shell = "git init -q -b main linux && git -C linux fast-import --quiet <script && \
                     git -C linux log --reverse --topo-order --format=%H main >ids";
        let output = Command::new("sh").args(["-c", shell]).current_dir(made.dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let ids = std::fs::read_to_string(made.dir.path().join("ids")).unwrap();
        Self { ids: ids.lines().map(str::to_owned).collect(), ..made }
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("linux")
    }

    /// Returns the id of a commit by its number, the oldest first.
    pub fn id(&self, number: usize) -> String {
        self.ids[number].clone()
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Makes a new repository to search in.
    pub fn repo(&self) -> Repo {
        self.sessions.set(self.sessions.get() + 1);
        let dir = self.dir.path().join(format!("session-{}", self.sessions.get()));
        Repo::borrowing(dir, &self.path().join(".git/objects"), None).unwrap()
    }

    /// Returns whether commit `of` has `ancestor` in its history or is it.
    pub fn has(&self, of: &str, ancestor: &str) -> bool {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.path()).args(["merge-base", "--is-ancestor", ancestor, of]);
        command.status().unwrap().success()
    }

    /// Searches with a judge who knows at which commit things change and which commits cannot be judged.
    pub fn search(&self, terms: Terms, change: &str, broken: &[String]) -> (Result<Found>, usize) {
        let mut judge = Knowing { made: self, terms, change, broken, asked: BTreeMap::new() };
        let found = search(self.repo(), terms, [&self.id(0), &self.id(self.len() - 1)], &[], &mut judge);
        (found, judge.asked.len())
    }
}

struct Knowing<'a> {
    made: &'a TestHistory,
    terms: Terms,
    change: &'a str,
    broken: &'a [String],
    asked: BTreeMap<String, u32>,
}

impl TestCommit for Knowing<'_> {
    fn commit(&self, id: &str) -> Result<Commit> {
        Ok(Commit { id: id.into(), subject: "made up".into() })
    }

    fn test(&mut self, commit: &Commit, _guess: &[String]) -> Result<TestResult> {
        *self.asked.entry(commit.id.clone()).or_default() += 1;
        let changed = self.made.has(&commit.id, self.change);
        let state = match (self.broken.contains(&commit.id), changed == (self.terms == Terms::Break)) {
            (true, _) => State::Unknown("it does not build".into()),
            (_, true) => State::Leaks,
            (_, false) => State::Clean,
        };
        Ok(TestResult { state, ..TestResult::default() })
    }

    fn step(&mut self, _step: &super::found::Step, _left: u64) {}
}

/// Returns what git fast-import reads.
fn script(commits: usize, every: usize) -> String {
    let mut text = String::new();
    let mut mark = 0;
    let mut commit = |text: &mut String, branch: &str, number: usize, from: &[usize]| {
        mark += 1;
        let file = if number % 3 == 0 { "fs/nfs/dir.c" } else { "net/sunrpc/clnt.c" };
        let content = format!("change {mark}\n");
        text.push_str(&format!(
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter a <a@b> {} +0000\n",
            1_600_000_000 + mark
        ));
        text.push_str(&format!("data {}\nchange {mark}\n", 7 + mark.to_string().len()));
        for (at, from) in from.iter().enumerate() {
            text.push_str(&format!("{} :{from}\n", if at == 0 { "from" } else { "merge" }));
        }
        let name = if branch == "main" { file.to_owned() } else { format!("side/{branch}.c") };
        text.push_str(&format!("M 100644 inline {name}\ndata {}\n{content}\n", content.len()));
        mark
    };
    let mut tip = 0;
    for number in 0..commits {
        let from = if tip == 0 { vec![] } else { vec![tip] };
        tip = commit(&mut text, "main", number, &from);
        if number % every == every - 1 {
            let mut side = tip;
            for _ in 0..3 {
                side = commit(&mut text, &format!("side{number}"), number, &[side]);
            }
            tip = commit(&mut text, "main", number, &[tip]);
            tip = commit(&mut text, "main", number, &[tip, side]);
        }
    }
    text
}
