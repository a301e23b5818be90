//! Getting kernels ready, with everything real but the kernel: a source package that holds one file and a makefile,
//! and builds in a moment. Whatever goes wrong is answered with one sentence and leaves nothing that could spoil the
//! next build.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CANNOT_JUDGE: i32 = 125;
const MACHINE: i32 = 128;
const USAGE: i32 = 129;
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

const PACKAGE: &str = "linux-source-6.1";

/// Takes the configuration as it is, and compiles what claims to be Linux.
const MAKEFILE: &str = "\
vmlinux: fs/nfs/dir.o
\t@echo '  LD      vmlinux'
\t@gcc -static -nostdlib -o vmlinux fs/nfs/dir.o
fs/nfs/dir.o: fs/nfs/dir.c
\t@echo '  CC      fs/nfs/dir.o'
\t@gcc -fno-pic -c -o fs/nfs/dir.o fs/nfs/dir.c
allnoconfig:
\t@cp $(KCONFIG_ALLCONFIG) .config
";

const DIR_C: &str = r#"const char banner[] = "Linux version 6.1.0-fake (nobody) ";
__asm__(".pushsection .note.Xen,\"a\",@note\n.long 4, 8, 0x12\n.asciz \"Xen\"\n.quad 0\n.popsection");
int names = 1;
void _start(void)
{
	for (;;)
		names++;
}
"#;

/// Another kernel comes of it.
const CHANGE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -3,1 +3,1 @@\n-int names = 1;\n+int names = 2;\n";

/// No kernel comes of it.
const MISTAKE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -3,1 +3,1 @@\n-int names = 1;\n+int names = ;\n";

/// The compiler never comes to an end.
const ENDLESS: &str = "--- a/Makefile\n+++ b/Makefile\n@@ -5,1 +5,1 @@\n-\t@echo '  CC      fs/nfs/dir.o'\n+\t@touch begun; sleep 98765\n";

/// A directory to work in, a cache that has the source package, and no network.
struct Desk {
    dir: TempDir,
}

impl Desk {
    /// A desk whose series 6.1 is built by `makefile`.
    fn with(makefile: &str) -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        let tree = desk.path("linux-source-6.1");
        fs::create_dir_all(tree.join("fs/nfs")).unwrap();
        fs::write(tree.join("Makefile"), makefile).unwrap();
        fs::write(tree.join("fs/nfs/dir.c"), DIR_C).unwrap();
        let package = desk.path("package");
        let archive = package.join(format!("usr/src/{PACKAGE}.tar.xz"));
        fs::create_dir_all(archive.parent().unwrap()).unwrap();
        must(Command::new("tar").arg("-cJf").arg(archive).arg("-C").arg(desk.dir.path()).arg("linux-source-6.1"));
        fs::create_dir(package.join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {PACKAGE}\nVersion: 6.1.0-1\nArchitecture: all\nMaintainer: nobody <n@o>\nDescription: none\n"
        );
        fs::write(package.join("DEBIAN/control"), control).unwrap();
        fs::create_dir_all(desk.cache("sources/6.1")).unwrap();
        must(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-b"])
                .arg(package)
                .arg(desk.cache("sources/6.1/it.deb")),
        );
        let current = format!(r#"{{"package":"{PACKAGE}","version":"6.1.0-1","file":"it.deb"}}"#);
        fs::write(desk.cache("sources/6.1/current.json"), current).unwrap();
        fs::create_dir(desk.path("bin")).unwrap();
        for program in ["apt-get", "apt-config", "apt-cache"] {
            desk.stub(program, "echo 'E: Temporary failure resolving the archive' >&2; exit 100");
        }
        desk
    }

    fn new() -> Self {
        Self::with(MAKEFILE)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cache(&self, name: &str) -> PathBuf {
        self.path("cache/dirleak").join(name)
    }

    fn patch(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A program that is found before the machine's.
    fn stub(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.arg("kernel").args(arguments).current_dir(self.dir.path());
        command.env("PATH", path).env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Builds `spec` and gives the SHA-256 that its record in the cache says.
    fn build(&self, spec: &str) -> String {
        let output = self.run(&["build", spec]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let image = text(&self.run(&["path", spec]).stdout);
        let meta = fs::read_to_string(Path::new(image.trim()).with_file_name("meta.json")).unwrap();
        let line = meta.lines().find(|l| l.contains("image_sha256")).unwrap();
        line.split('"').nth(3).unwrap().to_owned()
    }

    /// Builds `spec`, which must fail with `status` and a last line that has all of `parts`.
    fn refused(&self, spec: &str, status: i32, parts: &[&str]) {
        let output = self.run(&["build", spec]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("dirleak: ") && parts.iter().all(|p| last.contains(p)), "{stderr}");
    }

    /// Starts a build whose compiler never ends, and waits until it is at it.
    fn start_endless(&self) -> Child {
        self.patch("endless.patch", &[ENDLESS, CHANGE].concat());
        let child = self.command(&["build", "6.1+endless.patch"]).spawn().unwrap();
        wait_until("the endless build begins", || self.cache("build/6.1/tree/begun").exists());
        child
    }

    fn is_clean(&self) -> bool {
        let leftovers = ["build/6.1/busy", "build/6.1/originals"];
        let source = fs::read_to_string(self.cache("build/6.1/tree/fs/nfs/dir.c")).unwrap();
        leftovers.iter().all(|l| !self.cache(l).exists()) && source == DIR_C
    }
}

fn must(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that work for the desk at `marker` and still run, with their command lines: its path is in their PATH.
fn running(marker: &Path) -> Vec<(Pid, String)> {
    let marker = marker.to_str().unwrap().as_bytes();
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let ours = ids.filter(|id| {
        fs::read(format!("/proc/{id}/environ")).is_ok_and(|all| all.windows(marker.len()).any(|part| part == marker))
    });
    let line = |id: i32| text(&fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default()).replace('\0', " ");
    ours.map(|id| (Pid::from_raw(id), line(id))).filter(|(_, line)| !line.is_empty()).collect()
}

#[test]
fn a_variant_is_an_increment_and_the_same_ingredients_make_the_same_image() {
    let desk = Desk::new();
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
fn a_compiler_error_is_quoted_and_spoils_nothing() {
    let desk = Desk::new();
    desk.patch("mistake.patch", MISTAKE);
    let log = desk.cache("build/6.1/failed.log");
    let parts = ["fs/nfs/dir.c:3:13: error: ", log.to_str().unwrap()];
    desk.refused("6.1+mistake.patch", CANNOT_JUDGE, &parts);
    assert!(fs::read_to_string(log).unwrap().contains("error: "));
    assert!(desk.is_clean());
    desk.build("6.1");
}

#[test]
fn a_patch_that_does_not_apply_changes_nothing() {
    let desk = Desk::new();
    desk.patch("other.patch", &CHANGE.replace("names = 1", "names = 7"));
    let parts =
        ["the patch other.patch does not apply to linux-source-6.1 6.1.0-1", "hunk 1 of fs/nfs/dir.c fails at line 3"];
    desk.refused("6.1+other.patch", CANNOT_JUDGE, &parts);
    assert!(desk.is_clean());
}

#[test]
fn a_symbol_that_was_dropped_is_named() {
    let desk = Desk::with(
        &MAKEFILE.replace("@cp $(KCONFIG_ALLCONFIG) .config", "@grep -v SLUB_DEBUG $(KCONFIG_ALLCONFIG) >.config"),
    );
    desk.refused("6.1", CANNOT_JUDGE, &["linux-source-6.1 6.1.0-1 does not take CONFIG_SLUB_DEBUG=y"]);
    // Asked again, it says so again.
    desk.refused("6.1", CANNOT_JUDGE, &["does not take CONFIG_SLUB_DEBUG=y"]);
}

#[test]
fn a_signal_ends_everything_and_the_next_build_goes_on() {
    for (signal, status) in [(Signal::SIGINT, INTERRUPTED), (Signal::SIGTERM, TERMINATED)] {
        let desk = Desk::new();
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
fn a_build_that_was_killed_is_started_afresh() {
    let desk = Desk::new();
    let stock = desk.build("6.1");
    let mut child = desk.start_endless();
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("make ends", || !running(desk.dir.path()).iter().any(|(_, line)| line.starts_with("make")));
    // The kernel ends make with dirleak. What make had started ends when it likes; this one never would.
    for (id, _) in running(desk.dir.path()) {
        let _ = kill(id, Signal::SIGKILL);
    }
    fs::remove_dir_all(desk.cache("kernels")).unwrap();
    let output = desk.run(&["build", "6.1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("was cut off; starting it afresh"), "{}", text(&output.stderr));
    assert_eq!(desk.build("6.1"), stock);
}

#[test]
fn two_at_once_build_one_kernel() {
    let desk = Desk::new();
    let children: Vec<_> = (0..2).map(|_| desk.command(&["build", "6.1"]).spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_dir(desk.cache("kernels")).unwrap().count(), 1);
}

#[test]
fn a_full_disk_is_the_machines_fault_and_the_next_build_starts_afresh() {
    let desk = Desk::new();
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
fn a_damaged_package_is_named_and_puts_nothing_in_place() {
    let desk = Desk::new();
    let deb = desk.cache("sources/6.1/it.deb");
    let bytes = fs::read(&deb).unwrap();
    fs::write(&deb, &bytes[..bytes.len() / 2]).unwrap();
    desk.refused("6.1", MACHINE, &["unpacking linux-source-6.1 6.1.0-1 failed"]);
    assert_eq!(fs::read_dir(desk.cache("build/6.1")).unwrap().count(), 0);
    fs::write(&deb, bytes).unwrap();
    desk.build("6.1");
}

#[test]
fn without_network_and_source_it_says_what_failed() {
    let desk = Desk::new();
    fs::remove_dir_all(desk.cache("sources")).unwrap();
    desk.refused("6.1", MACHINE, &["Temporary failure resolving"]);
}

#[test]
fn a_missing_program_is_named_with_the_way_out() {
    let desk = Desk::new();
    let output = desk.command(&["build", "6.1"]).env("PATH", desk.path("bin")).output().unwrap();
    assert_eq!(output.status.code(), Some(MACHINE));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("flex, bison") && stderr.ends_with("vm/setup installs what is missing\n"), "{stderr}");
}

#[test]
fn what_is_not_ready_has_no_path() {
    let desk = Desk::new();
    let output = desk.run(&["path", "6.1"]);
    assert_eq!(output.status.code(), Some(CANNOT_JUDGE));
    assert_eq!(text(&output.stderr), "dirleak: 6.1 is not ready; build it with: dirleak kernel build 6.1\n");
}

#[test]
fn specs_that_cannot_be() {
    let desk = Desk::new();
    desk.patch("notes.txt", "no kernel");
    desk.patch("notes.patch", "no patch");
    fs::write(desk.path("it.deb"), "!<arch>\ndebian-binary   ").unwrap();
    for (spec, part) in [
        ("6.7", "unknown kernel '6.7': neither a series (6.1) nor a file or directory"),
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
fn clean_removes_all_of_it() {
    let desk = Desk::new();
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
