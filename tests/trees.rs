//! Kernels from a source tree of the user's, with everything real but the kernel, which is one file: whatever is built, the tree
//! and its repository stay as they are.

#[path = "support/fake_tree.rs"]
mod fake_tree;

use fake_tree::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

const TOP: &str = "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 0\n";

/// A desk with a source tree that is no git tree yet.
fn desk() -> FakeTree {
    let desk = FakeTree::new();
    let tree = desk.path("linux");
    for (path, content) in [
        ("Makefile", [TOP, MAKEFILE].concat().as_str()),
        ("fs/nfs/dir.c", DIR_C),
        (".gitignore", "*.o\n"),
        ("Kconfig", ""),
        ("arch/x86/Kconfig", ""),
    ] {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), content).unwrap();
    }
    desk
}

/// A desk whose source tree is a git tree with one commit.
fn git_desk() -> FakeTree {
    let desk = desk();
    git(&desk, &["init", "-q"]);
    commit(&desk, "one");
    desk
}

/// Where the tree is built.
fn build_dir(desk: &FakeTree) -> PathBuf {
    fs::read_dir(desk.cache("build")).unwrap().flatten().find(|e| e.file_name() != "6.1").unwrap().path()
}

fn git(desk: &FakeTree, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(desk.path("linux")).args(["-c", "user.name=a", "-c", "user.email=a@b"]);
    must(command.args(arguments));
}

fn commit(desk: &FakeTree, message: &str) {
    git(desk, &["add", "-A"]);
    git(desk, &["commit", "-qm", message]);
}

/// Every file below `dir` with its content and time.
fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>, SystemTime)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(everything(&path)),
            path => {
                all.push((path.clone(), fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))
            }
        }
    }
    all.sort();
    all
}

/// Compares file by file, and names the first that is not what it was.
fn untouched(desk: &FakeTree, before: &[(PathBuf, Vec<u8>, SystemTime)]) {
    let after = everything(&desk.path("linux"));
    let paths = |all: &[(PathBuf, Vec<u8>, SystemTime)]| all.iter().map(|(path, ..)| path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&after), paths(before));
    let changed = after.iter().zip(before).find(|(after, before)| after != before);
    assert_eq!(changed.map(|((path, ..), _)| path), None);
}

#[test]
fn tree_is_built_at_revisions_and_as_it_lies_there_and_stays_as_it_is() {
    let desk = git_desk();
    let changed = DIR_C.replace("names = 1", "names = 2");
    fs::write(desk.path("linux/fs/nfs/dir.c"), &changed).unwrap();
    commit(&desk, "two");
    fs::write(desk.path("linux/fs/nfs/dir.c"), changed.replace("names = 2", "names = 3")).unwrap();
    fs::write(desk.path("linux/fs/nfs/dir.o"), "an object of the user's").unwrap();
    desk.patch("change.patch", CHANGE);
    let before = everything(&desk.path("linux"));
    let (one, two, lying) = (desk.build("linux@HEAD^"), desk.build("linux@HEAD"), desk.build("linux"));
    assert!(one != two && two != lying && one != lying);
    assert_eq!(desk.build("linux@HEAD^+change.patch"), two);
    assert_eq!(desk.build("linux@HEAD^"), one);
    let output = desk.run(&["build", "linux"]);
    assert!(text(&output.stderr).contains("uncommitted change"), "{}", text(&output.stderr));
    untouched(&desk, &before);
}

#[test]
fn repository_with_nothing_checked_out_is_built_at_a_revision() {
    let desk = git_desk();
    let built = desk.build("linux@HEAD");
    must(Command::new("git").args(["clone", "-q", "--no-checkout", "linux", "clone"]).current_dir(desk.dir.path()));
    assert_eq!(desk.build("clone@HEAD"), built);
    desk.refused("clone", USAGE, &["has no sources of a kernel checked out", "clone@REV"]);
}

#[test]
fn tree_without_git_is_built_and_takes_no_revision() {
    let desk = desk();
    let before = everything(&desk.path("linux"));
    let plain = desk.build("./linux");
    desk.refused("linux@v6.1", USAGE, &["is not the top of a git tree", "leave '@v6.1' out"]);
    untouched(&desk, &before);
    git(&desk, &["init", "-q"]);
    commit(&desk, "one");
    assert_eq!(desk.build("linux@HEAD"), plain);
    desk.refused("linux@v6.1", USAGE, &["has no revision 'v6.1'"]);
}

/// Makes a file of the desk's tree.
fn put(desk: &FakeTree, path: &str, text: &str) {
    let path = desk.path("linux").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn sources_that_the_trees_own_gitignore_names_are_built_from_where_there_is_no_git() {
    let desk = desk();
    // As kernels of 2019 have it, whose own scripts/Makefile.lib git ignores and has all the same.
    put(&desk, ".gitignore", "*.o\n*.lib\n*.map\n*.hex\n*.d\n");
    put(&desk, "scripts/Makefile.lib", "fs/nfs/dir.o: CFLAGS := -Ddirectory=1\n");
    put(
        &desk,
        "Makefile",
        &[TOP, &MAKEFILE.replacen("vmlinux:", "include scripts/Makefile.lib\nvmlinux:", 1)].concat(),
    );
    put(&desk, "drivers/.gitignore", "*\n");
    put(&desk, "drivers/firmware.hex", "00\n");
    let before = everything(&desk.path("linux"));
    desk.build("linux");
    for source in ["scripts/Makefile.lib", "drivers/firmware.hex", "drivers/.gitignore"] {
        assert!(build_dir(&desk).join("tree").join(source).exists(), "{source}");
    }
    untouched(&desk, &before);
}

#[test]
fn tree_that_was_built_in_place_gives_the_kernel_of_its_sources_and_keeps_its_objects() {
    let desk = desk();
    let clean = desk.build("linux");
    let lies = || everything(&desk.path("linux"));
    must(Command::new("make").args(["-C", "linux", "vmlinux"]).current_dir(desk.dir.path()));
    put(&desk, ".config", "CONFIG_OF_THE_USER=y\n");
    put(&desk, "include/config/auto.conf", "");
    // What was built from other sources than those that lie there is not what is booted.
    put(&desk, "fs/nfs/dir.o", "an object of the user's");
    let before = lies();
    let output = desk.run(&["build", "linux"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("building"), "the sources are the same: {}", text(&output.stderr));
    assert_eq!(desk.build("linux"), clean);
    untouched(&desk, &before);
    put(&desk, "fs/nfs/dir.c", &DIR_C.replace("names = 1", "names = 2"));
    assert_ne!(desk.build("linux"), clean);
    let tree = build_dir(&desk).join("tree");
    assert!(!tree.join("include/config").exists() && fs::read(tree.join("fs/nfs/dir.o")).unwrap()[..4] == *b"\x7fELF");
}

#[test]
fn tree_that_was_built_in_place_and_cannot_be_cleaned_up_is_told() {
    let desk = desk();
    put(&desk, "Makefile", &[TOP, MAKEFILE.split_once("mrproper:").unwrap().0].concat());
    put(&desk, "fs/nfs/dir.o", "an object of the user's");
    desk.refused("linux", CANNOT_JUDGE, &["linux has been built in", "make mrproper failed in a copy of it"]);
}

#[test]
fn tree_without_git_with_links_and_odd_names_and_no_leave_to_write_is_built() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let desk = desk();
    let clean = desk.build("linux");
    for name in ["drivers/with space.c", "drivers/quo\"te", "drivers/line\nfeed", "drivers/back\\slash", "drivers/con"]
    {
        put(&desk, name, "odd\n");
    }
    symlink("nowhere", desk.path("linux/drivers/broken")).unwrap();
    symlink(desk.path("cache"), desk.path("linux/drivers/away")).unwrap();
    symlink("../fs/nfs", desk.path("linux/drivers/nfs")).unwrap();
    let modes = |directories: u32, files: u32| {
        let mut command = Command::new("find");
        command.arg(desk.path("linux")).args(["-type", "d", "-exec", "chmod", &format!("{directories:o}"), "{}", "+"]);
        must(command.args(["-o", "-type", "f", "-exec", "chmod", &format!("{files:o}"), "{}", "+"]));
    };
    modes(0o555, 0o444);
    assert_eq!(desk.build("linux"), clean);
    let mode = fs::metadata(desk.path("linux/Makefile")).unwrap().permissions().mode();
    modes(0o755, 0o644);
    assert_eq!(mode & 0o777, 0o444);
    let drivers = build_dir(&desk).join("tree/drivers");
    assert_eq!(fs::read_to_string(drivers.join("line\nfeed")).unwrap(), "odd\n");
    assert_eq!(fs::read_link(drivers.join("broken")).unwrap(), Path::new("nowhere"));
    assert_eq!(fs::read_dir(drivers).unwrap().count(), 8);
}

#[test]
fn change_that_does_not_compile_or_apply_cannot_be_judged_and_spoils_nothing() {
    let desk = git_desk();
    let one = desk.build("linux@HEAD");
    desk.patch("mistake.patch", MISTAKE);
    desk.patch("change.patch", CHANGE);
    desk.refused("linux@HEAD+mistake.patch", CANNOT_JUDGE, &["building", "failed", "error: "]);
    desk.refused("linux@HEAD+change.patch+change.patch", CANNOT_JUDGE, &["has this change already"]);
    assert_eq!(desk.build("linux@HEAD"), one);
}

#[test]
fn killed_build_of_a_tree_does_not_spoil_the_next() {
    let desk = git_desk();
    let endless = DIR_C.to_owned() + "#error first\n";
    fs::write(desk.path("linux/fs/nfs/dir.c"), endless).unwrap();
    commit(&desk, "two");
    desk.refused("linux@HEAD", CANNOT_JUDGE, &["error: #error first"]);
    let build = build_dir(&desk);
    // As a checkout that was cut off leaves it.
    fs::write(build.join("tree/fs/nfs/dir.c"), "half of").unwrap();
    fs::write(build.join("tree/.dirleak-source"), "").unwrap();
    fs::write(build.join("index.lock"), "").unwrap();
    let other = git_desk();
    assert_eq!(desk.build("linux@HEAD^"), other.build("linux@HEAD"));
}

#[test]
fn fragment_and_compiler_of_the_user_are_used() {
    let desk = desk();
    desk.patch("mine.config", "CONFIG_LOCALVERSION=\"-mine\"\n");
    desk.stub("mycc", "echo \"$@\" >>called; exec gcc \"$@\"");
    let output = desk.command(&["build", "linux", "--config", "mine.config"]).env("CC", "mycc").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(fs::read_to_string(desk.path("called")).unwrap().contains("--version"));
    let build = build_dir(&desk);
    let config = fs::read_to_string(build.join("tree/.config")).unwrap();
    assert!(config.contains("CONFIG_LOCALVERSION=\"-mine\"") && config.contains("CONFIG_NFS_FS=y"));
}

/// The status of a bisection, and its last words.
fn bisect(desk: &FakeTree, arguments: &[&str]) -> (i32, String) {
    let output = desk.dirleak(&[&["bisect"], arguments].concat()).output().unwrap();
    (output.status.code().unwrap(), text(&output.stderr).lines().last().unwrap_or_default().to_owned())
}

/// A desk whose tree has two commits, and the arguments of a bisection between them.
fn two_commits() -> (FakeTree, [&'static str; 6]) {
    let desk = git_desk();
    fs::write(desk.path("linux/fs/nfs/dir.c"), DIR_C.replace("names = 1", "names = 2")).unwrap();
    commit(&desk, "two");
    (desk, ["--tree", "linux", "--good", "HEAD^", "--bad", "HEAD"])
}

/// What bisections remember of builds.
fn remembered(desk: &FakeTree) -> Vec<String> {
    let files = fs::read_dir(desk.cache("verdicts")).into_iter().flatten().flatten();
    files
        .filter(|file| file.file_name().to_string_lossy().starts_with("build-"))
        .map(|file| fs::read_to_string(file.path()).unwrap())
        .collect()
}

#[test]
fn lack_of_the_machine_ends_a_bisection_and_is_not_remembered_of_the_commit() {
    let (desk, arguments) = two_commits();
    for (says, part) in [
        ("ld: final link failed: No space left on device", "is full"),
        ("gcc: fatal error: Killed signal terminated program cc1", "the compiler was killed"),
    ] {
        desk.stub(
            "gcc",
            &format!("case $* in *--version*|*-E*) exec /usr/bin/gcc \"$@\";; esac; echo '{says}' >&2; exit 1"),
        );
        let (status, line) = bisect(&desk, &arguments);
        assert!(status == MACHINE && line.contains(part), "{status} {line}");
        assert_eq!(remembered(&desk), [""; 0]);
    }
}

#[test]
fn end_that_the_fragment_does_not_fit_is_told_and_remembered() {
    let (desk, arguments) = two_commits();
    // As a version whose Kconfig has another name for the symbol.
    let makefile =
        MAKEFILE.replace("@cp $(KCONFIG_ALLCONFIG) .config", "@grep -v SLUB_DEBUG $(KCONFIG_ALLCONFIG) >.config");
    fs::write(desk.path("linux/Makefile"), [TOP, &makefile].concat()).unwrap();
    git(&desk, &["commit", "-qa", "--amend", "-m", "two"]);
    fs::write(desk.path("linux/fs/nfs/dir.c"), DIR_C.replace("names = 1", "names = 3")).unwrap();
    commit(&desk, "three");
    for _ in 0..2 {
        let (status, line) = bisect(&desk, &arguments);
        assert!(status == CANNOT_JUDGE && line.contains("does not take CONFIG_SLUB_DEBUG=y"), "{status} {line}");
        assert!(line.contains("choose another commit for it"), "{line}");
    }
    assert_eq!(remembered(&desk).len(), 1);
}

#[test]
fn bisection_refuses_what_it_cannot_search() {
    let desk = desk();
    let bisect = |arguments: &[&str]| bisect(&desk, arguments);
    let ends = ["--good", "HEAD^", "--bad", "HEAD"];
    let (status, line) = bisect(&[&["--tree", "linux"][..], &ends].concat());
    assert!(status == USAGE && line.contains("is not the top of a git tree"), "{status} {line}");
    git(&desk, &["init", "-q"]);
    commit(&desk, "one");
    let (status, line) = bisect(&[&["--tree", "linux"][..], &ends].concat());
    assert!(status == USAGE && line.ends_with("has no revision 'HEAD^'"), "{status} {line}");
    let (status, line) = bisect(&["--tree", "linux", "--good", "HEAD", "--bad", "HEAD"]);
    assert!(status == USAGE && line.contains("name two different ones"), "{status} {line}");
    let (status, line) = bisect(&["--tree", "nowhere", "--good", "HEAD", "--bad", "HEAD"]);
    assert!(status == USAGE && line.contains("no source tree at nowhere"), "{status} {line}");
    let (status, line) = bisect(&["--tree", "linux", "--good", "HEAD", "--bad", "HEAD", "--set", "leaks"]);
    assert!(status == USAGE && line.contains("a bisection follows one scenario"), "{status} {line}");
}
