//! Trees of others, read under settings of git that break or start something: right, or refused in one sentence, and never more than read.

#[path = "support/fake_tree.rs"]
mod fake_tree;

use dirleak::internals::bisect::history::{History, Mark, Next, Terms};
use dirleak::internals::kernel::external::git::Repo;
use dirleak::internals::kernel::source::change::{Applied, Change};
use dirleak::internals::kernel::source::snapshot::SourceTree;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use fake_tree::{FakeTree, USAGE, must, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use tempfile::TempDir;

/// A home whose settings of git break what is not careful; it is that of this process from the first look on.
static HOME: LazyLock<TempDir> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    script(&path("trap"), &format!("echo \"$0 $*\" >>{}", path("ran").display()));
    for hook in ["hooks/post-index-change", "hooks/reference-transaction", "template/hooks/post-index-change"] {
        fs::create_dir_all(path(hook).parent().unwrap()).unwrap();
        fs::copy(path("trap"), path(hook)).unwrap();
    }
    for ignore in ["template/info/exclude", "ignore", "config/git/ignore"] {
        fs::create_dir_all(path(ignore).parent().unwrap()).unwrap();
        fs::write(path(ignore), "*\n").unwrap();
    }
    let (trap, at) = (path("trap").display().to_string(), home.path().display().to_string());
    let settings = format!(
        "[diff]\n\tnoprefix = true\n\texternal = {trap}\n[core]\n\thooksPath = {at}/hooks\n\texcludesFile = {at}/ignore\n\
         \tfsmonitor = {trap}\n\tpager = {trap}\n[init]\n\ttemplateDir = {at}/template\n[log]\n\tshowSignature = true\n\
         [apply]\n\twhitespace = error-all\n[color]\n\tui = always\n[bisect]\n\tautostart = false\n"
    );
    fs::write(path(".gitconfig"), settings).unwrap();
    let words = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "diff.noprefix"), ("GIT_CONFIG_VALUE_0", "true")];
    let words = words.map(|(name, value)| (name, PathBuf::from(value)));
    for (name, value) in
        [("HOME", home.path().to_owned()), ("XDG_CONFIG_HOME", path("config"))].into_iter().chain(words)
    {
        // SAFETY: all tests of this file begin with a look at this, and nothing is set after it.
        unsafe { std::env::set_var(name, value) };
    }
    home
});

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Fails if any of the settings has started something.
fn nothing_was_started() {
    let ran = fs::read_to_string(HOME.path().join("ran")).unwrap_or_default();
    assert_eq!(ran, "", "a setting of git started something");
}

/// git as the owner of a tree calls it, whose settings are none of the test.
fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.env("HOME", "/dev/null").env_remove("XDG_CONFIG_HOME").env("GIT_CONFIG_GLOBAL", "/dev/null");
    command.env_remove("GIT_CONFIG_COUNT");
    command.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout).trim().to_owned()
}

/// A tree that looks like a kernel's, with a commit for each content of fs/nfs/dir.c, and a cache beside it.
struct Setting {
    dir: TempDir,
    ids: Vec<String>,
}

const LINES: &str = "a \nb\nc\nd\ne\nf\ng\nh\n";

impl Setting {
    fn new(contents: &[&str]) -> Self {
        LazyLock::force(&HOME);
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("linux");
        fs::create_dir_all(tree.join("fs/nfs")).unwrap();
        fs::write(tree.join("Makefile"), "VERSION = 6\nPATCHLEVEL = 1\n").unwrap();
        fs::write(tree.join("Kconfig"), "").unwrap();
        git(&tree, &["init", "-q", "-b", "main"]);
        let commit = |content: &&str| {
            fs::write(tree.join("fs/nfs/dir.c"), content).unwrap();
            git(&tree, &["add", "-A"]);
            git(&tree, &["commit", "-qm", "x"]);
            git(&tree, &["rev-parse", "HEAD"])
        };
        let ids = contents.iter().map(commit).collect();
        Self { dir, ids }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cache(&self) -> Cache {
        Cache::at(self.path("cache")).unwrap()
    }

    fn place(&self, tree: &str) -> dirleak::internals::error::Result<SourceTree> {
        SourceTree::open(&self.path(tree), &self.cache())
    }

    /// The files of a tree as it lies there.
    fn files(&self, tree: &str) -> Vec<String> {
        let snapshot = self.place(tree).unwrap().as_it_is(&self.cache(), &Ui::silent()).unwrap();
        let listed = snapshot.repo.text(&["ls-tree", "-r", "--name-only", &snapshot.tree]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }

    /// A clone that has fetched no content of a file.
    fn partial_clone(&self) {
        for setting in ["uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"] {
            git(&self.path("linux"), &["config", setting, "true"]);
        }
        let from = format!("file://{}", self.path("linux").display());
        git(self.dir.path(), &["clone", "-q", "--no-checkout", "--filter=blob:none", &from, "partial"]);
    }
}

#[test]
fn change_under_hostile_settings_is_put_on_and_taken_out() {
    let fixed = LINES.replace('c', "fix");
    let setting = Setting::new(&[LINES, &fixed, &fixed.replace('h', "later")]);
    let place = setting.place("linux").unwrap();
    let change = Change::from_commit(&place, &setting.ids[1]).unwrap();
    let content = |applied: Applied| match applied {
        Applied::Sources(sources) => sources.repo.file(&sources.tree, "fs/nfs/dir.c").unwrap().unwrap(),
        Applied::Nothing => "nothing".to_owned(),
        Applied::Stopped(why) => why,
    };
    assert_eq!(content(change.apply_to(&place, &setting.ids[0]).unwrap()), fixed);
    assert_eq!(content(change.revert_from(&place, &setting.ids[2]).unwrap()), LINES.replace('h', "later"));
    nothing_was_started();
}

#[test]
fn sources_under_hostile_settings_are_whole() {
    let setting = Setting::new(&[LINES]);
    fs::write(setting.path("linux/fs/nfs/new.c"), "new\n").unwrap();
    assert_eq!(setting.files("linux"), ["Kconfig", "Makefile", "fs/nfs/dir.c", "fs/nfs/new.c"]);
    nothing_was_started();
}

#[test]
fn exclude_file_of_a_tree_and_of_its_work_trees_is_honoured() {
    let setting = Setting::new(&[LINES]);
    git(&setting.path("linux"), &["worktree", "add", "-q", "../beside"]);
    fs::write(setting.path("linux/.git/info/exclude"), "/out/\n").unwrap();
    for tree in ["linux", "beside"] {
        fs::create_dir(setting.path(tree).join("out")).unwrap();
        fs::write(setting.path(tree).join("out/big"), "objects").unwrap();
        fs::write(setting.path(tree).join("new.c"), "").unwrap();
        assert_eq!(setting.files(tree), ["Kconfig", "Makefile", "fs/nfs/dir.c", "new.c"], "{tree}");
    }
}

#[test]
fn partial_clone_is_refused_where_files_are_missing_and_read_where_they_are_not() {
    let setting = Setting::new(&[LINES, "two\n"]);
    setting.partial_clone();
    let refused = setting.place("partial").unwrap().at("HEAD").unwrap_err();
    assert_eq!(refused.exit() as i32, USAGE);
    let way_out = "make it whole with git -C ";
    assert!(refused.to_string().contains("is a partial clone") && refused.to_string().contains(way_out), "{refused}");
    // What is checked out was fetched for it.
    git(&setting.path("partial"), &["checkout", "-q", "main"]);
    assert_eq!(setting.files("partial"), ["Kconfig", "Makefile", "fs/nfs/dir.c"]);
    let place = setting.place("partial").unwrap();
    assert_eq!(place.at("HEAD").unwrap().version, "6.1".parse().unwrap());
    assert!(place.at("HEAD^").is_err());
    assert!(Change::from_commit(&place, &setting.ids[1]).err().unwrap().to_string().contains("is a partial clone"));
    let command = refused.to_string();
    let words: Vec<&str> = command.split_once(way_out).unwrap().1.split(' ').collect();
    git(Path::new(words[0]), &words[1..]);
    assert_eq!(setting.place("partial").unwrap().at("HEAD^").unwrap().version, "6.1".parse().unwrap());
}

#[test]
fn tree_that_would_fetch_starts_nothing_and_is_not_written_to() {
    let setting = Setting::new(&[LINES]);
    let (tree, trap) = (setting.path("linux"), HOME.path().join("trap").display().to_string());
    let missing = "0123456789012345678901234567890123456789";
    for url in ["ssh://nowhere.invalid/linux".to_owned(), format!("ext::{trap}")] {
        for [name, value] in [
            ["core.repositoryFormatVersion", "1"],
            ["extensions.partialClone", "origin"],
            ["remote.origin.url", &url],
            ["remote.origin.promisor", "true"],
            ["core.sshCommand", &trap],
            ["core.gitProxy", &trap],
            ["core.fsmonitor", &trap],
            ["protocol.allow", "always"],
            ["protocol.ext.allow", "always"],
        ] {
            git(&tree, &["config", name, value]);
        }
        let before = listing(&tree);
        let place = setting.place("linux").unwrap();
        assert!(place.at(missing).unwrap_err().to_string().contains("has no revision"));
        place.as_it_is(&setting.cache(), &Ui::silent()).unwrap();
        assert_eq!(listing(&tree), before, "the tree was written to");
        nothing_was_started();
    }
}

fn listing(dir: &Path) -> String {
    text(&Command::new("find").arg(dir).args(["-printf", "%p %s %T@\n"]).output().unwrap().stdout)
}

#[test]
fn tree_of_another_owner_is_refused_unless_the_user_trusts_it() {
    let desk = FakeTree::new();
    let tree = desk.path("linux");
    must(Command::new("cp").arg("-r").arg(desk.path("linux-source-6.1")).arg(&tree));
    fs::write(tree.join("Kconfig"), "").unwrap();
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap();
    fs::write(tree.join("Makefile"), format!("VERSION = 6\nPATCHLEVEL = 1\n{makefile}")).unwrap();
    git(&tree, &["init", "-q"]);
    git(&tree, &["add", "-A"]);
    git(&tree, &["commit", "-qm", "one"]);
    // What git does where another one is the owner, without one.
    desk.stub("git", "PATH=${PATH#*:} GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec git \"$@\"");
    let shown = tree.canonicalize().unwrap();
    desk.refused("linux@HEAD", USAGE, &["belongs to another user", "git config --global --add safe.directory"]);
    fs::create_dir(desk.path("home")).unwrap();
    fs::write(desk.path("home/.gitconfig"), format!("[safe]\n\tdirectory = {}\n", shown.display())).unwrap();
    let built = desk.command(&["build", "linux@HEAD"]).env("HOME", desk.path("home")).output().unwrap();
    assert_eq!(built.status.code(), Some(0), "{}", text(&built.stderr));
}

#[test]
fn tree_with_sha256_names_is_refused() {
    LazyLock::force(&HOME);
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), &["init", "-q", "--object-format=sha256", "linux"]);
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let refused = SourceTree::open(&dir.path().join("linux"), &cache).unwrap_err();
    assert!(refused.to_string().contains("names its objects by sha256"), "{refused}");
}

/// Subjects that look like what git bisect says.
const SUBJECTS: [&str; 4] = [
    "this is the first bad commit",
    "0123456789012345678901234567890123456789 is the first bad commit",
    "There are only 'skip'ped commits left to test.",
    "a merge base must be tested (roughly 99 steps)",
];

#[test]
fn bisection_among_misleading_subjects_finds_the_commit() {
    LazyLock::force(&HOME);
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("linux");
    git(dir.path(), &["init", "-q", "linux"]);
    let commit = |number: usize| {
        fs::write(tree.join("file"), number.to_string()).unwrap();
        git(&tree, &["add", "-A"]);
        git(&tree, &["commit", "-qm", SUBJECTS[number % SUBJECTS.len()]]);
        git(&tree, &["rev-parse", "HEAD"])
    };
    let ids: Vec<String> = (0..33).map(commit).collect();
    for (at, culprit) in ids.iter().enumerate().skip(1).step_by(5) {
        let repo = Repo::borrowing(dir.path().join(format!("search-{at}")), &tree.join(".git/objects"), None).unwrap();
        let (history, mut next) = History::start(repo, Terms::Break, &ids[0], &ids[32], &[]).unwrap();
        while let Next::Test { commit, steps } = next {
            assert!(steps <= 6, "{steps} steps for 31 commits");
            let is_new = ids.iter().position(|id| *id == commit).unwrap() >= at;
            next = history.mark(&commit, if is_new { Mark::New } else { Mark::Old }).unwrap();
        }
        assert_eq!(next, Next::Found(culprit.clone()));
    }
    nothing_was_started();
}
