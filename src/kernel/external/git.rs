//! How git is asked: the user's repository without a write to it, and a repository of our own that borrows its objects.

use crate::error::{Context, Error, Result};
use crate::os::cache::install_atomically;
use crate::os::process::Child;
use std::fs;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user's source tree, asked but never written to: not even its index is refreshed.
#[derive(Clone, Debug)]
pub struct UserRepo {
    dir: PathBuf,
    objects: PathBuf,
    shallow: PathBuf,
    index: PathBuf,
    /// Where it says what to ignore beside what its files say.
    excludes: PathBuf,
    /// Whether objects may be missing, which git would fetch when they are wanted.
    is_partial: bool,
    /// What the user trusts though it is another one's.
    trusted: Vec<String>,
}

impl UserRepo {
    /// Finds the repository whose work tree (or bare directory) is `dir`; `None` if `dir` is none.
    pub fn discover(dir: &Path) -> Result<Option<Self>> {
        if !is_repository(dir) {
            return Ok(None);
        }
        let mut theirs = Self {
            dir: dir.to_owned(),
            objects: PathBuf::new(),
            shallow: PathBuf::new(),
            index: PathBuf::new(),
            excludes: PathBuf::new(),
            is_partial: false,
            trusted: Vec::new(),
        };
        let paths = ["objects", "shallow", "index", "info/exclude"].map(|path| ["--git-path", path]).concat();
        let arguments = [&["rev-parse", "--path-format=absolute", "--show-object-format"][..], &paths].concat();
        let text = theirs.first_words(&arguments)?;
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or_else(|| Error::machine("git rev-parse said less than it was asked"));
        let format = next()?;
        if format != "sha1" {
            let shown = dir.display();
            return Err(Error::usage(format!(
                "the git tree {shown} names its objects by {format}, and dirleak reads those with sha1 names; name the sources \
                 without git, as `git -C {shown} archive` writes them"
            )));
        }
        theirs.objects = next()?.into();
        theirs.shallow = next()?.into();
        theirs.index = next()?.into();
        theirs.excludes = next()?.into();
        theirs.is_partial = theirs.has_promises()?;
        Ok(Some(theirs))
    }

    /// Returns a git that works in it.
    fn git(&self) -> Command {
        let mut command = git();
        for path in &self.trusted {
            command.arg("-c").arg(format!("safe.directory={path}"));
        }
        command.arg("-C").arg(&self.dir);
        command
    }

    /// Asks it for the first time, which git refuses where it belongs to somebody whom the user does not trust.
    fn first_words(&mut self, arguments: &[&str]) -> Result<String> {
        let is_foreign = |ended: &GitOutput| !ended.success && ended.stderr.contains("dubious ownership");
        let mut ended = run(self.git().args(arguments))?;
        if is_foreign(&ended) {
            self.trusted = trusted_by_user()?;
            ended = run(self.git().args(arguments))?;
        }
        let shown = self.dir.display();
        if is_foreign(&ended) {
            return Err(Error::usage(format!(
                "the git tree {shown} belongs to another user, so git does not read it; if you trust its owner, run \
                 git config --global --add safe.directory {shown}"
            )));
        }
        if ended.success { Ok(ended.stdout) } else { Err(Error::machine(format!("git: {}", ended.complaint))) }
    }

    /// Looks for a remote that has promised objects to it: it is a partial clone.
    fn has_promises(&self) -> Result<bool> {
        let asked = ["config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$"];
        Ok(!run(self.git().args(asked))?.stdout.is_empty())
    }

    /// Returns the id of the commit that `rev` names.
    pub fn commit(&self, rev: &str) -> Result<String> {
        let name = format!("{rev}^{{commit}}");
        let mut command = self.git();
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]);
        let ended = run(&mut command)?;
        let no_such = || Error::usage(format!("{} has no revision '{rev}'", self.dir.display()));
        ended.success.then(|| ended.stdout.trim().to_owned()).ok_or_else(no_such)
    }

    /// Refuses a commit or tree, called `described`, of which a partial clone has not fetched all; `borrower` sees its objects.
    pub fn check_complete(&self, borrower: &Repo, id: &str, described: &str) -> Result<()> {
        if !self.is_partial {
            return Ok(());
        }
        let arguments = ["rev-list", "--objects", "--no-object-names", "--missing=print", "--no-walk", id];
        let listed = run(borrower.git().args(arguments))?;
        if listed.success && !listed.stdout.lines().any(|line| line.starts_with('?')) {
            return Ok(());
        }
        let shown = self.dir.display();
        Err(Error::usage(format!(
            "{shown} is a partial clone and has not fetched all files of {described}, and dirleak fetches none; make it whole with \
             git -C {shown} fetch --refetch --no-filter"
        )))
    }

    /// Returns the directory of its objects, which tells repositories apart: work trees of one share it.
    pub fn objects(&self) -> &Path {
        &self.objects
    }

    /// Returns its index, which knows of most files that they are unchanged.
    pub fn index(&self) -> &Path {
        &self.index
    }

    /// Returns the file of its own, beside those among its sources, that says what git ignores in it.
    pub fn excludes(&self) -> &Path {
        &self.excludes
    }
}

/// Returns whether `dir` is a work tree's top, checked out or not, or a bare repository.
pub fn is_repository(dir: &Path) -> bool {
    dir.join(".git").exists() || (dir.join("HEAD").is_file() && dir.join("objects").is_dir())
}

/// Attributes by which git writes files as they are; those that stand beside a repository win over those in a tree.
const UNTOUCHED: &str = "* -text -eol -ident -filter -working-tree-encoding\n";

/// A repository of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repo {
    git_dir: PathBuf,
}

impl Repo {
    /// Opens the repository in `git_dir`, made if missing, with the objects of `theirs` at hand.
    pub fn open(git_dir: PathBuf, theirs: Option<&UserRepo>) -> Result<Self> {
        let repo = Self { git_dir };
        if !repo.git_dir.join("HEAD").exists() {
            install_atomically(&repo.git_dir, |new| {
                run(git().args(["init", "-q", "--bare", "--template="]).arg(new))?.expect("git init")
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
        // Another dirleak may have made it when the user's templates still counted.
        for of_template in ["info/exclude", "info/attributes"] {
            let _ = fs::remove_file(repo.git_dir.join(of_template));
        }
        let Some(theirs) = theirs else {
            // What is no git tree has no attributes: its files are checked out as they were read.
            fs::create_dir_all(repo.git_dir.join("info")).machine(failed)?;
            fs::write(repo.git_dir.join("info/attributes"), UNTOUCHED).machine(failed)?;
            return Ok(repo);
        };
        // Where history was cut off, it must end for us, too.
        let cut = repo.git_dir.join("shallow");
        match fs::read(&theirs.shallow) {
            Ok(text) => fs::write(cut, text).machine(failed)?,
            Err(_) => drop(fs::remove_file(cut)),
        }
        Ok(repo)
    }

    /// Makes a repository in `git_dir` with nothing but the objects of another one at hand; `shallow` is the file that
    /// says where history was cut off.
    pub fn borrowing(git_dir: PathBuf, objects: &Path, shallow: Option<&Path>) -> Result<Self> {
        let theirs = UserRepo {
            dir: PathBuf::new(),
            objects: objects.to_owned(),
            shallow: shallow.unwrap_or(Path::new("")).to_owned(),
            index: PathBuf::new(),
            excludes: PathBuf::new(),
            is_partial: false,
            trusted: Vec::new(),
        };
        Self::open(git_dir, Some(&theirs))
    }

    /// Returns a git that works in this repository.
    pub fn git(&self) -> Command {
        let mut command = git();
        command.arg("--git-dir").arg(&self.git_dir);
        command
    }

    /// Returns a git for commands that write objects. It does not see the user's: git refreshes the time of an object
    /// that it finds there already (`freshen_file()`), which is a write to the user's repository.
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

    /// Writes a new tree of what `index` has; gives its id.
    pub fn write_tree(&self, index: &Path) -> Result<String> {
        // Objects that are missing are the user's, which a writer does not see.
        let written = run(self.writer().env("GIT_INDEX_FILE", index).args(["write-tree", "--missing-ok"]))?;
        let tree = written.stdout.trim().to_owned();
        written.expect("git write-tree").map(|()| tree)
    }

    /// Removes packs that a git which was killed has begun. No other may be writing.
    pub fn remove_half_written_packs(&self) {
        let entries = fs::read_dir(self.written().join("pack")).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_")) {
            let _ = fs::remove_file(entry.path());
        }
    }

    fn written(&self) -> PathBuf {
        self.git_dir.join("written")
    }

    /// Returns what git prints; its complaint if it fails.
    pub fn text<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Result<String> {
        text(self.git().args(arguments))
    }

    /// Returns what git prints, or nothing if it fails.
    pub fn maybe<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Result<Option<String>> {
        let ended = run(self.git().args(arguments))?;
        Ok(ended.success.then_some(ended.stdout))
    }

    /// Returns the id of the tree of a commit.
    pub fn tree_of(&self, commit: &str) -> Result<String> {
        Ok(self.text(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?.trim().to_owned())
    }

    /// Returns the file `path` of a tree, if it is there.
    pub fn file(&self, tree: &str, path: &str) -> Result<Option<String>> {
        self.maybe(&["cat-file", "blob", &format!("{tree}:{path}")])
    }

    /// Returns the file that says where history was cut off, if it was.
    pub fn shallow(&self) -> PathBuf {
        self.git_dir.join("shallow")
    }

    /// Returns where the repository is.
    pub fn dir(&self) -> &Path {
        &self.git_dir
    }
}

/// How git ended.
pub struct GitOutput {
    pub success: bool,
    /// Whether it could not go on, in place of finding that something is not so.
    pub fatal: bool,
    pub stdout: String,
    /// The first line in which it says what went wrong.
    pub complaint: String,
    /// All that it says beside.
    pub stderr: String,
}

impl GitOutput {
    /// Fails with git's complaint unless it succeeded.
    pub fn expect(self, what: &str) -> Result<()> {
        if self.success { Ok(()) } else { Err(Error::machine(format!("{what} failed: {}", self.complaint))) }
    }
}

/// What git is told in place of the user's settings. A repository of somebody else may have settings, too, so what these could start or
/// fetch is told here as well.
const SETTINGS: [&str; 16] = [
    "core.fsmonitor=false",
    // A name that other systems cannot have is one here.
    "core.protectNTFS=false",
    "core.protectHFS=false",
    "core.autocrlf=false",
    "core.untrackedCache=false",
    "core.looseCompression=0",
    "core.hooksPath=/dev/null",
    // Where these are not said, git reads $XDG_CONFIG_HOME/git/ignore and attributes.
    "core.excludesFile=",
    "core.attributesFile=",
    "core.sshCommand=false",
    "core.gitProxy=false",
    "credential.helper=",
    "protocol.allow=never",
    "gc.auto=0",
    "user.name=dirleak",
    "user.email=dirleak@localhost",
];

/// Returns a git without the user's settings and without whatever repository a hook or `git bisect run` has set for its
/// children.
pub fn git() -> Command {
    let mut command = git_of_user();
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    // A git before 2.32 knows neither: it has no settings in a home that is none.
    command.env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/dev/null").env_remove("XDG_CONFIG_HOME");
    command.env("GIT_ATTR_NOSYSTEM", "1");
    // No object is fetched: the first is known from git 2.45 on, the second wins over any setting of a repository.
    command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command
}

/// Returns a git with the user's settings, but for those that a hook or `git bisect run` has set.
fn git_of_user() -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
    command
}

/// Returns the directories of others that the user has told git to trust: the one setting that is the user's to make.
fn trusted_by_user() -> Result<Vec<String>> {
    let mut trusted = Vec::new();
    for whose in ["--system", "--global"] {
        let mut command = git_of_user();
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let ended = run(command.args(["config", whose, "--get-all", "safe.directory"]))?;
        trusted.extend(ended.stdout.lines().map(str::to_owned));
    }
    Ok(trusted)
}

/// What is written at once to a git that is fed.
const FED_BYTES: usize = 256 * 1024;

/// Runs git to its end.
pub fn run(command: &mut Command) -> Result<GitOutput> {
    run_reading(command, Stdio::null())
}

/// Runs git to its end, with `input` as its standard input.
pub fn run_reading(command: &mut Command, input: Stdio) -> Result<GitOutput> {
    run_between(command, input, Stdio::piped())
}

/// Why git was not given all that it was to read.
#[derive(Debug)]
pub enum FeedError {
    /// What it was to be given could not be had.
    Input(Error),
    /// It does not read any more; what it says itself tells why.
    Pipe,
}

impl From<std::io::Error> for FeedError {
    fn from(_: std::io::Error) -> Self {
        Self::Pipe
    }
}

/// Runs git to its end, while `feed` writes what it reads.
pub fn run_fed(
    command: &mut Command,
    feed: impl FnOnce(&mut dyn Write) -> std::result::Result<(), FeedError> + Send,
) -> Result<GitOutput> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Child::spawn(command)?;
    let input = child.inner().stdin.take().expect("it is a pipe");
    std::thread::scope(|scope| {
        let fed = scope.spawn(move || {
            let mut input = BufWriter::with_capacity(FED_BYTES, input);
            feed(&mut input)?;
            Ok(input.flush()?)
        });
        // Ended by a signal, too, it reads no more, which ends the feeding.
        let ended = finish(child);
        match fed.join().expect("feeding does not panic") {
            Err(FeedError::Input(error)) => Err(error),
            Ok(()) | Err(FeedError::Pipe) => ended,
        }
    })
}

fn run_between(command: &mut Command, input: Stdio, output: Stdio) -> Result<GitOutput> {
    command.stdin(input).stdout(output).stderr(Stdio::piped());
    finish(Child::spawn(command)?)
}

/// Waits for the end of git and gives what it has printed.
fn finish(mut child: Child) -> Result<GitOutput> {
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
    let fatal = !status.success() && status.code() != Some(1);
    Ok(GitOutput { success: status.success(), fatal, stdout, complaint, stderr })
}

fn text(command: &mut Command) -> Result<String> {
    let ended = run(command)?;
    if ended.success { Ok(ended.stdout) } else { Err(Error::machine(format!("git: {}", ended.complaint))) }
}
