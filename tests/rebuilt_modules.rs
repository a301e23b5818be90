//! Patches in a distribution's kernel, with everything real but the kernel: a package with one module, and the private tree of its headers
//! as it is once they have been fetched. There is no network.

#[path = "support/fake_tree.rs"]
mod fake_tree;

use fake_tree::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;

const RELEASE: &str = "6.1.0-1-cloud-amd64";
const VERSION: &str = "6.1.1-1";

/// Where the modules of the kernel are rebuilt.
const TREE: &str = "build/6.1.0-1-cloud-amd64_6.1.1-1/tree";

/// What a module must say to be one of this kernel.
const NFS_C: &str = "\
__attribute__((section(\".modinfo\"), used)) static const char magic[] = \"vermagic=6.1.0-1-cloud-amd64 \" MAGIC;
int names = 1;
";

/// What its modules offer.
const SYMBOLS: &str = "0x1\tnfs_free\tfs/nfs/nfs\tEXPORT_SYMBOL_GPL\t\n";

const CHANGE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -2,1 +2,1 @@\n-int names = 1;\n+int names = 2;\n";
const MISTAKE: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -2,1 +2,1 @@\n-int names = 1;\n+int names = ;\n";
const OTHER_MAGIC: &str = "--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -2,1 +2,2 @@\n int names = 1;\n+#define OTHER\n";
const BUILT_IN: &str = "--- a/mm/slub.c\n+++ b/mm/slub.c\n@@ -1,1 +1,1 @@\n-int objects;\n+int slabs;\n";
const OTHER_FIRST: &str = "--- a/Documentation/x.rst\n+++ b/Documentation/x.rst\n@@ -1,1 +1,1 @@\n-old\n+new\n";

/// Makes a module as kbuild does: `make -C TREE M=TREE/fs/nfs nfs.ko`. In a directory with a file `wait` it takes for ever.
const MAKEFILE: &str = "\
%.ko:
\t@echo '  CC [M]  fs/nfs/dir.o'
\t@if [ -e wait ]; then touch begun; sleep 98765; fi
\t@$(CC) -c -DMAGIC='\"$(if $(shell grep OTHER $(M)/dir.c),UP,SMP)\"' -o $(M)/$@ $(M)/dir.c
\t@printf '0x1\\tnfs_free\\t%s/nfs\\tEXPORT_SYMBOL_GPL\\t\\n' $(M) > $(M)/Module.symvers
";

/// A desk with the package `it.deb` and the tree of its headers.
fn desk() -> FakeTree {
    let desk = FakeTree::new();
    let module = desk.path("nfs.ko");
    fs::write(desk.path("dir.c"), NFS_C).unwrap();
    must(Command::new("gcc").args(["-DMAGIC=\"SMP\"", "-c", "-o"]).arg(&module).arg(desk.path("dir.c")));
    package(&desk, &module);
    let tree = desk.cache(TREE);
    for (path, content) in [
        (".dirleak-source", format!("{VERSION} 1")),
        (".config", format!("CONFIG_GCC_VERSION={}0200\n", gcc_major())),
        ("include/config/auto.conf", "CONFIG_NFS_FS=m\n".into()),
        ("Makefile", MAKEFILE.into()),
        ("Module.symvers", SYMBOLS.into()),
        ("fs/nfs/Makefile", "obj-$(CONFIG_NFS_FS) += nfs.o\nnfs-y := dir.o\n".into()),
        ("fs/nfs/dir.c", NFS_C.into()),
        ("mm/Makefile", "obj-y := slub.o\n".into()),
        ("mm/slub.c", "int objects;\n".into()),
    ] {
        fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
        fs::write(tree.join(path), content).unwrap();
    }
    desk
}

fn gcc_major() -> String {
    let output = Command::new("gcc").arg("-dumpversion").output().unwrap();
    text(&output.stdout).trim().split('.').next().unwrap().to_owned()
}

/// Makes the package, which is called as Debian calls it.
fn package(desk: &FakeTree, module: &Path) {
    let root = desk.path("image");
    for dir in ["DEBIAN", "boot", &format!("lib/modules/{RELEASE}/kernel/fs/nfs")] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let source = DIR_C.replace("6.1.0-fake", RELEASE);
    fs::write(desk.path("vmlinux.c"), source).unwrap();
    let vmlinux = root.join("boot/vmlinux");
    must(Command::new("gcc").args(["-static", "-nostdlib", "-o"]).arg(vmlinux).arg(desk.path("vmlinux.c")));
    fs::copy(module, root.join(format!("lib/modules/{RELEASE}/kernel/fs/nfs/nfs.ko"))).unwrap();
    let control = format!(
        "Package: linux-image-{RELEASE}\nVersion: {VERSION}\nArchitecture: amd64\nMaintainer: nobody <n@o>\nDescription: none\n"
    );
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    must(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(root).arg(desk.path("it.deb")));
}

/// The modules that were rebuilt, by their directories.
fn rebuilt(desk: &FakeTree) -> Vec<Vec<u8>> {
    let dirs = fs::read_dir(desk.cache("modules")).into_iter().flatten().flatten();
    dirs.map(|dir| fs::read(dir.path().join("nfs.ko")).unwrap()).collect()
}

fn is_put_back(desk: &FakeTree) -> bool {
    let home = desk.cache(TREE).parent().unwrap().to_owned();
    let source = fs::read_to_string(home.join("tree/fs/nfs/dir.c")).unwrap();
    let symbols = fs::read_to_string(home.join("tree/Module.symvers")).unwrap();
    ["busy", "originals"].iter().all(|left| !home.join(left).exists()) && source == NFS_C && symbols == SYMBOLS
}

#[test]
fn module_that_a_patch_touches_is_rebuilt_and_kept() {
    let desk = desk();
    desk.patch("change.patch", &[OTHER_FIRST, CHANGE].concat());
    let stock = fs::read(desk.path("nfs.ko")).unwrap();
    let said = desk.ready("it.deb+change.patch");
    assert!(said.contains("building nfs.ko of it.deb+change.patch"), "{said}");
    let [module] = &rebuilt(&desk)[..] else { panic!("there is one") };
    assert_ne!(*module, stock);
    assert!(is_put_back(&desk));
    assert!(!desk.ready("it.deb+change.patch").contains("building"));
    let list = text(&desk.run(&["list"]).stdout);
    assert!(list.contains(&format!("\n{RELEASE}+change.patch  {RELEASE}  {VERSION}  ")), "{list}");
    // What is damaged is made again.
    let dir = fs::read_dir(desk.cache("modules")).unwrap().next().unwrap().unwrap().path();
    fs::write(dir.join("nfs.ko"), "damaged").unwrap();
    assert!(desk.ready("it.deb+change.patch").contains("building"));
    desk.run(&["clean"]);
    assert!(!desk.cache("modules").exists());
}

#[test]
fn patch_that_cannot_be_put_in_is_told_and_spoils_nothing() {
    let desk = desk();
    for (patch, parts) in [
        (MISTAKE, &["building nfs.ko of it.deb+x.patch failed: ", "fs/nfs/dir.c:2:13: error: ", "failed.log"][..]),
        (OTHER_MAGIC, &["nfs.ko was rebuilt for '6.1.0-1-cloud-amd64 UP', but the kernel's own is for"]),
        (BUILT_IN, &["mm/slub.c is built into 6.1.0-1-cloud-amd64", "from source instead: --kernel 6.1+x.patch"]),
        (&BUILT_IN.replace("mm/slub.c", "drivers/net/tun.c"), &["drivers/net/tun.c is not in what modules"]),
        (&CHANGE.replace("names = 1", "names = 7"), &["x.patch does not apply to linux-source-6.1 6.1.1-1: hunk 1"]),
        (OTHER_FIRST, &["nothing of Documentation/x.rst is in a module of 6.1.0-1-cloud-amd64"]),
    ] {
        desk.patch("x.patch", patch);
        desk.refused("it.deb+x.patch", CANNOT_JUDGE, parts);
        assert!(is_put_back(&desk) && rebuilt(&desk).is_empty(), "{patch}");
    }
    desk.patch("x.patch", CHANGE);
    desk.ready("it.deb+x.patch");
}

#[test]
fn compiler_that_is_missing_is_named_before_anything_is_built() {
    let desk = desk();
    desk.patch("x.patch", CHANGE);
    fs::write(desk.cache(TREE).join(".config"), "CONFIG_GCC_VERSION=990100\n").unwrap();
    desk.refused("it.deb+x.patch", CANNOT_JUDGE, &["was built with gcc 99, and gcc-99 is not on this machine"]);
    let output = desk.command(&["build", "it.deb+x.patch"]).env("CC", "gcc").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn interrupted_build_of_a_module_goes_on() {
    let desk = desk();
    desk.patch("x.patch", CHANGE);
    fs::write(desk.cache(TREE).join("wait"), "").unwrap();
    let child = desk.command(&["build", "it.deb+x.patch"]).spawn().unwrap();
    wait_until("the build begins", || desk.cache(TREE).join("begun").exists());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(INTERRUPTED), "{}", text(&output.stderr));
    assert_eq!(running(desk.dir.path()), []);
    assert!(is_put_back(&desk) && rebuilt(&desk).is_empty());
    fs::remove_file(desk.cache(TREE).join("wait")).unwrap();
    assert!(!desk.ready("it.deb+x.patch").contains("afresh"));
}

#[test]
fn kernel_that_cannot_be_fetched_is_told_in_a_sentence_and_leaves_nothing() {
    let desk = FakeTree::new();
    desk.refused(
        "6.1:cloud",
        MACHINE,
        &["cannot ask the machine's apt for its sources", "Temporary failure resolving"],
    );
    desk.refused("6.1:cloud+no-such", USAGE, &["no patch 'no-such' for 6.1; known: "]);
    assert!(!desk.cache("packages").exists());
    let output = desk.run(&["path", "6.1:cloud"]);
    assert_eq!(
        text(&output.stderr),
        "dirleak: 6.1:cloud is not ready; build it with: dirleak kernel build 6.1:cloud\n"
    );
    // Its headers cannot be had, either.
    let desk = self::desk();
    desk.patch("x.patch", CHANGE);
    fs::remove_dir_all(desk.cache(TREE).parent().unwrap()).unwrap();
    desk.refused("it.deb+x.patch", MACHINE, &["Temporary failure resolving"]);
    assert!(!desk.cache(TREE).exists());
}
