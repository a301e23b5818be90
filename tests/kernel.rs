//! Getting kernels ready, with everything real but the kernel: a source package that holds one file and a makefile,
//! and builds in a moment. Whatever goes wrong is answered with one sentence and leaves nothing that could spoil the
//! next build.

#[path = "support/fake_tree.rs"]
mod fake_tree;

use fake_tree::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn variant_is_an_increment_and_the_same_ingredients_make_the_same_image() {
    let desk = FakeTree::new();
    desk.patch("change.patch", CHANGE);
    let stock = desk.build("6.1");
    let patched = desk.build("6.1+change.patch");
    assert_ne!(stock, patched);
    assert!(desk.is_clean());
    let image = text(&desk.run(&["path", "6.1"]).stdout);
    fs::remove_dir_all(Path::new(image.trim()).parent().unwrap()).unwrap();
    assert_eq!(desk.build("6.1"), stock);
    let output = desk.run(&["build", "--patch", "change.patch", "6.1"]);
    assert!(text(&output.stdout).starts_with("6.1: Linux 6.1.0-fake, source 6.1.0-1 (was ready)\n"), "{output:?}");
    assert!(text(&output.stderr).contains("going on with linux-source-6.1 6.1.0-1 from the cache"), "{output:?}");
    let list = text(&desk.run(&["list"]).stdout);
    assert!(list.contains("\n6.1+change.patch  6.1.0-fake  6.1.0-1  "), "{list}");
}

#[test]
fn compiler_error_is_quoted_and_spoils_nothing() {
    let desk = FakeTree::new();
    desk.patch("mistake.patch", MISTAKE);
    let log = desk.cache("build/6.1/failed.log");
    let parts = ["fs/nfs/dir.c:3:13: error: ", log.to_str().unwrap()];
    desk.refused("6.1+mistake.patch", CANNOT_JUDGE, &parts);
    assert!(fs::read_to_string(log).unwrap().contains("error: "));
    assert!(desk.is_clean());
    desk.build("6.1");
}

#[test]
fn patch_that_does_not_apply_changes_nothing() {
    let desk = FakeTree::new();
    desk.patch("other.patch", &CHANGE.replace("names = 1", "names = 7"));
    let parts =
        ["the patch other.patch does not apply to linux-source-6.1 6.1.0-1", "hunk 1 of fs/nfs/dir.c fails at line 3"];
    desk.refused("6.1+other.patch", CANNOT_JUDGE, &parts);
    assert!(desk.is_clean());
}

#[test]
fn symbol_that_was_dropped_is_named() {
    let desk = FakeTree::with(
        &MAKEFILE.replace("@cp $(KCONFIG_ALLCONFIG) .config", "@grep -v SLUB_DEBUG $(KCONFIG_ALLCONFIG) >.config"),
    );
    desk.refused("6.1", CANNOT_JUDGE, &["linux-source-6.1 6.1.0-1 does not take CONFIG_SLUB_DEBUG=y"]);
    // Asked again, it says so again.
    desk.refused("6.1", CANNOT_JUDGE, &["does not take CONFIG_SLUB_DEBUG=y"]);
}

#[test]
fn signal_ends_everything_and_the_next_build_goes_on() {
    for (signal, status) in [(Signal::SIGINT, INTERRUPTED), (Signal::SIGTERM, TERMINATED)] {
        let desk = FakeTree::new();
        let stock = desk.build("6.1");
        let child = desk.start_endless();
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", text(&output.stderr));
        assert_eq!(running(desk.dir.path()), []);
        assert!(desk.is_clean());
        fs::remove_dir_all(desk.cache("kernels")).unwrap();
        let output = desk.run(&["build", "6.1"]);
        assert!(!text(&output.stderr).contains("afresh"), "{}", text(&output.stderr));
        assert_eq!(desk.build("6.1"), stock);
    }
}

#[test]
fn build_that_was_killed_is_started_afresh() {
    let desk = FakeTree::new();
    let stock = desk.build("6.1");
    let mut child = desk.start_endless();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("make and all that it started ends", || running(desk.dir.path()).is_empty());
    fs::remove_dir_all(desk.cache("kernels")).unwrap();
    let output = desk.run(&["build", "6.1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("was cut off; starting it afresh"), "{}", text(&output.stderr));
    assert_eq!(desk.build("6.1"), stock);
}

#[test]
fn builds_at_the_same_time_make_one_kernel() {
    let desk = FakeTree::new();
    let children: Vec<_> = (0..2).map(|_| desk.command(&["build", "6.1"]).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_dir(desk.cache("kernels")).unwrap().count(), 1);
}

#[test]
fn full_disk_is_the_fault_of_the_machine_and_the_next_build_starts_afresh() {
    let desk = FakeTree::new();
    desk.build("6.1");
    fs::remove_dir_all(desk.cache("kernels")).unwrap();
    desk.stub("gcc", "case $* in *--version*|*-E*) exec /usr/bin/gcc \"$@\";; esac; echo 'ld: final link failed: No space left on device' >&2; exit 1");
    fs::remove_file(desk.cache("build/6.1/tree/vmlinux")).unwrap();
    desk.refused("6.1", MACHINE, &["is full", "dirleak kernel clean", "XDG_CACHE_HOME"]);
    fs::remove_file(desk.path("bin/gcc")).unwrap();
    let output = desk.run(&["build", "6.1"]);
    assert!(text(&output.stderr).contains("starting it afresh"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn damaged_package_is_named_and_puts_nothing_in_place() {
    let desk = FakeTree::new();
    let deb = desk.cache("sources/6.1/it.deb");
    let bytes = fs::read(&deb).unwrap();
    fs::write(&deb, &bytes[..bytes.len() / 2]).unwrap();
    desk.refused("6.1", MACHINE, &["unpacking linux-source-6.1 6.1.0-1 failed"]);
    assert_eq!(fs::read_dir(desk.cache("build/6.1")).unwrap().count(), 0);
    fs::write(&deb, bytes).unwrap();
    desk.build("6.1");
}

#[test]
fn build_without_network_and_source_says_what_failed() {
    let desk = FakeTree::new();
    fs::remove_dir_all(desk.cache("sources")).unwrap();
    desk.refused("6.1", MACHINE, &["Temporary failure resolving"]);
}

#[test]
fn missing_program_is_named_with_the_way_out() {
    let desk = FakeTree::new();
    let output = desk.command(&["build", "6.1"]).env("PATH", desk.path("bin")).output().unwrap();
    assert_eq!(output.status.code(), Some(MACHINE));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("flex, bison") && stderr.ends_with("vm/setup installs what is missing\n"), "{stderr}");
}

#[test]
fn kernel_that_is_not_ready_has_no_path() {
    let desk = FakeTree::new();
    let output = desk.run(&["path", "6.1"]);
    assert_eq!(output.status.code(), Some(CANNOT_JUDGE));
    assert_eq!(text(&output.stderr), "dirleak: 6.1 is not ready; build it with: dirleak kernel build 6.1\n");
}

#[test]
fn spec_that_cannot_be_is_refused_in_a_sentence() {
    let desk = FakeTree::new();
    desk.patch("notes.txt", "no kernel");
    desk.patch("notes.patch", "no patch");
    fs::write(desk.path("it.deb"), "!<arch>\ndebian-binary   ").unwrap();
    for (spec, part) in [
        ("6.7", "unknown kernel '6.7': neither a series (5.10, 6.1, 6.12, 7.2, 7.3, newest) nor a file or directory"),
        ("6.1+no-such", "no patch 'no-such' for 6.1; known: "),
        ("6.1+no-such.patch", "no patch file no-such.patch"),
        ("6.1+notes.patch", "notes.patch is no patch"),
        ("notes.txt", "notes.txt is no kernel"),
        ("./no/such", "no kernel image, package or source tree at ./no/such"),
        ("bin", "bin is a directory, but not one with the sources of a kernel"),
        ("it.deb", "it.deb cannot be unpacked, so it is damaged or no package after all: "),
        (
            "it.deb+fix",
            "it.deb is a kernel package, which takes neither a revision nor a patch; build a patched one from",
        ),
        (
            "it.deb@v6.1",
            "it.deb is a kernel package, which takes neither a revision nor a patch; build a patched one from",
        ),
    ] {
        desk.refused(spec, USAGE, &[part]);
    }
}

#[test]
fn clean_removes_the_whole_cache() {
    let desk = FakeTree::new();
    desk.build("6.1");
    for name in ["packages/some", "images/some"] {
        fs::create_dir_all(desk.cache(name)).unwrap();
    }
    let output = desk.run(&["clean"]);
    assert_eq!(output.status.code(), Some(0));
    for name in ["kernels", "build", "sources", "packages", "images"] {
        assert!(!desk.cache(name).exists(), "{name}");
    }
    assert_eq!(desk.run(&["path", "6.1"]).status.code(), Some(CANNOT_JUDGE));
}

/// Linux itself, in a cache that has nothing but its source package: 10 to 15 minutes of two processors.
#[test]
#[ignore = "builds Linux 6.1 from scratch"]
fn image_of_linux_is_the_same_from_scratch_and_as_an_increment() {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // What was downloaded already is taken from the user's cache; else it is downloaded.
    let caches = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home().join(".cache"), Into::into);
    let sources = caches.join("dirleak/sources/6.1");
    if sources.is_dir() {
        let ours = dir.path().join("dirleak/sources");
        fs::create_dir_all(&ours).unwrap();
        must(Command::new("cp").arg("-r").arg(sources).arg(ours));
        must(Command::new("chmod").args(["-R", "go-w"]).arg(dir.path()));
    }
    let kernel = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        let output = command.arg("kernel").args(arguments).current_dir(root).env("XDG_CACHE_HOME", dir.path()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    let image = |spec: &str| {
        kernel(&["build", spec]);
        let path = kernel(&["path", spec]);
        (fs::read(path.trim()).unwrap(), Path::new(path.trim()).parent().unwrap().to_owned())
    };
    let (patched, place) = image("6.1+spare-pages");
    // The tree has the patch, which is taken out for this, and put in again for the next.
    let (stock, _) = image("6.1");
    fs::remove_dir_all(place).unwrap();
    let (again, _) = image("6.1+spare-pages");
    assert!(patched.len() > 1 << 20 && patched != stock, "these are no two kernels");
    assert!(patched == again, "the image differs by the order in which kernels were built");
}

fn home() -> std::path::PathBuf {
    std::env::var_os("HOME").expect("everybody has a home").into()
}
