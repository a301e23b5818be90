//! Packages in the layouts of each distribution, and what must not be taken from one.

use super::*;
use crate::error::Exit;
use crate::kernel::image::identify::tests::bzimage;
use crate::os::process;
use std::process::Command;

/// A kernel with what is kept of its package.
#[derive(Debug)]
struct Unpacked {
    image: PathBuf,
    image_sha256: String,
    release: String,
    modules: Option<PathBuf>,
}

fn whole(contents: Contents) -> Unpacked {
    let PackagedImage { path, sha256, release } = contents.image.unwrap();
    Unpacked { image: path, image_sha256: sha256, modules: contents.modules.get(&release).cloned(), release }
}

fn packages(path: &Path, sha256: &str) -> Packages {
    Packages { paths: vec![path.to_owned()], sha256: sha256.to_owned() }
}

fn unpack(path: &Path, sha256: &str, cache: &Cache) -> Result<Unpacked> {
    packages(path, sha256).unpack(cache, &Ui::new()).map(whole)
}

fn find(sha256: &str, cache: &Cache) -> Option<Unpacked> {
    packages(Path::new("x"), sha256).find(cache).map(whole)
}

fn home(sha256: &str, cache: &Cache) -> PathBuf {
    packages(Path::new("x"), sha256).home(cache)
}

/// Returns a Debian package that holds these files.
fn lay_out(root: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), content).unwrap();
    }
}

/// Returns an RPM package with nothing but files: a lead, two headers without an entry, and an archive (rpm.org, "V4 Package format").
fn rpm(dir: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let root = dir.join("rpm-root");
    lay_out(&root, files);
    let archive = dir.join("payload");
    let pack = ["--format=newc", "-czf"];
    process::output(Command::new("bsdtar").args(pack).arg(&archive).arg("-C").arg(&root).arg(".")).unwrap();
    let mut bytes = vec![0; 96];
    bytes[..6].copy_from_slice(b"\xed\xab\xee\xdb\x03\x00");
    for _ in 0..2 {
        bytes.extend(b"\x8e\xad\xe8\x01");
        bytes.extend([0; 12]);
    }
    bytes.extend(fs::read(archive).unwrap());
    let rpm = dir.join("x.rpm");
    fs::write(&rpm, bytes).unwrap();
    rpm
}

fn package(dir: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let root = dir.join("root");
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    fs::write(
        root.join("DEBIAN/control"),
        "Package: linux-image-x\nVersion: 1\nArchitecture: amd64\nMaintainer: a <a@b>\nDescription: x\n",
    )
    .unwrap();
    lay_out(&root, files);
    let deb = dir.join("x.deb");
    process::output(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).arg(&root).arg(&deb)).unwrap();
    deb
}

#[test]
fn kernel_and_the_modules_that_can_be_of_use_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("boot/vmlinuz-6.1-x", &bzimage("6.1-x")),
        ("lib/modules/6.1-x/kernel/fs/nfs.ko", b"module"),
        ("lib/modules/6.1-x/kernel/drivers/gpu/huge.ko", b"module"),
        ("lib/modules/6.1-x/kernel/drivers/bluetooth/other.ko", b"module"),
        ("lib/modules/6.1-x/kernel/drivers/block/loop.ko", b"module"),
        ("usr/share/doc/changelog", b"text"),
    ];
    let deb = package(dir.path(), &files);
    let sha256 = identify::sha256(&deb).unwrap();
    assert!(find(&sha256, &cache).is_none());
    let unpacked = unpack(&deb, &sha256, &cache).unwrap();
    assert_eq!(unpacked.release, "6.1-x");
    assert_eq!(unpacked.image_sha256, identify::sha256(&unpacked.image).unwrap());
    let modules = unpacked.modules.unwrap();
    let has = |file: &str| modules.join("kernel").join(file).is_file();
    assert!(has("fs/nfs.ko") && has("drivers/block/loop.ko"));
    assert!(!has("drivers/gpu/huge.ko") && !has("drivers/bluetooth/other.ko"));
    assert!(!home(&sha256, &cache).join("usr/share/doc/changelog").exists());
    assert_eq!(find(&sha256, &cache).unwrap().image, unpacked.image);
    // What was exchanged is not what the digest is of.
    fs::write(&unpacked.image, bzimage("6.1-y")).unwrap();
    assert!(find(&sha256, &cache).is_none());
    assert!(unpack(&deb, &sha256, &cache).unwrap().release == "6.1-x");
    // What was removed by hand is unpacked anew.
    fs::remove_file(&unpacked.image).unwrap();
    assert!(find(&sha256, &cache).is_none());
    assert!(unpack(&deb, &sha256, &cache).unwrap().image.is_file());
}

/// Makes a package with a kernel and with these links, each to what is behind it.
fn linking(dir: &Path, links: &[(&str, &Path)]) -> PathBuf {
    for (name, to) in links {
        let link = dir.join("root").join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, link).unwrap();
    }
    package(dir, &[("boot/vmlinuz-6.1-x", &bzimage("6.1-x"))])
}

#[test]
fn image_that_is_not_signed_may_say_so_in_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let deb = package(dir.path(), &[("usr/lib/modules/7.3-x/vmlinuz.unsigned", &bzimage("7.3-x"))]);
    assert_eq!(unpack(&deb, &"d".repeat(64), &cache).unwrap().release, "7.3-x");
}

#[test]
fn rpm_package_is_unpacked_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    // Fedora has the image beside its modules.
    let files: [(&str, &[u8]); 3] = [
        ("lib/modules/6.1-x/vmlinuz", &bzimage("6.1-x")),
        ("lib/modules/6.1-x/kernel/fs/nfs.ko", b"module"),
        ("lib/modules/6.1-x/kernel/drivers/gpu/huge.ko", b"module"),
    ];
    let unpacked = unpack(&rpm(dir.path(), &files), &"e".repeat(64), &cache).unwrap();
    assert_eq!(unpacked.release, "6.1-x");
    let modules = unpacked.modules.unwrap();
    assert_eq!(fs::read(modules.join("kernel/fs/nfs.ko")).unwrap(), b"module");
    assert!(!modules.join("kernel/drivers/gpu/huge.ko").exists());
    let damaged = rpm(dir.path(), &files);
    let whole = fs::read(&damaged).unwrap();
    fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
    let error = unpack(&damaged, &"f".repeat(64), &cache).unwrap_err();
    assert!(error.exit() == Exit::Usage && error.to_string().contains("cannot be unpacked"), "{error}");
}

#[test]
fn package_whose_release_leads_elsewhere_has_no_kernel() {
    for release in ["/tmp", "../..", "../../../../tmp"] {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let deb = package(dir.path(), &[("boot/vmlinuz-x", &bzimage(release))]);
        let error = unpack(&deb, &"c".repeat(64), &cache).unwrap_err();
        assert!(error.to_string().contains("has no kernel image for x86-64 in it"), "{release}: {error}");
    }
}

#[test]
fn package_that_unpacks_without_end_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = vec![0; 16 << 20];
    let deb = package(dir.path(), &[("boot/vmlinuz-6.1-x", &bzimage("6.1-x")), ("lib/modules/zeros", &zeros)]);
    let into = dir.path().join("into");
    fs::create_dir(&into).unwrap();
    let error = extract(&deb, &into, 1 << 20).unwrap_err();
    assert!(error.to_string().contains("has more than 1 MiB of what is kept"), "{error}");
    extract(&deb, &into, 64 << 20).unwrap();
}

#[test]
fn links_out_of_a_package_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let secret = dir.path().join("secret");
    fs::create_dir_all(secret.join("kernel")).unwrap();
    fs::write(secret.join("kernel/nfs.ko"), "secret").unwrap();
    fs::write(secret.join("vmlinuz"), bzimage("6.1-secret")).unwrap();
    let image = secret.join("vmlinuz");
    let links: [(&str, &Path); 2] = [("lib/modules/6.1-x", &secret), ("boot/vmlinuz-0", &image)];
    let deb = linking(dir.path(), &links);
    let unpacked = unpack(&deb, &"d".repeat(64), &cache).unwrap();
    assert_eq!((unpacked.release.as_str(), unpacked.modules), ("6.1-x", None));
}

#[test]
fn package_without_a_kernel_and_a_damaged_one_are_usage_errors_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let deb = package(dir.path(), &[("usr/share/doc/readme", b"text")]);
    let error = unpack(&deb, &"a".repeat(64), &cache).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("has no kernel image for x86-64 in it; a package that has one"), "{error}");
    let whole = fs::read(&deb).unwrap();
    fs::write(&deb, &whole[..whole.len() / 2]).unwrap();
    let error = unpack(&deb, &"b".repeat(64), &cache).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage, "{error}");
    assert!(error.to_string().contains("cannot be unpacked"), "{error}");
    assert_eq!(fs::read_dir(cache.root().join("packages")).unwrap().count(), 0);
}

const RELEASE: &str = "6.8.5-301.fc40.x86_64";

/// Packs files as an archive that bsdtar makes with these options.
fn archive(path: &Path, options: &[&str], files: &[(&str, &[u8])]) -> PathBuf {
    let root = tempfile::tempdir().unwrap();
    lay_out(root.path(), files);
    let tops: Vec<_> = fs::read_dir(root.path()).unwrap().map(|top| top.unwrap().file_name()).collect();
    process::output(Command::new("bsdtar").args(options).arg(path).arg("-C").arg(root.path()).args(tops)).unwrap();
    path.to_owned()
}

/// Returns the file of a module in what is in the packages, and the release of their image.
fn unpacked(paths: &[PathBuf], release: &str, file: &str) -> (Option<String>, bool) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path().join("cache")).unwrap();
    let contents = Packages::new(paths).unwrap().unpack(&cache, &Ui::new()).unwrap();
    let has = |dir: &PathBuf| dir.join(file).is_file() && dir.join("modules.builtin").is_file();
    (contents.image.map(|image| image.release), contents.modules.get(release).is_some_and(has))
}

#[test]
fn fedora_has_a_kernel_in_several_packages() {
    let dirs = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let below = |file: &str| format!("lib/modules/{RELEASE}/{file}");
    let (image, built_in, order) = (below("vmlinuz"), below("modules.builtin"), below("modules.order"));
    let core =
        rpm(dirs[0].path(), &[(&image, &bzimage(RELEASE)), (&built_in, b"kernel/fs/ext4/ext4.ko\n"), (&order, b"1")]);
    let (nfs, sound) = (below("kernel/fs/nfs/nfs.ko.xz"), below("kernel/sound/core/snd.ko.xz"));
    let modules_core = rpm(dirs[1].path(), &[(&nfs, b"module"), (&sound, b"module"), (&order, b"2")]);
    let further = rpm(dirs[2].path(), &[(&below("kernel/fs/f2fs/f2fs.ko.xz"), b"module")]);
    let all = [core.clone(), modules_core.clone(), further];
    for order in [[0, 1, 2], [2, 0, 1]] {
        let packages = order.map(|at| all[at].clone());
        assert_eq!(unpacked(&packages, RELEASE, "kernel/fs/nfs/nfs.ko.xz"), (Some(RELEASE.into()), true));
        assert!(unpacked(&packages, RELEASE, "kernel/fs/f2fs/f2fs.ko.xz").1);
    }
    assert!(!unpacked(&all, RELEASE, "kernel/sound/core/snd.ko.xz").1);
    assert!(!unpacked(&[core], RELEASE, "kernel/fs/nfs/nfs.ko.xz").1);
    assert_eq!(unpacked(&[modules_core], RELEASE, "kernel/fs/nfs/nfs.ko.xz"), (None, false));
}

#[test]
fn ubuntu_has_the_image_and_the_modules_in_a_package_each() {
    const UBUNTU: &str = "5.11.0-051100-generic";
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let image = package(dirs[0].path(), &[(&format!("boot/vmlinuz-{UBUNTU}"), &bzimage(UBUNTU))]);
    let below = |file: &str| format!("lib/modules/{UBUNTU}/{file}");
    let config = format!("boot/config-{UBUNTU}");
    let files: [(&str, &[u8]); 3] =
        [(&below("kernel/fs/nfs/nfs.ko"), b"module"), (&below("modules.builtin"), b""), (&config, b"CONFIG_X=y")];
    let modules = package(dirs[1].path(), &files);
    assert_eq!(unpacked(&[image, modules], UBUNTU, "kernel/fs/nfs/nfs.ko"), (Some(UBUNTU.into()), true));
}

#[test]
fn archives_of_arch_alpine_and_the_kernel_itself_are_packages() {
    let dir = tempfile::tempdir().unwrap();
    let module = |root: &str, release: &str| format!("{root}lib/modules/{release}/kernel/fs/nfs/nfs.ko.zst");
    let built_in = |root: &str, release: &str| format!("{root}lib/modules/{release}/modules.builtin");
    let table = [
        ("linux-zen.pkg.tar.zst", "usr/", "6.5.3-zen1-1-zen", "usr/lib/modules/6.5.3-zen1-1-zen/vmlinuz", "--zstd"),
        ("linux-upstream.pkg.tar.xz", "usr/", "6.17.0", "usr/lib/modules/6.17.0/vmlinuz", "--xz"),
        ("linux-6.17.0-x86.tar.zst", "", "6.17.0", "boot/vmlinuz-6.17.0", "--zstd"),
        ("linux-6.17.0-x86.tar.bz2", "", "6.17.0", "boot/vmlinuz-6.17.0", "--bzip2"),
        ("linux-6.17.0-x86.tar", "", "6.17.0", "boot/vmlinuz-6.17.0", "--format=gnutar"),
    ];
    for (file, root, release, image, how) in table {
        let (module, built_in, image_file) = (module(root, release), built_in(root, release), bzimage(release));
        let files: [(&str, &[u8]); 4] =
            [(image, &image_file), (&module, b"module"), (&built_in, b""), ("usr/share/doc/x", b"text")];
        let path = archive(&dir.path().join(file), &[how, "-cf"], &files);
        assert_eq!(identify::kind(&path).unwrap(), Kind::Package, "{file}");
        assert_eq!(unpacked(&[path], release, "kernel/fs/nfs/nfs.ko.zst"), (Some(release.into()), true), "{file}");
    }
}

#[test]
fn alpine_package_is_streams_of_gzip_one_behind_the_other() {
    const ALPINE: &str = "6.12.50-0-lts";
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // Signature and control data have no end of an archive, so that all of it is one.
    let segments = [(".SIGN.RSA.x", &b"signature"[..]), (".PKGINFO", b"pkgname = linux-lts")].map(|(name, content)| {
        let tar = fs::read(archive(&path("segment.tar"), &["--format=ustar", "-cf"], &[(name, content)])).unwrap();
        fs::write(path("cut.tar"), &tar[..1024]).unwrap();
        process::output(Command::new("gzip").arg("-kf").arg(path("cut.tar"))).unwrap();
        fs::read(path("cut.tar.gz")).unwrap()
    });
    let module = format!("lib/modules/{ALPINE}/kernel/fs/nfs/nfs.ko.gz");
    let built_in = format!("lib/modules/{ALPINE}/modules.builtin");
    let files: [(&str, &[u8]); 3] = [("boot/vmlinuz-lts", &bzimage(ALPINE)), (&module, b"module"), (&built_in, b"")];
    let data = fs::read(archive(&path("data.tar.gz"), &["--format=ustar", "-czf"], &files)).unwrap();
    let apk = path("linux-lts-6.12.50-r0.apk");
    fs::write(&apk, [&segments.concat()[..], &data].concat()).unwrap();
    assert_eq!(unpacked(&[apk], ALPINE, "kernel/fs/nfs/nfs.ko.gz"), (Some(ALPINE.into()), true));
}

#[test]
fn modules_in_both_places_become_one_directory_and_a_link_is_no_place() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (old, new) = (format!("lib/modules/{RELEASE}"), format!("usr/lib/modules/{RELEASE}"));
    let image = rpm(
        dirs[0].path(),
        &[(&format!("{new}/vmlinuz"), &bzimage(RELEASE)), (&format!("{new}/modules.builtin"), b"")],
    );
    let modules = rpm(dirs[1].path(), &[(&format!("{old}/kernel/fs/nfs/nfs.ko"), b"module")]);
    assert_eq!(unpacked(&[image, modules], RELEASE, "kernel/fs/nfs/nfs.ko"), (Some(RELEASE.into()), true));
    // Of a link nothing is moved.
    let (outside, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir_all(outside.path().join("lib/modules/6.1-x")).unwrap();
    let deb = linking(dir.path(), &[("usr", outside.path())]);
    let contents = packages(&deb, &"9".repeat(64)).unpack(&Cache::at(dir.path().join("cache")).unwrap(), &Ui::new());
    assert!(contents.unwrap().modules.is_empty());
    assert!(outside.path().join("lib/modules/6.1-x").is_dir());
}
