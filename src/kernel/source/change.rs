//! A change to sources, a commit or a patch file, put onto other sources or taken out of them by git's three-way merge.

use super::patch;
use super::snapshot::{Snapshot, SourceTree};
use crate::error::{Context, Error, Result};
use crate::kernel::external::git::{self, GitOutput};
use crate::os::temp_dir::Scratch;
use crate::text::truncate::short;
use std::fs;
use std::path::Path;

/// A change, as a patch that git reads.
pub struct Change {
    /// In words: a commit, or the file as the user wrote it.
    pub name: String,
    dir: Scratch,
}

/// What became of a change.
pub enum Applied {
    Sources(Snapshot),
    /// The sources are the same with it: they have the change already, or lack it already.
    Nothing,
    /// It does not apply, and why, as git says it.
    Stopped(String),
}

/// A patch as `git apply` reads it. This command, unlike `git diff`, does nothing else because of a setting.
const DIFF: [&str; 9] =
    ["diff-tree", "-r", "-p", "-M", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color"];

impl Change {
    /// Reads what `commit` changed of its first parent.
    pub fn from_commit(place: &SourceTree, commit: &str) -> Result<Self> {
        let change = Self::empty(place, short(commit))?;
        let parent = format!("{commit}^1");
        for id in [commit, &parent] {
            place.check_complete(id, short(id))?;
        }
        // To a file, as sources are not always UTF-8.
        let output = format!("--output={}", change.file().display());
        place.repo.text(&[&DIFF[..], &[&output, &parent, commit]].concat())?;
        Ok(change)
    }

    /// Reads a patch of the user's. Text before the first file, as in a mail, is ignored.
    pub fn from_file(place: &SourceTree, file: &Path) -> Result<Self> {
        let change = Self::empty(place, &file.display().to_string())?;
        fs::copy(file, change.file())
            .map_err(|e| Error::usage(format!("cannot read the patch {}: {e}", file.display())))?;
        let text = fs::read(change.file()).machine(|| "cannot read in the cache".into())?;
        patch::refuse_links(&String::from_utf8_lossy(&text), &change.name)?;
        if change.paths(place)?.is_empty() {
            return Err(Error::usage(format!("{} has no patch in it that git understands", file.display())));
        }
        Ok(change)
    }

    fn empty(place: &SourceTree, name: &str) -> Result<Self> {
        let dir = Scratch::within(place.repo.dir())?;
        Ok(Self { name: name.to_owned(), dir })
    }

    /// Makes the sources of commit `of` with this change.
    pub fn apply_to(&self, place: &SourceTree, of: &str) -> Result<Applied> {
        self.apply(place, of, false, &format!("{}+{}", short(of), self.name))
    }

    /// Makes the sources of commit `of` without this change.
    pub fn revert_from(&self, place: &SourceTree, of: &str) -> Result<Applied> {
        self.apply(place, of, true, &format!("{} without {}", short(of), self.name))
    }

    fn apply(&self, place: &SourceTree, of: &str, reverse: bool, described: &str) -> Result<Applied> {
        let base = place.repo.tree_of(of)?;
        // A commit that changes nothing is no patch in git's eyes.
        if fs::metadata(self.file()).is_ok_and(|patch| patch.len() == 0) {
            return Ok(Applied::Nothing);
        }
        place.repo.lend_to_writer(&self.blobs(place, of)?)?;
        let tree = match self.merged(place, of, reverse)? {
            Ok(tree) => tree,
            // Without the files that it was made of git cannot merge, so it is asked whether it has to.
            Err(_) if self.merged(place, of, !reverse)?.is_ok_and(|other| other != base) => {
                return Ok(Applied::Nothing);
            }
            Err(why) => return Ok(Applied::Stopped(why)),
        };
        if tree == base {
            return Ok(Applied::Nothing);
        }
        place.at_tree(&tree, described.to_owned()).map(Applied::Sources)
    }

    /// Makes the tree that comes of it, or why none does.
    fn merged(&self, place: &SourceTree, of: &str, reverse: bool) -> Result<std::result::Result<String, String>> {
        let index = self.dir.path().join("index");
        place.repo.read_tree(of, &index)?;
        let file = self.file().display().to_string();
        let mut arguments = vec!["apply", "--cached", "--3way"];
        arguments.extend(reverse.then_some("-R"));
        arguments.push(&file);
        let applied = git::run(place.repo.writer().env("GIT_INDEX_FILE", &index).args(&arguments))?;
        if applied.fatal {
            // It is not the sources that are in the way.
            applied.expect(&format!("git apply of {}", self.name))?;
            unreachable!("what is fatal is no success");
        }
        if !applied.success {
            return Ok(Err(complaint(&applied)));
        }
        place.repo.write_tree(&index).map(Ok)
    }

    /// Returns the files that the change names, as commit `of` has them and, as far as they are known, as the patch had them.
    fn blobs(&self, place: &SourceTree, of: &str) -> Result<Vec<String>> {
        let paths = self.paths(place)?;
        let mut arguments = vec!["ls-tree", of, "--"];
        arguments.extend(paths.iter().map(String::as_str));
        let listed = place.repo.text(&arguments)?;
        let mut ids: Vec<String> =
            listed.lines().filter_map(|line| line.split([' ', '\t']).nth(2)).map(str::to_owned).collect();
        let patch = fs::read(self.file()).machine(|| "cannot read in the cache".into())?;
        for line in String::from_utf8_lossy(&patch).lines() {
            let Some((old, new)) = line.strip_prefix("index ").and_then(|rest| rest.split_once("..")) else { continue };
            for id in [old, new.split(' ').next().unwrap_or_default()] {
                let name = format!("{id}^{{blob}}");
                let known = place.repo.maybe(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
                ids.extend(known.map(|id| id.trim().to_owned()));
            }
        }
        Ok(ids)
    }

    /// Returns the files that it changes.
    fn paths(&self, place: &SourceTree) -> Result<Vec<String>> {
        let listed = place.repo.maybe(&["apply", "--numstat", "-z", &self.file().display().to_string()])?;
        let records = listed.iter().flat_map(|text| text.split('\0'));
        Ok(records.filter_map(|record| record.splitn(3, '\t').nth(2)).map(str::to_owned).collect())
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("patch")
    }
}

/// Returns where git stopped: the file with the conflict, else the first hunk that does not fit.
fn complaint(ended: &GitOutput) -> String {
    let line = |prefix: &str| ended.stderr.lines().find_map(|line| line.strip_prefix(prefix));
    match (line("U "), line("error: patch failed: ")) {
        (Some(path), _) => format!("conflicts in {path}"),
        (None, Some(place)) => format!("does not fit at {place}"),
        (None, None) => ended.complaint.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::cache::Cache;
    use std::path::PathBuf;
    use std::process::Command;
    use tempfile::TempDir;

    struct Tree {
        dir: TempDir,
        place: SourceTree,
        ids: Vec<String>,
    }

    const LINES: &str = "a\nb\nc\nd\ne\nf\ng\nh\n";

    impl Tree {
        /// Makes commits with the content of fs/nfs/dir.c.
        fn with_commits(contents: &[&str]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let tree = dir.path().join("linux");
            fs::create_dir_all(tree.join("fs/nfs")).unwrap();
            fs::write(tree.join("Makefile"), "VERSION = 6\nPATCHLEVEL = 1\n").unwrap();
            let git = |arguments: &[&str]| {
                let mut command = Command::new("git");
                command.arg("-C").arg(&tree).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
                let output = command.output().unwrap();
                assert!(output.status.success(), "{output:?}");
                String::from_utf8(output.stdout).unwrap().trim().to_owned()
            };
            git(&["init", "-q"]);
            let commit = |content: &&str| {
                fs::write(tree.join("fs/nfs/dir.c"), content).unwrap();
                git(&["add", "-A"]);
                git(&["commit", "-qm", "x"]);
                git(&["rev-parse", "HEAD"])
            };
            let ids = contents.iter().map(commit).collect();
            let place = SourceTree::open(&tree, &Cache::at(dir.path().join("cache")).unwrap()).unwrap();
            Self { dir, place, ids }
        }

        fn content(&self, applied: Applied) -> String {
            match applied {
                Applied::Sources(snapshot) => self.place.repo.file(&snapshot.tree, "fs/nfs/dir.c").unwrap().unwrap(),
                Applied::Nothing => "nothing".into(),
                Applied::Stopped(why) => why,
            }
        }

        fn patch(&self, from: &str, to: &str) -> PathBuf {
            let file = self.dir.path().join("fix.patch");
            let text = format!(
                "From: someone\n\nText.\n---\n--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -2,3 +2,3 @@\n b\n-{from}\n+{to}\n d\n"
            );
            fs::write(&file, text).unwrap();
            file
        }
    }

    #[test]
    fn commit_is_put_onto_others_and_taken_out_again() {
        let fixed = LINES.replace('c', "fix");
        let tree = Tree::with_commits(&[LINES, &fixed, &fixed.replace('a', "later")]);
        let fix = Change::from_commit(&tree.place, &tree.ids[1]).unwrap();
        let content = |applied: Result<Applied>| tree.content(applied.unwrap());
        assert_eq!(content(fix.apply_to(&tree.place, &tree.ids[0])), fixed);
        assert_eq!(content(fix.apply_to(&tree.place, &tree.ids[2])), "nothing");
        assert_eq!(content(fix.revert_from(&tree.place, &tree.ids[2])), LINES.replace('a', "later"));
        assert_eq!(content(fix.revert_from(&tree.place, &tree.ids[0])), "nothing");
    }

    #[test]
    fn obstacle_to_a_change_is_named() {
        let tree = Tree::with_commits(&[LINES, &LINES.replace('c', "fix"), &LINES.replace('c', "other")]);
        let fix = Change::from_commit(&tree.place, &tree.ids[1]).unwrap();
        let applied = fix.apply_to(&tree.place, &tree.ids[2]).unwrap();
        assert_eq!(tree.content(applied), "conflicts in fs/nfs/dir.c");
    }

    #[test]
    fn patch_file_applies_is_there_already_or_does_not_fit() {
        let tree = Tree::with_commits(&[LINES, &LINES.replace('c', "fix"), &LINES.replace('c', "other")]);
        let fix = Change::from_file(&tree.place, &tree.patch("c", "fix")).unwrap();
        let onto = |n: usize| tree.content(fix.apply_to(&tree.place, &tree.ids[n]).unwrap());
        assert_eq!(onto(0), LINES.replace('c', "fix"));
        assert_eq!(onto(1), "nothing");
        assert_eq!(onto(2), "does not fit at fs/nfs/dir.c:2");
        let none = tree.dir.path().join("none.patch");
        fs::write(&none, "no patch\n").unwrap();
        assert!(Change::from_file(&tree.place, &none).is_err());
    }
}
