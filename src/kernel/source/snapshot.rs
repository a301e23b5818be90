//! The state of a source tree of the user's, at a revision or as it lies there, as a git tree in a repository of our own.

use super::plain_tree;
use crate::error::{Context, Error, Result};
use crate::kernel::external::git::{self, Repo, UserRepo};
use crate::kernel::image::identify;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::probe::version::Version;
use crate::text::truncate::short;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A source tree of the user's and the place in the cache where it is read and built.
#[derive(Clone, Debug)]
pub struct SourceTree {
    /// Where the user has it.
    pub path: PathBuf,
    /// The name of its directories in the cache.
    pub name: String,
    /// A repository of our own, with the user's objects at hand.
    pub repo: Repo,
    theirs: Option<Box<UserRepo>>,
}

/// The sources that a kernel is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of the place in the cache.
    pub name: String,
    pub repo: Repo,
    /// The id of the git tree: the same sources have the same.
    pub tree: String,
    /// In words, for results: a commit, and what was changed since.
    pub described: String,
    pub version: Version,
    /// Files that are not as the commit has them.
    pub uncommitted: usize,
}

impl SourceTree {
    /// Opens the place of the tree at `path`.
    pub fn open(path: &Path, cache: &Cache) -> Result<Self> {
        let path = path.canonicalize().machine(|| format!("cannot find {}", path.display()))?;
        let theirs = UserRepo::discover(&path)?;
        let identity = theirs.as_ref().map_or(path.as_path(), UserRepo::objects);
        let hash = identify::hex(&Sha256::digest(identity.as_os_str().as_encoded_bytes()));
        let base = path.file_name().map_or("tree".into(), |n| n.to_string_lossy().into_owned());
        let base = base.replace(|c: char| !c.is_ascii_alphanumeric() && !"-._".contains(c), "_");
        let name = format!("{}-{}", base.trim_start_matches('.'), &hash[..8]);
        let repo = Repo::open(cache.root().join("build").join(&name).join("git"), theirs.as_ref())?;
        Ok(Self { path, name, repo, theirs: theirs.map(Box::new) })
    }

    /// Returns the tree at revision `rev`.
    pub fn at(&self, rev: &str) -> Result<Snapshot> {
        self.at_commit(&self.commit(rev)?)
    }

    /// Returns the id of the commit that `rev` names.
    pub fn commit(&self, rev: &str) -> Result<String> {
        let no_git = || {
            let path = self.path.display();
            Error::usage(format!(
                "{path} is not the top of a git tree, so it has no revision '{rev}'; leave '@{rev}' out"
            ))
        };
        self.theirs.as_ref().ok_or_else(no_git)?.commit(rev)
    }

    /// Returns the tree of a commit by its id.
    pub fn at_commit(&self, commit: &str) -> Result<Snapshot> {
        self.check_complete(commit, short(commit))?;
        self.snapshot(self.repo.tree_of(commit)?, short(commit).to_owned(), 0)
    }

    /// Refuses what a partial clone has only in part.
    pub(super) fn check_complete(&self, id: &str, described: &str) -> Result<()> {
        self.theirs.as_ref().map_or(Ok(()), |theirs| theirs.check_complete(&self.repo, id, described))
    }

    /// Makes a snapshot of a git tree that is already in our repository.
    pub fn at_tree(&self, tree: &str, described: String) -> Result<Snapshot> {
        self.snapshot(tree.to_owned(), described, 0)
    }

    /// Takes the tree as it lies there, with all that is not committed. Of a git tree what git ignores is left out, of another one what
    /// a build left in it.
    pub fn as_it_is(&self, cache: &Cache, ui: &Ui) -> Result<Snapshot> {
        if !self.path.join("Kconfig").is_file() {
            let path = self.path.display();
            return Err(Error::usage(format!(
                "{path} has no sources of a kernel checked out; name a revision that has: {path}@REV"
            )));
        }
        let _lock = cache.lock(&format!("snapshot-{}", self.name), ui)?;
        let tree = self.write_tree(ui)?;
        self.check_complete(&tree, "what is checked out")?;
        let head = self.theirs.as_ref().and_then(|theirs| theirs.commit("HEAD").ok());
        let Some(head) = head else {
            return self.snapshot(tree.clone(), format!("files {}", short(&tree)), 0);
        };
        let changed = self.repo.text(&["diff-tree", "-r", "--name-only", &self.repo.tree_of(&head)?, &tree])?;
        let uncommitted = changed.lines().count();
        let described = match uncommitted {
            0 => short(&head).to_owned(),
            1 => format!("{} with 1 uncommitted change", short(&head)),
            n => format!("{} with {n} uncommitted changes", short(&head)),
        };
        self.snapshot(tree, described, uncommitted)
    }

    /// Writes the files as a git tree. The index is ours; the user's, copied, spares reading what is unchanged.
    fn write_tree(&self, ui: &Ui) -> Result<String> {
        let Some(theirs) = &self.theirs else {
            let task = ui.task(format!("reading {}", self.path.display()));
            let tree = plain_tree::write_tree(&self.path, &self.repo)?;
            task.done("done");
            return Ok(tree);
        };
        let index = self.repo.dir().join("snapshot-index");
        if copy_with_time(theirs.index(), &index).is_err() || !self.add(&index)?.success {
            let task = ui.task(format!("reading {}", self.path.display()));
            self.index_of_head(&index)?;
            self.add(&index)?.expect(&format!("reading {}", self.path.display()))?;
            task.done("done");
        }
        self.repo.write_tree(&index)
    }

    /// Makes an index of the last commit. One that is split or of a newer kind cannot be read apart from its
    /// repository, so this one is made without it; what is as the last commit has it is found by reading, and not
    /// written again.
    fn index_of_head(&self, index: &Path) -> Result<()> {
        let _ = fs::remove_file(index);
        let Some(head) = self.theirs.as_ref().and_then(|theirs| theirs.commit("HEAD").ok()) else { return Ok(()) };
        self.repo.read_tree(&head, index)?;
        // Fails where a file differs, which `add` sees to.
        self.with(index, &["update-index", "-q", "--refresh"], Stdio::null()).map(drop)
    }

    fn add(&self, index: &Path) -> Result<git::GitOutput> {
        // By name, as this git looks for it in our repository.
        let excludes = self.theirs.as_ref().map(|theirs| format!("core.excludesFile={}", theirs.excludes().display()));
        let mut arguments: Vec<&str> = excludes.iter().flat_map(|setting| ["-c", setting.as_str()]).collect();
        // Directories that are repositories of their own are no sources of this kernel.
        arguments.extend(["-c", "advice.addEmbeddedRepo=false", "add", "--all", "."]);
        self.with(index, &arguments, Stdio::null())
    }

    fn with(&self, index: &Path, arguments: &[&str], input: Stdio) -> Result<git::GitOutput> {
        let mut command = self.repo.writer();
        command.env("GIT_INDEX_FILE", index).arg("--work-tree").arg(&self.path).current_dir(&self.path);
        git::run_reading(command.args(arguments), input)
    }

    fn snapshot(&self, tree: String, described: String, uncommitted: usize) -> Result<Snapshot> {
        let version = version(&self.repo, &tree, &described)?;
        Ok(Snapshot { name: self.name.clone(), repo: self.repo.clone(), tree, described, version, uncommitted })
    }
}

impl Snapshot {
    /// Returns a digest of everything that a configuration is worked out from.
    pub fn kconfig(&self) -> Result<String> {
        let list = self.repo.text(&["ls-tree", "-r", "--full-tree", &self.tree])?;
        let mut hasher = Sha256::new();
        for line in list.lines().filter(|line| is_kconfig(line)) {
            hasher.update(line);
        }
        Ok(identify::hex(&hasher.finalize()))
    }

    /// Makes `into` hold these sources; only files that differ from what `index` says is there are written. With `afresh`
    /// the files themselves are looked at, because nobody knows what they are.
    pub fn check_out(&self, index: &Path, into: &Path, afresh: bool) -> Result<()> {
        let git = |arguments: &[&str]| {
            let mut command = self.repo.git();
            command.env("GIT_INDEX_FILE", index).arg("--work-tree").arg(into).current_dir(into);
            git::run(command.args(arguments))
        };
        let what = || format!("checking out {}", self.described);
        if !afresh {
            return git(&["read-tree", "--reset", "-u", &self.tree])?.expect(&what());
        }
        let _ = fs::remove_file(index.with_extension("lock"));
        git(&["read-tree", &self.tree])?.expect(&what())?;
        // Fails where a file differs, which is what it is to find out.
        git(&["update-index", "-q", "--refresh"])?;
        git(&["checkout-index", "--all", "--force", "--quiet"])?.expect(&what())?;
        git(&["update-index", "-q", "--refresh"])?;
        git(&["clean", "-fdq", "-e", ".dirleak-*"])?.expect(&what())
    }
}

/// Copies a file with its time: by that of an index git tells which of its entries may have changed without a trace.
fn copy_with_time(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::copy(from, to)?;
    fs::File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

/// Returns whether it is one of Kconfig's files, its helpers, or its own sources.
fn is_kconfig(line: &str) -> bool {
    let path = line.split('\t').next_back().unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("Kconfig") || path.starts_with("scripts/kconfig/")
}

fn version(repo: &Repo, tree: &str, described: &str) -> Result<Version> {
    let no_kernel = |what: &str| Error::kernel(format!("{described} is no source tree of a kernel: {what}"));
    let makefile = repo.file(tree, "Makefile")?.ok_or_else(|| no_kernel("it has no Makefile"))?;
    let field = |name: &str| {
        let value = makefile.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        value.and_then(|value| value.trim().parse().ok())
    };
    let found = field("VERSION").zip(field("PATCHLEVEL")).map(|(major, minor)| Version { major, minor });
    found.ok_or_else(|| no_kernel("its Makefile tells no VERSION and PATCHLEVEL"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const MAKEFILE: &str = "\
VERSION = 6
PATCHLEVEL = 1
SUBLEVEL = 0
mrproper:
\t@rm -f .config vmlinux
\t@find . \\( -name '*.o' -o -name '.*.cmd' \\) -type f -exec rm -f {} +
";

    /// Makes a tree that looks like a kernel's.
    fn tree(dir: &Path) {
        for (path, text) in
            [("Makefile", MAKEFILE), ("Kconfig", "config A\n"), (".gitignore", "*.o\n"), ("fs/nfs/dir.c", "one\n")]
        {
            fs::create_dir_all(dir.join(path).parent().unwrap()).unwrap();
            fs::write(dir.join(path), text).unwrap();
        }
    }

    fn git(dir: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        assert!(command.output().unwrap().status.success(), "git {arguments:?}");
    }

    fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for entry in fs::read_dir(dir).unwrap().flatten() {
            match entry.path() {
                path if path.is_dir() => all.extend(everything(&path)),
                path => all.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
        all.sort();
        all
    }

    struct Setting {
        dir: tempfile::TempDir,
        cache: Cache,
        ui: Ui,
    }

    impl Setting {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::at(dir.path().join("cache")).unwrap();
            tree(&dir.path().join("linux"));
            Self { dir, cache, ui: Ui::new() }
        }

        fn src(&self) -> PathBuf {
            self.dir.path().join("linux")
        }

        fn commit(&self) {
            for arguments in [&["init", "-q"][..], &["add", "-A"], &["commit", "-qm", "first"]] {
                git(&self.src(), arguments);
            }
        }

        fn place(&self) -> SourceTree {
            SourceTree::open(&self.src(), &self.cache).unwrap()
        }

        fn as_it_is(&self) -> Snapshot {
            self.place().as_it_is(&self.cache, &self.ui).unwrap()
        }
    }

    #[test]
    fn tree_with_and_without_git_gives_the_same_sources_and_is_not_written_to() {
        let setting = Setting::new();
        fs::write(setting.src().join("x.o"), "object").unwrap();
        let plain = setting.as_it_is();
        assert_eq!((plain.version, plain.uncommitted), ("6.1".parse().unwrap(), 0));
        setting.commit();
        let before = everything(&setting.src());
        let committed = setting.as_it_is();
        assert_eq!(committed.tree, plain.tree);
        assert_eq!(committed, setting.place().at("HEAD").unwrap());
        assert_eq!(everything(&setting.src()), before);
    }

    #[test]
    fn sources_that_ignore_everything_are_read_and_objects_are_not() {
        let setting = Setting::new();
        fs::write(setting.src().join(".gitignore"), "*.o\n*.lib\n/*\n!/debian/\n").unwrap();
        fs::write(setting.src().join("fs/Makefile.lib"), "").unwrap();
        for made in ["vmlinux", "fs/nfs/dir.o", ".config", "fs/nfs/.dir.o.cmd"] {
            fs::write(setting.src().join(made), "made").unwrap();
        }
        let snapshot = setting.as_it_is();
        let listed = snapshot.repo.text(&["ls-tree", "-r", "--name-only", &snapshot.tree]).unwrap();
        assert_eq!(
            listed.lines().collect::<Vec<_>>(),
            [".gitignore", "Kconfig", "Makefile", "fs/Makefile.lib", "fs/nfs/dir.c"]
        );
        fs::write(setting.src().join("Kconfig.new"), "").unwrap();
        fs::remove_file(setting.src().join("fs/nfs/dir.c")).unwrap();
        let snapshot = setting.as_it_is();
        let listed = snapshot.repo.text(&["ls-tree", "-r", "--name-only", &snapshot.tree]).unwrap();
        assert_eq!(
            listed.lines().collect::<Vec<_>>(),
            [".gitignore", "Kconfig", "Kconfig.new", "Makefile", "fs/Makefile.lib"]
        );
    }

    #[test]
    fn change_that_is_not_committed_is_included_and_told() {
        let setting = Setting::new();
        setting.commit();
        fs::write(setting.src().join("fs/nfs/dir.c"), "two\n").unwrap();
        fs::write(setting.src().join("fs/nfs/new.c"), "new\n").unwrap();
        let before = everything(&setting.src());
        let snapshot = setting.as_it_is();
        assert!(snapshot.described.ends_with(" with 2 uncommitted changes"), "{}", snapshot.described);
        assert_eq!(snapshot.repo.file(&snapshot.tree, "fs/nfs/new.c").unwrap().unwrap(), "new\n");
        assert_eq!(everything(&setting.src()), before);
        assert_eq!(setting.place().at("HEAD").unwrap().uncommitted, 0);
    }

    #[test]
    fn checkout_writes_what_differs_and_mends_what_was_cut_off() {
        let setting = Setting::new();
        setting.commit();
        let first = setting.place().at("HEAD").unwrap();
        let (index, into) = (setting.dir.path().join("index"), setting.dir.path().join("built"));
        fs::create_dir(&into).unwrap();
        first.check_out(&index, &into, false).unwrap();
        fs::write(into.join("x.o"), "object").unwrap();
        let time = |path: &str| fs::metadata(into.join(path)).unwrap().modified().unwrap();
        let untouched = time("Makefile");
        fs::write(setting.src().join("fs/nfs/dir.c"), "two\n").unwrap();
        let second = setting.as_it_is();
        second.check_out(&index, &into, false).unwrap();
        assert_eq!(fs::read_to_string(into.join("fs/nfs/dir.c")).unwrap(), "two\n");
        assert!(into.join("x.o").exists() && time("Makefile") == untouched);
        fs::write(into.join("fs/nfs/dir.c"), "half").unwrap();
        fs::remove_file(into.join("Kconfig")).unwrap();
        fs::write(into.join("left.c"), "of another tree").unwrap();
        second.check_out(&index, &into, true).unwrap();
        assert!(!into.join("left.c").exists() && into.join("x.o").exists());
        assert_eq!(fs::read_to_string(into.join("fs/nfs/dir.c")).unwrap(), "two\n");
        assert!(into.join("Kconfig").exists() && time("Makefile") == untouched);
    }

    #[test]
    fn files_that_do_not_configure_leave_the_configuration_as_it_is() {
        let setting = Setting::new();
        let before = setting.as_it_is();
        fs::write(setting.src().join("fs/nfs/dir.c"), "two\n").unwrap();
        let code = setting.as_it_is();
        assert_ne!(code.tree, before.tree);
        assert_eq!(code.kconfig().unwrap(), before.kconfig().unwrap());
        fs::write(setting.src().join("fs/nfs/Kconfig"), "config B\n").unwrap();
        assert_ne!(setting.as_it_is().kconfig().unwrap(), before.kconfig().unwrap());
    }

    #[test]
    fn revision_that_is_not_there_is_named() {
        let setting = Setting::new();
        let error = setting.place().at("v6.1").unwrap_err();
        assert!(error.to_string().contains("is not the top of a git tree"), "{error}");
        setting.commit();
        let error = setting.place().at("v6.1").unwrap_err();
        assert!(error.to_string().ends_with("has no revision 'v6.1'"), "{error}");
        assert_eq!(error.exit(), crate::error::Exit::Usage);
    }
}
