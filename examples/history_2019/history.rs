//! What the history is made of, and how it is made.

use super::letter::Letter;
use dirleak::internals::error::{Context, Error, Result};
use dirleak::internals::kernel::external;
use dirleak::internals::kernel::source::snapshot::{Snapshot, SourceTree};
use dirleak::internals::os::cache::{Cache, install_atomically};
use dirleak::internals::os::progress::Ui;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Commits of nothing of note before the optimisation, between it and its revert, and after that.
pub const BEFORE: usize = 8;
pub const BETWEEN: usize = 15;
pub const AFTER: usize = 6;

/// Files that those commits change, each in turn; kernels of ours compile all of them.
pub const FILES: [&str; 6] =
    ["fs/nfs/inode.c", "net/sunrpc/clnt.c", "fs/nfs/nfs3proc.c", "fs/nfs/read.c", "mm/util.c", "net/sunrpc/sched.c"];

/// When the first commit was made, in seconds since 1970: 15 January 2019. The others follow day by day; all of it is made up.
const FIRST: u64 = 1_547_553_600;
const DAY: u64 = 24 * 60 * 60;

/// The commits that matter, by their ids.
#[derive(Debug)]
pub struct Made {
    pub first: String,
    pub optimisation: String,
    pub leaks: String,
    pub revert: String,
    pub last: String,
}

/// Makes the history in the directory `into` out of `tree` (DIR or DIR@REV) and the mail or patch `revert`; `cache` is where trees
/// are read.
pub fn make(tree: &str, revert: &Path, into: &Path, cache: &Cache) -> Result<Made> {
    let shown = into.display();
    // Of a name alone the parent is nothing, which stands for where we are.
    let parent = into.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    let parent = parent.ok_or_else(|| Error::usage(format!("{shown} is no place to make a history in")))?;
    let is_free = !into.exists() || fs::read_dir(into).is_ok_and(|mut entries| entries.next().is_none());
    if !is_free {
        return Err(Error::usage(format!("{shown} is there and not empty; name a directory that is not there")));
    }
    if !parent.is_dir() {
        return Err(Error::usage(format!("{} is no directory to make {shown} in", parent.display())));
    }
    let scratch = tempfile::tempdir().machine(|| "cannot make a temporary directory".into())?;
    let letter = Letter::read(revert, scratch.path())?;
    let (place, sources) = open(tree, cache)?;
    check(tree, &sources, &letter, revert, &scratch.path().join("index"))?;
    install_atomically(&parent.join(into.file_name().unwrap_or_default()), |dir| {
        fs::create_dir(dir).machine(|| format!("cannot make {}", dir.display()))?;
        let mut history = History { dir, letter: &letter, tip: None, made: 0 };
        history.begin(&place, &sources.tree)?;
        let made = history.whole()?;
        told(git(dir).args(["reset", "-q", "--hard"]))?;
        Ok(made)
    })
}

/// Opens the tree that `word` names, and reads it.
fn open(word: &str, cache: &Cache) -> Result<(SourceTree, Snapshot)> {
    let (dir, rev) = match word.rsplit_once('@') {
        Some((dir, rev)) if !Path::new(word).exists() => (dir, Some(rev)),
        _ => (word, None),
    };
    if !Path::new(dir).is_dir() {
        return Err(Error::usage(format!("no source tree at {dir}")));
    }
    let place = SourceTree::open(Path::new(dir), cache)?;
    let sources = match rev {
        Some(rev) => place.at(rev)?,
        None => place.as_it_is(cache, &Ui::new())?,
    };
    Ok((place, sources))
}

/// Refuses sources that such a history cannot be made of, before anything is written.
fn check(tree: &str, sources: &Snapshot, letter: &Letter, revert: &Path, index: &Path) -> Result<()> {
    if let Some(missing) = FILES.iter().find(|file| sources.repo.file(&sources.tree, file).ok().flatten().is_none()) {
        return Err(Error::usage(format!(
            "{tree} has no {missing}, so it is no kernel that such a history is made of"
        )));
    }
    sources.repo.read_tree(&sources.tree, index)?;
    let applies = |way: &[&str]| {
        let mut command = sources.repo.git();
        command.args(["apply", "--cached", "--check"]).args(way).arg(&letter.patch);
        told(command.env("GIT_INDEX_FILE", index))
    };
    let Err(why) = applies(&[]) else { return Ok(()) };
    let revert = revert.display();
    Err(Error::usage(match applies(&["-R"]) {
        Ok(_) => format!("{tree} has {revert} already; name sources that it changes, such as those of Linux 5.2.1"),
        Err(_) => format!("{revert} does not apply to {tree}: {why}"),
    }))
}

/// A history that is being made.
struct History<'a> {
    dir: &'a Path,
    letter: &'a Letter,
    tip: Option<String>,
    /// How many commits there are.
    made: u64,
}

impl History<'_> {
    /// Makes the repository, with all of `tree` in it and in its index.
    fn begin(&self, place: &SourceTree, tree: &str) -> Result<()> {
        told(git(self.dir).args(["init", "-q", "--template=", "."]))?;
        told(git(self.dir).args(["symbolic-ref", "HEAD", "refs/heads/main"]))?;
        // Deltas that the user's tree has are taken over; looking for others takes minutes.
        let list = self.dir.join(".git/objects-wanted");
        fs::write(&list, format!("{tree}\n")).machine(|| format!("cannot write {}", list.display()))?;
        let wanted = fs::File::open(&list).machine(|| format!("cannot read {}", list.display()))?;
        let mut packing = place.repo.git();
        packing.args(["pack-objects", "--revs", "--stdout", "--quiet", "--window=0"]);
        let mut packing =
            packing.stdin(wanted).stdout(Stdio::piped()).spawn().machine(|| "cannot start git pack-objects".into())?;
        let pack = packing.stdout.take().expect("it is a pipe");
        let indexed = told(git(self.dir).args(["index-pack", "--stdin"]).stdin(pack));
        let packed = packing.wait().machine(|| "cannot wait for git pack-objects".into())?;
        fs::remove_file(&list).machine(|| format!("cannot remove {}", list.display()))?;
        indexed?;
        if !packed.success() {
            return Err(Error::machine("git pack-objects did not write all objects; see what it says above"));
        }
        told(git(self.dir).args(["read-tree", tree])).map(drop)
    }

    /// Makes all commits.
    fn whole(&mut self) -> Result<Made> {
        self.apply(&[])?;
        let first = self.commit("The sources without the optimisation", None)?;
        self.nothing_of_note(BEFORE)?;
        self.apply(&["-R"])?;
        let optimisation = self.commit(&self.optimisation(), None)?;
        self.nothing_of_note(BETWEEN)?;
        let leaks = self.tip.clone().expect("there are commits");
        self.apply(&[])?;
        let message = format!("{}\n\n{}", self.letter.revert(), self.letter.body);
        let revert = self.commit(&message, self.letter.author.as_ref())?;
        self.nothing_of_note(AFTER)?;
        let last = self.tip.clone().expect("there are commits");
        for (name, id) in [("refs/tags/first", &first), ("refs/tags/leaks", &leaks), ("refs/heads/main", &last)] {
            told(git(self.dir).args(["update-ref", name, id]))?;
        }
        Ok(Made { first, optimisation, leaks, revert, last })
    }

    /// Returns what the commit of the optimisation says.
    fn optimisation(&self) -> String {
        let original = self.letter.reverted().map_or(String::new(), |id| format!(" The original is {id}."));
        format!("{}\n\nWhat its revert takes out, put in.{original}", self.letter.optimisation())
    }

    /// Puts the revert into the index, or takes it out.
    fn apply(&self, way: &[&str]) -> Result<()> {
        told(git(self.dir).args(["apply", "--cached"]).args(way).arg(&self.letter.patch)).map(drop)
    }

    /// Makes so many commits, each of which makes another object file and the same behaviour.
    fn nothing_of_note(&mut self, commits: usize) -> Result<()> {
        for _ in 0..commits {
            let number = self.made;
            let file = FILES[number as usize % FILES.len()];
            let said = format!("\nstatic const char made_up_{number}[] __attribute__((used)) = \"{number}\";\n");
            let content = bytes(git(self.dir).args(["cat-file", "blob", &format!(":{file}")]))?;
            let changed = self.dir.join(".git/changed");
            fs::write(&changed, [content, said.into_bytes()].concat())
                .machine(|| format!("cannot write {}", changed.display()))?;
            let blob = told(git(self.dir).args(["hash-object", "-w", "--no-filters"]).arg(&changed))?;
            fs::remove_file(&changed).machine(|| format!("cannot remove {}", changed.display()))?;
            told(git(self.dir).args(["update-index", "--cacheinfo", &format!("100644,{blob},{file}")]))?;
            self.commit(&format!("Change {number}: nothing of note in {file}"), None)?;
        }
        Ok(())
    }

    /// Commits the index; gives the commit's id.
    fn commit(&mut self, message: &str, author: Option<&[String; 3]>) -> Result<String> {
        let tree = told(git(self.dir).args(["write-tree"]))?;
        let when = format!("{} +0000", FIRST + self.made * DAY);
        let mut command = git(self.dir);
        command.env("GIT_AUTHOR_DATE", &when).env("GIT_COMMITTER_DATE", &when);
        if let Some([name, address, date]) = author {
            command.env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", address).env("GIT_AUTHOR_DATE", date);
        }
        command.args(["commit-tree", "-m", message]);
        if let Some(parent) = &self.tip {
            command.args(["-p", parent]);
        }
        let id = told(command.arg(&tree))?;
        self.made += 1;
        self.tip = Some(id.clone());
        Ok(id)
    }
}

/// Returns a git that works in `dir` and knows no settings of the user's.
pub fn git(dir: &Path) -> Command {
    let mut command = external::git::git();
    command.args(["-c", "user.name=made", "-c", "user.email=made@localhost", "-C"]).arg(dir).stdin(Stdio::null());
    command
}

/// Runs git; gives what it prints, without the end of the line.
pub fn told(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&bytes(command)?).trim_end().to_owned())
}

/// Runs git; gives what it prints, as it is.
fn bytes(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().machine(|| "cannot start git".into())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said.lines().find(|line| line.contains(':')).unwrap_or("git says nothing").trim();
    if output.status.success() { Ok(output.stdout) } else { Err(Error::machine(complaint)) }
}
