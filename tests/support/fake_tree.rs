//! A cache with the sources of a kernel that is one file, where building takes a moment, and programs that stand in for
//! others.

#![allow(dead_code, reason = "each test file uses some of it")]

#[path = "hearing.rs"]
mod hearing;

use hearing::that_hears;
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The exit statuses of docs/exit-status.md.
pub const CANNOT_JUDGE: i32 = 125;
pub const MACHINE: i32 = 128;
pub const USAGE: i32 = 129;
pub const INTERRUPTED: i32 = 130;
pub const TERMINATED: i32 = 143;

pub const PACKAGE: &str = "linux-source-6.1";

/// Takes the configuration as it is, compiles what claims to be Linux, and cleans up.
pub const MAKEFILE: &str = "\
vmlinux: fs/nfs/dir.o
\t@echo '  LD      vmlinux'
\t@gcc -static -nostdlib -o vmlinux fs/nfs/dir.o
fs/nfs/dir.o: fs/nfs/dir.c
\t@echo '  CC      fs/nfs/dir.o'
\t@gcc -fno-pic -c -o fs/nfs/dir.o fs/nfs/dir.c
allnoconfig:
\t@cp $(KCONFIG_ALLCONFIG) .config
mrproper:
\t@rm -rf .config vmlinux include/config include/generated
\t@find . \\( -name '*.o' -o -name '.*.cmd' \\) -type f -print | xargs rm -f
";

pub const DIR_C: &str = r#"const char banner[] = "Linux version 6.1.0-fake (nobody) ";
__asm__(".pushsection .note.Xen,\"a\",@note\n.long 4, 8, 0x12\n.asciz \"Xen\"\n.quad 0\n.popsection");
int names = 1;
void _start(void)
{
	for (;;)
		names++;
}
"#;

/// Another kernel comes of it.
pub const CHANGE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -3,1 +3,1 @@\n-int names = 1;\n+int names = 2;\n";

/// No kernel comes of it.
pub const MISTAKE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -3,1 +3,1 @@\n-int names = 1;\n+int names = ;\n";

/// The compiler never comes to an end.
pub const ENDLESS: &str = "--- a/Makefile\n+++ b/Makefile\n@@ -5,1 +5,1 @@\n-\t@echo '  CC      fs/nfs/dir.o'\n+\t@touch begun; sleep 98765\n";

/// A directory to work in, a cache that has the source package, and no network.
pub struct FakeTree {
    pub dir: TempDir,
}

impl FakeTree {
    /// A desk whose series 6.1 is built by `makefile`.
    pub fn with(makefile: &str) -> Self {
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

    pub fn new() -> Self {
        Self::with(MAKEFILE)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn cache(&self, name: &str) -> PathBuf {
        self.path("cache/dirleak").join(name)
    }

    pub fn patch(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    /// A program that is found before the machine's.
    pub fn stub(&self, name: &str, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `dirleak kernel` with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.dirleak(&[&["kernel"], arguments].concat())
    }

    pub fn dirleak(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        command.args(arguments).current_dir(self.dir.path());
        command.env("PATH", path).env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        that_hears(&mut command);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Builds `spec` and gives the SHA-256 that its record in the cache says.
    pub fn build(&self, spec: &str) -> String {
        let output = self.run(&["build", spec]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let image = text(&self.run(&["path", spec]).stdout);
        let meta = fs::read_to_string(Path::new(image.trim()).with_file_name("meta.json")).unwrap();
        let line = meta.lines().find(|l| l.contains("image_sha256")).unwrap();
        line.split('"').nth(3).unwrap().to_owned()
    }

    /// Builds `spec`, which must succeed; gives what was said on the way.
    pub fn ready(&self, spec: &str) -> String {
        let output = self.run(&["build", spec]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stderr)
    }

    /// Builds `spec`, which must fail with `status` and a last line that has all of `parts`.
    pub fn refused(&self, spec: &str, status: i32, parts: &[&str]) {
        let output = self.run(&["build", spec]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("dirleak: ") && parts.iter().all(|p| last.contains(p)), "{stderr}");
    }

    /// Starts a build whose compiler never ends, and waits until it is at it.
    pub fn start_endless(&self) -> Child {
        self.patch("endless.patch", &[ENDLESS, CHANGE].concat());
        let child = self.command(&["build", "6.1+endless.patch"]).spawn().unwrap();
        wait_until("the endless build begins", || self.cache("build/6.1/tree/begun").exists());
        child
    }

    pub fn is_clean(&self) -> bool {
        let leftovers = ["build/6.1/busy", "build/6.1/originals"];
        let source = fs::read_to_string(self.cache("build/6.1/tree/fs/nfs/dir.c")).unwrap();
        leftovers.iter().all(|l| !self.cache(l).exists()) && source == DIR_C
    }
}

pub fn must(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Processes that work for the desk at `marker` and still run, with their command lines: its path is in their PATH.
pub fn running(marker: &Path) -> Vec<(Pid, String)> {
    let marker = marker.to_str().unwrap().as_bytes();
    let ids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let ours = ids.filter(|id| {
        fs::read(format!("/proc/{id}/environ")).is_ok_and(|all| all.windows(marker.len()).any(|part| part == marker))
    });
    let line = |id: i32| text(&fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default()).replace('\0', " ");
    ours.map(|id| (Pid::from_raw(id), line(id))).filter(|(_, line)| !line.is_empty()).collect()
}
