//! How git is asked: the user's repository without a write to it, and a repository of our own that borrows its objects.

use crate::error::{Context, Error, Result};
use crate::os::cache::install_atomically;
use crate::os::process::Child;
use std::fs;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user's source tree, asked but never written to: not even its index is refreshed.
#[derive(Clone, Debug)]
pub struct UserRepo {
    dir: PathBuf,
    objects: PathBuf,
    shallow: PathBuf,
    index: PathBuf,
}

impl UserRepo {
    /// The repository whose work tree (or bare directory) is `dir`; `None` if `dir` is none.
    pub fn discover(dir: &Path) -> Result<Option<Self>> {
        if !is_repository(dir) {
            return Ok(None);
        }
        let places = ["--git-path", "objects", "--git-path", "shallow", "--git-path", "index"];
        let text = text(git().arg("-C").arg(dir).args(["rev-parse", "--path-format=absolute"]).args(places))?;
        let mut paths = text.lines().map(PathBuf::from);
        let mut next = || paths.next().ok_or_else(|| Error::machine("git rev-parse said less than it was asked"));
        Ok(Some(Self { dir: dir.to_owned(), objects: next()?, shallow: next()?, index: next()? }))
    }

    /// The id of the commit that `rev` names.
    pub fn commit(&self, rev: &str) -> Result<String> {
        let name = format!("{rev}^{{commit}}");
        let mut command = git();
        command.arg("-C").arg(&self.dir).args(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]);
        let ended = run(&mut command)?;
        let no_such = || Error::usage(format!("{} has no revision '{rev}'", self.dir.display()));
        ended.success.then(|| ended.stdout.trim().to_owned()).ok_or_else(no_such)
    }

    /// The directory of its objects, which tells repositories apart: work trees of one share it.
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// Its index, which knows of most files that they are unchanged.
    pub fn index(&self) -> &Path {
        &self.index
    }
}

/// Whether `dir` is a work tree's top, checked out or not, or a bare repository.
pub fn is_repository(dir: &Path) -> bool {
    dir.join(".git").exists() || (dir.join("HEAD").is_file() && dir.join("objects").is_dir())
}

/// A repository of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    git_dir: PathBuf,
}

impl Repo {
    /// The repository in `git_dir`, made if missing, with the objects of `theirs` at hand.
    pub fn open(git_dir: PathBuf, theirs: Option<&UserRepo>) -> Result<Self> {
        let repo = Self { git_dir };
        if !repo.git_dir.join("HEAD").exists() {
            install_atomically(&repo.git_dir, |new| {
                run(git().args(["init", "-q", "--bare"]).arg(new))?.expect("git init")
            })?;
        }
        let failed = || format!("cannot write in {}", repo.git_dir.display());
        fs::create_dir_all(repo.written()).machine(failed)?;
        let stores = theirs
            .map(UserRepo::objects)
            .into_iter()
            .chain([&*repo.written()])
            .map(|store| format!("{}\n", store.display()))
            .collect::<String>();
        fs::write(repo.git_dir.join("objects/info/alternates"), stores).machine(failed)?;
        let Some(theirs) = theirs else { return Ok(repo) };
        // Where history was cut off, it must end for us, too.
        let cut = repo.git_dir.join("shallow");
        match fs::read(&theirs.shallow) {
            Ok(text) => fs::write(cut, text).machine(failed)?,
            Err(_) => drop(fs::remove_file(cut)),
        }
        Ok(repo)
    }

    /// A repository in `git_dir` with nothing but the objects of another one at hand; `shallow` is the file that says where history
    /// was cut off.
    pub fn borrowing(git_dir: PathBuf, objects: &Path, shallow: Option<&Path>) -> Result<Self> {
        let theirs = UserRepo {
            dir: PathBuf::new(),
            objects: objects.to_owned(),
            shallow: shallow.unwrap_or(Path::new("")).to_owned(),
            index: PathBuf::new(),
        };
        Self::open(git_dir, Some(&theirs))
    }

    /// git in this repository.
    pub fn git(&self) -> Command {
        let mut command = git();
        command.arg("--git-dir").arg(&self.git_dir);
        command
    }

    /// git for commands that write objects. It does not see the user's: git refreshes the time of an object that it finds
    /// there already (`freshen_file()`), which is a write to the user's repository.
    pub fn writer(&self) -> Command {
        let mut command = self.git();
        command.env("GIT_OBJECT_DIRECTORY", self.written());
        command
    }

    /// Copies objects to where a `writer` sees them.
    pub fn lend_to_writer(&self, ids: &[String]) -> Result<()> {
        let failed = || format!("cannot write in {}", self.git_dir.display());
        let file = || tempfile::tempfile_in(&self.git_dir).machine(failed);
        let (mut list, mut pack) = (file()?, file()?);
        list.write_all((ids.join("\n") + "\n").as_bytes()).and_then(|()| list.rewind()).machine(failed)?;
        let packed = pack.try_clone().machine(failed)?;
        run_between(self.git().args(["pack-objects", "--quiet", "--stdout"]), list.into(), packed.into())?
            .expect("git pack-objects")?;
        pack.rewind().machine(failed)?;
        run_reading(self.writer().args(["unpack-objects", "-q"]), pack.into())?.expect("git unpack-objects")
    }

    /// Makes the file `index` an index of the tree or commit `of`.
    pub fn read_tree(&self, of: &str, index: &Path) -> Result<()> {
        let _ = fs::remove_file(index);
        run(self.git().env("GIT_INDEX_FILE", index).args(["read-tree", of]))?.expect("git read-tree")
    }

    /// The id of a new tree of what `index` has.
    pub fn write_tree(&self, index: &Path) -> Result<String> {
        // Objects that are missing are the user's, which a writer does not see.
        let written = run(self.writer().env("GIT_INDEX_FILE", index).args(["write-tree", "--missing-ok"]))?;
        let tree = written.stdout.trim().to_owned();
        written.expect("git write-tree").map(|()| tree)
    }

    fn written(&self) -> PathBuf {
        self.git_dir.join("written")
    }

    /// What git prints; its complaint if it fails.
    pub fn text<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Result<String> {
        text(self.git().args(arguments))
    }

    /// What git prints, or nothing if it fails.
    pub fn maybe<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Result<Option<String>> {
        let ended = run(self.git().args(arguments))?;
        Ok(ended.success.then_some(ended.stdout))
    }

    /// The id of the tree of a commit.
    pub fn tree_of(&self, commit: &str) -> Result<String> {
        Ok(self.text(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?.trim().to_owned())
    }

    /// The file `path` of a tree, if it is there.
    pub fn file(&self, tree: &str, path: &str) -> Result<Option<String>> {
        self.maybe(&["cat-file", "blob", &format!("{tree}:{path}")])
    }

    /// The file that says where history was cut off, if it was.
    pub fn shallow(&self) -> PathBuf {
        self.git_dir.join("shallow")
    }

    /// Where the repository is.
    pub fn dir(&self) -> &Path {
        &self.git_dir
    }
}

/// How git ended.
pub struct GitOutput {
    pub success: bool,
    pub stdout: String,
    /// The first line in which it says what went wrong.
    pub complaint: String,
    /// All that it says beside.
    pub stderr: String,
}

impl GitOutput {
    /// An error with git's complaint unless it succeeded.
    pub fn expect(self, what: &str) -> Result<()> {
        if self.success { Ok(()) } else { Err(Error::machine(format!("{what} failed: {}", self.complaint))) }
    }
}

/// git without the user's settings and without whatever repository a hook or `git bisect run` has set for its children.
fn git() -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0");
    command.args(["-c", "core.fsmonitor=false", "-c", "core.autocrlf=false", "-c", "core.untrackedCache=false"]);
    command.args([
        "-c",
        "gc.auto=0",
        "-c",
        "core.looseCompression=0",
        "-c",
        "user.name=dirleak",
        "-c",
        "user.email=dirleak@localhost",
    ]);
    command
}

/// Runs git to its end.
pub fn run(command: &mut Command) -> Result<GitOutput> {
    run_reading(command, Stdio::null())
}

/// Runs git to its end, with `input` as its standard input.
pub fn run_reading(command: &mut Command, input: Stdio) -> Result<GitOutput> {
    run_between(command, input, Stdio::piped())
}

fn run_between(command: &mut Command, input: Stdio, output: Stdio) -> Result<GitOutput> {
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    let mut child = Child::spawn(command)?;
    fn reader(from: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = from.map(|mut from| from.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }
    let stdout = reader(child.inner().stdout.take());
    let stderr = reader(child.inner().stderr.take());
    let status = child.wait(|| Ok(()))?;
    drop(child);
    let (stdout, stderr) = (stdout.join().expect("reader thread"), stderr.join().expect("reader thread"));
    let said = |line: &&str| line.starts_with("fatal: ") || line.starts_with("error: ");
    let complaint = stderr.lines().find(said).or(stderr.lines().next()).unwrap_or("no message").to_owned();
    Ok(GitOutput { success: status.success(), stdout, complaint, stderr })
}

fn text(command: &mut Command) -> Result<String> {
    let ended = run(command)?;
    if ended.success { Ok(ended.stdout) } else { Err(Error::machine(format!("git: {}", ended.complaint))) }
}
