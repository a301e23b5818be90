//! What patches make of the files they touch, worked out on copies so that a patch either applies as a whole or
//! changes nothing.

use crate::error::{Context, Error, Result};
use crate::kernel::external::runner;
use crate::os::temp_dir::Scratch;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// A patch that is to be applied.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The name in results: a patch's own name or the user's file.
    pub name: String,
    pub content: Vec<u8>,
}

/// What becomes of one file, by its path in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: PathBuf,
    /// `None`: it is removed.
    pub content: Option<Vec<u8>>,
}

/// How a patch of git says that a file becomes a symbolic link.
const LINK_MODES: [&str; 2] = ["new file mode 120000", "new mode 120000"];

/// Applies `patches` in order to copies of the files of `tree`, which is called `tree_name` in sentences.
pub fn changes(tree: &Path, tree_name: &str, patches: &[Patch]) -> Result<Vec<Change>> {
    let scratch = Scratch::within(tree)?;
    let copies = scratch.path().join("copies");
    let mut touched = BTreeSet::new();
    for patch in patches {
        for path in touched_files(patch)? {
            if touched.insert(path.clone()) {
                copy_in(tree, &copies, &path)?;
            }
        }
        apply(patch, &copies, tree_name, scratch.path())?;
    }
    let mut changes = Vec::new();
    for path in touched {
        let (before, content) = (read_plainly(&tree.join(&path)), read_plainly(&copies.join(&path)));
        if before != content {
            changes.push(Change { path, content });
        }
    }
    Ok(changes)
}

/// Reads a file that is no link; gives `None` if there is none.
fn read_plainly(path: &Path) -> Option<Vec<u8>> {
    fs::symlink_metadata(path).ok().filter(|meta| meta.is_file()).and_then(|_| fs::read(path).ok())
}

/// Returns `patch` without what it changes of files of which all names are `left_out`; `None` if nothing of it is left.
pub fn without(patch: &Patch, left_out: impl Fn(&Path) -> bool) -> Result<Option<Patch>> {
    let mut content = Vec::new();
    let mut is_left = false;
    for section in sections(&patch.content) {
        let part = Patch { name: patch.name.clone(), content: section.to_vec() };
        let files = touched_files(&part).unwrap_or_default();
        // What stands before the first file is a mail.
        if files.is_empty() || !files.iter().all(|file| left_out(file)) {
            content.extend_from_slice(section);
            is_left |= !files.is_empty();
        }
    }
    // What is wrong with it is told.
    touched_files(patch)?;
    Ok(is_left.then(|| Patch { name: patch.name.clone(), content }))
}

impl Patch {
    /// Returns the patch without what stands before the first file that it changes, which is for people. All of it if it changes none.
    pub fn diffs(&self) -> &[u8] {
        let sections = sections(&self.content);
        match sections[..] {
            // A section begins with what names its file; only a mail does not.
            [mail, _, ..] if !mail.starts_with(b"diff --git ") && !mail.starts_with(b"--- ") => {
                &self.content[mail.len()..]
            }
            _ => &self.content,
        }
    }
}

/// Cuts a patch before each file that it changes.
fn sections(content: &[u8]) -> Vec<&[u8]> {
    let lines: Vec<&[u8]> = content.split_inclusive(|&byte| byte == b'\n').collect();
    let (mut sections, mut begin, mut at, mut has_hunk) = (Vec::new(), 0, 0, true);
    for (i, line) in lines.iter().enumerate() {
        let is_names = line.starts_with(b"--- ") && lines.get(i + 1).is_some_and(|next| next.starts_with(b"+++ "));
        if line.starts_with(b"diff --git ") || (is_names && has_hunk) {
            sections.push(&content[begin..at]);
            (begin, has_hunk) = (at, false);
        }
        has_hunk |= line.starts_with(b"@@ ");
        at += line.len();
    }
    sections.push(&content[begin..]);
    sections.retain(|section: &&[u8]| !section.is_empty());
    sections
}

/// Returns the files that `patch` names, without the `a/` and `b/` in front.
pub fn touched_files(patch: &Patch) -> Result<BTreeSet<PathBuf>> {
    let text = String::from_utf8_lossy(&patch.content);
    let mut files = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let renamed = line.strip_prefix("rename from ").or(line.strip_prefix("rename to "));
        let old = line.strip_prefix("--- ").filter(|_| lines.peek().is_some_and(|next| next.starts_with("+++ ")));
        let new = if old.is_some() { lines.peek().and_then(|next| next.strip_prefix("+++ ")) } else { None };
        files.extend(renamed.map(PathBuf::from));
        for name in [old, new].into_iter().flatten() {
            let name = name.split('\t').next().unwrap_or_default().trim_end();
            if name != "/dev/null" {
                files.insert(Path::new(name).components().skip(1).collect());
            }
        }
    }
    refuse_links(&text, &patch.name)?;
    if files.is_empty() {
        return Err(Error::usage(format!(
            "{} is no patch: it has no line '--- a/FILE' before a '+++ b/FILE'",
            patch.name
        )));
    }
    let is_inside =
        |f: &PathBuf| f.components().next().is_some() && f.components().all(|c| matches!(c, Component::Normal(_)));
    if let Some(outside) = files.iter().find(|f| !is_inside(f)) {
        let shown = outside.display();
        return Err(Error::usage(format!("{} touches '{shown}', which is not in a kernel's tree", patch.name)));
    }
    Ok(files)
}

/// Refuses a patch, called `name`, that makes a symbolic link: a build would follow it to any file of this machine.
pub fn refuse_links(text: &str, name: &str) -> Result<()> {
    let is_link = |line: &str| LINK_MODES.contains(&line.trim_end());
    if text.lines().any(is_link) {
        return Err(Error::usage(format!("{name} makes a symbolic link, which no patch of a kernel here may")));
    }
    Ok(())
}

fn copy_in(tree: &Path, copies: &Path, path: &Path) -> Result<()> {
    let (from, to) = (tree.join(path), copies.join(path));
    fs::create_dir_all(to.parent().expect("it is below copies"))
        .machine(|| format!("cannot write {}", to.display()))?;
    if from.is_file() {
        fs::copy(&from, &to).machine(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Applies one patch with patch(1), exactly: a hunk may have moved, but its context must be the same.
fn apply(patch: &Patch, copies: &Path, tree_name: &str, scratch: &Path) -> Result<()> {
    let file = scratch.join("patch");
    fs::write(&file, &patch.content).machine(|| format!("cannot write {}", file.display()))?;
    let mut command = Command::new("patch");
    command.args(["-p1", "--batch", "--forward", "--fuzz=0", "--no-backup-if-mismatch", "--reject-file=-"]);
    command.env("LC_ALL", "C").arg("-d").arg(copies).arg("-i").arg(&file);
    let ended = runner::run(&mut command, Stdio::null(), None, |_| {}, || Ok(())).map_err(|stopped| stopped.why)?;
    if ended.status.success() {
        return Ok(());
    }
    if ended.disk_full {
        return Err(runner::disk_full("applying a patch", scratch));
    }
    Err(Error::kernel(format!(
        "the patch {} does not apply to {tree_name}: {}",
        patch.name,
        first_failure(&ended.text)
    )))
}

/// Returns the first thing that patch(1) could not do, in our words.
fn first_failure(text: &str) -> String {
    let mut file = "";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("patching file ").or(line.strip_prefix("checking file ")) {
            file = name.split(" (").next().unwrap_or(name).trim_matches('\'');
        }
        let hunk = line.strip_prefix("Hunk #").and_then(|l| l.split_once(" FAILED at "));
        if let Some((number, place)) = hunk {
            let at = place.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
            return format!("hunk {number} of {file} fails at line {at}");
        }
        if line.starts_with("Reversed (or previously applied) patch detected") {
            return format!("{file} has this change already");
        }
        if let Some(rest) = line.strip_prefix("|+++ ") {
            let name = rest.split('\t').next().unwrap_or(rest);
            file = name.split_once('/').map_or(name, |(_, name)| name);
        }
        if line.starts_with("No file to patch") || line.starts_with("The next patch would delete the file") {
            return format!("there is no {file} in it");
        }
        if line.contains("malformed patch") || line.contains("Only garbage was found") {
            return line.trim_start_matches("patch: ").trim_start_matches("**** ").to_owned();
        }
    }
    text.lines().last().unwrap_or("patch(1) gave no reason").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("fs/nfs")).unwrap();
        fs::write(dir.path().join("fs/nfs/dir.c"), "one\ntwo\nthree\nfour\nfive\nsix\nseven\n").unwrap();
        fs::write(dir.path().join("Makefile"), "all:\n").unwrap();
        dir
    }

    fn patch(content: &str) -> Patch {
        Patch { name: "fix".into(), content: content.into() }
    }

    const CHANGE: &str =
        "why\n\n--- a/fs/nfs/dir.c\t2024-01-01\n+++ b/fs/nfs/dir.c\n@@ -3,3 +3,3 @@\n three\n-four\n+4\n five\n";
    const AGAIN: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -4,2 +4,2 @@\n-4\n+FOUR\n five\n";
    const NEW: &str = "--- /dev/null\n+++ b/fs/nfs/new.c\n@@ -0,0 +1 @@\n+new\n";
    const GONE: &str = "--- a/Makefile\n+++ /dev/null\n@@ -1 +0,0 @@\n-all:\n";

    fn changes_from(patches: &[&str]) -> Result<Vec<Change>> {
        let patches: Vec<_> = patches.iter().map(|p| patch(p)).collect();
        changes(tree().path(), "linux 6.1", &patches)
    }

    fn change(path: &str, content: Option<&str>) -> Change {
        Change { path: path.into(), content: content.map(Into::into) }
    }

    #[test]
    fn patches_build_on_each_other() {
        let changed = changes_from(&[CHANGE, AGAIN]).unwrap();
        assert_eq!(changed, [change("fs/nfs/dir.c", Some("one\ntwo\nthree\nFOUR\nfive\nsix\nseven\n"))]);
    }

    #[test]
    fn files_come_and_go() {
        let changed = changes_from(&[NEW, GONE]).unwrap();
        assert_eq!(changed, [change("Makefile", None), change("fs/nfs/new.c", Some("new\n"))]);
    }

    #[test]
    fn patch_that_does_not_apply_names_hunk_and_file() {
        for (patches, part) in [
            (&[AGAIN][..], "hunk 1 of fs/nfs/dir.c fails at line 4"),
            (&[CHANGE, CHANGE], "fs/nfs/dir.c has this change already"),
            (&["--- a/fs/no.c\n+++ b/fs/no.c\n@@ -1 +1 @@\n-x\n+y\n"], "there is no fs/no.c in it"),
        ] {
            let error = changes_from(patches).unwrap_err();
            assert_eq!(error.exit(), Exit::CannotJudge);
            let text = error.to_string();
            assert!(text.starts_with("the patch fix does not apply to linux 6.1: ") && text.ends_with(part), "{text}");
        }
    }

    #[test]
    fn files_can_be_left_out_of_a_patch() {
        let git = |name: &str| {
            format!(
                "diff --git a/{name} b/{name}\nindex 1..2 100644\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-x\n+y\n"
            )
        };
        let is_left_out = |path: &Path| path.starts_with("Documentation");
        let left = |content: &str| {
            without(&patch(content), is_left_out).unwrap().map(|p| String::from_utf8(p.content).unwrap())
        };
        let (one, doc, two) = (git("fs/a.c"), git("Documentation/a.rst"), git("fs/b.c"));
        assert_eq!(left(&format!("mail\n{one}{doc}{two}")).unwrap(), format!("mail\n{one}{two}"));
        let plain = NEW.replace("fs/nfs", "Documentation");
        assert_eq!(left(&format!("{CHANGE}{plain}{GONE}")).unwrap(), format!("{CHANGE}{GONE}"));
        assert_eq!(left(&format!("mail\n{doc}")), None);
        assert!(without(&patch("hello"), is_left_out).is_err());
    }

    #[test]
    fn diffs_are_all_but_the_mail_before_them() {
        let change = CHANGE.trim_start_matches("why\n\n");
        assert_eq!(patch(CHANGE).diffs(), change.as_bytes());
        let git = format!("diff --git a/fs/nfs/dir.c b/fs/nfs/dir.c\n{change}");
        for diffs in [change, git.as_str(), &format!("{change}{NEW}"), "hello"] {
            assert_eq!(patch(diffs).diffs(), diffs.as_bytes());
        }
        let mailed = patch(&format!("From: somebody\n---\n fs/nfs/dir.c | 2 +-\n{git}{NEW}"));
        assert_eq!(mailed.diffs(), format!("{git}{NEW}").as_bytes());
    }

    #[test]
    fn moved_hunk_applies_but_other_context_does_not() {
        let moved = CHANGE.replace("@@ -3,3 +3,3 @@", "@@ -1,3 +1,3 @@");
        assert_eq!(changes_from(&[&moved]).unwrap().len(), 1);
        let fuzzy = CHANGE.replace(" five", " 5");
        assert!(changes_from(&[&fuzzy]).is_err());
    }

    #[test]
    fn patch_that_makes_a_link_is_refused_and_reads_nothing() {
        let link = "diff --git a/fs/nfs/secret.h b/fs/nfs/secret.h\nnew file mode 120000\n--- /dev/null\n\
                    +++ b/fs/nfs/secret.h\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
        let error = changes_from(&[link]).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("fix makes a symbolic link"), "{error}");
        let file = link.replace("120000", "100644");
        assert_eq!(changes_from(&[&file]).unwrap(), [change("fs/nfs/secret.h", Some("/etc/passwd"))]);
    }

    #[test]
    fn file_that_is_no_patch_is_a_usage_error() {
        for (text, part) in [
            ("hello", "is no patch"),
            ("--- a/../../etc/passwd\n+++ b/../../etc/passwd\n@@ -1 +1 @@\n-x\n+y\n", "not in a kernel's tree"),
            ("--- x\n+++ y\n@@ -1 +1 @@\n-x\n+y\n", "not in a kernel's tree"),
        ] {
            let error = changes_from(&[text]).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
