//! The example that makes a history of the leak of 2019, on a tree and a revert that are made up: what git shows of the history, and what is
//! refused.

#[path = "../examples/history_2019/history.rs"]
mod history;
#[path = "../examples/history_2019/letter.rs"]
mod letter;

use dirleak::internals::error::{Exit, Result};
use dirleak::internals::os::cache::Cache;
use history::{AFTER, BEFORE, BETWEEN, FILES, Made, make};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const LEAKS: &str = "int one;\nint two;\nint readahead;\nint three;\n";
const FIXED: &str = "int one;\nint two;\nint three;\n";

const PATCH: &str = "\
--- a/fs/nfs/dir.c
+++ b/fs/nfs/dir.c
@@ -1,4 +1,3 @@
 int one;
 int two;
-int readahead;
 int three;
";

const MAIL: &str = "\
From: =?UTF-8?Q?J=C3=BCrgen?= <j@example.org>
Subject: [PATCH v2] Revert \"NFS: a faster
 listing\" (memleak)
Date: Fri, 12 Jul 2019 18:10:56 +0200
To: nobody@example.org

This reverts commit 0123456789abcdef0123456789abcdef01234567.

It leaks.

Signed-off-by: Somebody <j@example.org>
---
 fs/nfs/dir.c | 1 -

";

/// A directory with a tree that leaks, its revert as `mail` and as `patch`, and a cache.
struct Desk {
    dir: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        let top = ["Makefile", "Kconfig", "arch/x86/Kconfig", ".gitignore", "scripts/Makefile.lib"];
        let contents = ["VERSION = 5\nPATCHLEVEL = 2\nSUBLEVEL = 1\nmrproper:\n", "", "", "*.lib\n", "# needed\n"];
        for (file, content) in top.iter().zip(contents).chain(FILES.iter().zip(["int here;\n"; 6])) {
            desk.write(&format!("linux/{file}"), content);
        }
        desk.write("linux/fs/nfs/dir.c", LEAKS);
        desk.write("patch", PATCH);
        desk.write("mail", &[MAIL, PATCH, "-- \n2.20.1\n"].concat());
        desk
    }

    /// The same, and the tree is a git tree whose commit has the tag `buggy`, and nothing is checked out.
    fn with_git() -> Self {
        let desk = Self::new();
        let identity = ["-c", "user.name=a", "-c", "user.email=a@b"];
        desk.git("linux", &["init", "-q"]);
        desk.git("linux", &["add", "-f", "-A"]);
        desk.git("linux", &[&identity[..], &["commit", "-qm", "buggy"]].concat());
        desk.git("linux", &["tag", "buggy"]);
        desk.write("linux/fs/nfs/dir.c", FIXED);
        desk.git("linux", &[&identity[..], &["commit", "-qam", "fixed"]].concat());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), content).unwrap();
    }

    fn git(&self, tree: &str, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(self.path(tree)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn make(&self, tree: &str, revert: &str) -> Result<Made> {
        let cache = Cache::at(self.path("cache")).unwrap();
        make(self.path(tree).to_str().unwrap(), &self.path(revert), &self.path("into/history"), &cache)
    }

    /// The sentence by which it is refused; nothing is left where the history was to be.
    fn refusal(&self, tree: &str, revert: &str) -> String {
        fs::create_dir_all(self.path("into")).unwrap();
        let error = self.make(tree, revert).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        assert_eq!(fs::read_dir(self.path("into")).unwrap().count(), 0, "{error}");
        let sentence = error.to_string();
        assert!(!sentence.contains('\n'), "{sentence}");
        sentence
    }
}

fn dir_c(desk: &Desk, commit: &str) -> String {
    desk.git("into/history", &["cat-file", "blob", &format!("{commit}:fs/nfs/dir.c")]) + "\n"
}

#[test]
fn history_has_the_change_and_its_revert_under_their_titles() {
    let desk = Desk::with_git();
    fs::create_dir_all(desk.path("into")).unwrap();
    let made = desk.make("linux@buggy", "mail").unwrap();
    let show = |arguments: &[&str]| desk.git("into/history", arguments);
    let titles = show(&["log", "--reverse", "--format=%s", "main"]);
    let titles: Vec<&str> = titles.lines().collect();
    assert_eq!(titles.len(), 1 + BEFORE + 1 + BETWEEN + 1 + AFTER);
    let (change, revert) = (1 + BEFORE, 1 + BEFORE + 1 + BETWEEN);
    assert_eq!(titles[change], "NFS: a faster listing");
    assert_eq!(titles[revert], "Revert \"NFS: a faster listing\" (memleak)");
    let of_note = |title: &&&str| !title.contains(": nothing of note in ");
    assert_eq!(titles.iter().filter(of_note).count(), 3);
    let told = show(&["log", "-1", "--format=%an <%ae> %ad%n%b", &made.revert]);
    assert!(
        told.starts_with("Jürgen <j@example.org> Fri Jul 12 18:10:56 2019 +0200\nThis reverts commit 0123"),
        "{told}"
    );
    assert!(told.ends_with("Signed-off-by: Somebody <j@example.org>"), "{told}");
    let told = show(&["log", "-1", "--format=%b", &made.optimisation]);
    assert!(told.contains("The original is 0123456789abcdef0123456789abcdef01234567."), "{told}");
}

#[test]
fn history_leaks_from_the_change_to_its_revert() {
    let desk = Desk::with_git();
    fs::create_dir_all(desk.path("into")).unwrap();
    let made = desk.make("linux@buggy", "mail").unwrap();
    let ids = desk.git("into/history", &["rev-parse", "first", "leaks", "main"]);
    assert_eq!(ids.lines().collect::<Vec<_>>(), [&*made.first, &*made.leaks, &*made.last]);
    assert_eq!(desk.git("into/history", &["rev-parse", &format!("{}^", made.revert)]), made.leaks);
    let before = format!("{}^", made.optimisation);
    let expected = [FIXED, FIXED, LEAKS, LEAKS, FIXED, FIXED];
    for (commit, content) in
        [&*made.first, &*before, &*made.optimisation, &*made.leaks, &*made.revert, "main"].into_iter().zip(expected)
    {
        assert_eq!(dir_c(&desk, commit), content, "{commit}");
    }
    // Beside it each commit changes one file.
    let changed = desk.git("into/history", &["log", "--format=", "--name-only", "main", "^first"]);
    assert_eq!(changed.lines().count(), BEFORE + 1 + BETWEEN + 1 + AFTER);
    // It is whole without the tree that it was made of, and checked out.
    fs::remove_dir_all(desk.path("linux")).unwrap();
    fs::remove_dir_all(desk.path("cache")).unwrap();
    desk.git("into/history", &["fsck", "--full", "--strict"]);
    assert_eq!(desk.git("into/history", &["status", "--porcelain"]), "");
    assert_eq!(fs::read_to_string(desk.path("into/history/fs/nfs/dir.c")).unwrap(), FIXED);
}

#[test]
fn directory_without_git_is_taken_whole_and_a_patch_without_a_mail_gets_the_titles_of_2019() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("into/history")).unwrap();
    let made = desk.make("linux", "patch").unwrap();
    assert_eq!(desk.git("into/history", &["cat-file", "blob", "first:scripts/Makefile.lib"]), "# needed");
    let title = |id: &str| desk.git("into/history", &["log", "-1", "--format=%s", id]);
    assert_eq!(title(&made.optimisation), "NFS: readdirplus optimization by cache mechanism");
    assert_eq!(title(&made.revert), "Revert \"NFS: readdirplus optimization by cache mechanism\"");
}

#[test]
fn what_no_history_is_made_of_is_refused_and_nothing_is_left() {
    let desk = Desk::with_git();
    desk.write("no-patch", "Subject: a letter\nFrom: A <a@b>\n\nNo patch is in it.\n");
    desk.write("other", &PATCH.replace("readahead", "something"));
    desk.write("empty", "");
    for (tree, revert, expected) in [
        ("linux@buggy", "no-such", "cannot read the patch "),
        ("linux@buggy", "no-patch", "no-patch has no patch in it that git understands"),
        ("linux@buggy", "empty", "empty has no patch in it that git understands"),
        ("linux@buggy", "other", "other does not apply to "),
        ("linux", "mail", "mail already; name sources that it changes"),
        ("linux@no-such", "mail", "has no revision 'no-such'"),
        ("no-such@buggy", "mail", "no source tree at "),
    ] {
        let sentence = desk.refusal(tree, revert);
        assert!(sentence.contains(expected), "{tree} {revert}: {sentence}");
    }
    desk.git("linux", &["reset", "-q", "--hard", "buggy"]);
    desk.git("linux", &["rm", "-q", "--cached", FILES[3]]);
    desk.git("linux", &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "less"]);
    let sentence = desk.refusal("linux@HEAD", "mail");
    assert!(sentence.contains("has no fs/nfs/read.c, so it is no kernel"), "{sentence}");
}

#[test]
fn directory_that_is_not_empty_stays_as_it_is() {
    let desk = Desk::new();
    desk.write("into/history/mine", "kept");
    for name in ["into/history", "into/history/mine"] {
        let cache = Cache::at(desk.path("cache")).unwrap();
        let error =
            make(desk.path("linux").to_str().unwrap(), &desk.path("mail"), &desk.path(name), &cache).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().ends_with("is there and not empty; name a directory that is not there"), "{error}");
    }
    let left: Vec<_> = fs::read_dir(desk.path("into/history")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert_eq!(left, ["mine"]);
    let cache = Cache::at(desk.path("cache")).unwrap();
    let nowhere = desk.path("no/such/place");
    let error = make(desk.path("linux").to_str().unwrap(), &desk.path("mail"), &nowhere, &cache).unwrap_err();
    assert!(error.to_string().contains("is no directory to make "), "{error}");
    assert!(!Path::new(&desk.path("no")).exists());
}
