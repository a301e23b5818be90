//! Knows what is in a kernel package: it is unpacked once into the cache, as far as a guest can use it.

use super::identify::{self, Kind};
use crate::error::{Context, Error, Result};
use crate::kernel::build::store::size;
use crate::kernel::external::runner;
use crate::os::cache::{Cache, install_atomically};
use crate::os::process::{self, Child};
use crate::os::progress::Ui;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Changed when more of a package is kept.
const RECIPE: &str = "2";

/// Where packages have their kernel: in one file or the other, never both different.
const IMAGES: [&str; 4] = ["boot/vmlinuz-*", "boot/vmlinux-*", "lib/modules/*/vmlinuz", "usr/lib/modules/*/vmlinuz"];

/// Most of a package, and nothing that listing a directory needs. Of the drivers those of block devices stay, because an export can
/// be on a loop device.
const LEFT_OUT: [&str; 8] = [
    "*/kernel/drivers/[!b]*",
    "*/kernel/drivers/b[!l]*",
    "*/kernel/drivers/bl[!o]*",
    "*/kernel/sound",
    "*/kernel/sound/*",
    "*/System.map*",
    "*/usr/share/*",
    "*/usr/src/*",
];

/// The kernel and the modules of a distribution, with all that tells debuggers of them, have less.
const MOST_BYTES: u64 = 8 << 30;
/// Between two looks at what has been unpacked.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A kernel from a package.
#[derive(Clone, Debug)]
pub struct Unpacked {
    pub image: PathBuf,
    pub image_sha256: String,
    pub release: String,
    /// The directory of its modules, if the package has one.
    pub modules: Option<PathBuf>,
}

/// `meta.json` beside the files, with paths below it.
#[derive(Deserialize, Serialize)]
struct Meta {
    image: PathBuf,
    image_sha256: String,
    release: String,
    modules: Option<PathBuf>,
}

const META: &str = "meta.json";

/// Returns the package with this SHA-256, if it is unpacked.
pub fn find(sha256: &str, cache: &Cache) -> Option<Unpacked> {
    let home = home(sha256, cache);
    let meta: Meta = serde_json::from_slice(&fs::read(home.join(META)).ok()?).ok()?;
    let image = home.join(meta.image);
    let modules = meta.modules.map(|dir| home.join(dir));
    let is_same = identify::sha256(&image).is_ok_and(|now| now == meta.image_sha256);
    let whole = is_same && modules.as_ref().is_none_or(|dir| dir.is_dir());
    whole.then_some(Unpacked { image, image_sha256: meta.image_sha256, release: meta.release, modules })
}

/// Unpacks the package `path`, which has this SHA-256, unless that is done already.
pub fn unpack(path: &Path, sha256: &str, cache: &Cache, ui: &Ui) -> Result<Unpacked> {
    if let Some(found) = find(sha256, cache) {
        return Ok(found);
    }
    let _lock = cache.lock("packages", ui)?;
    if let Some(found) = find(sha256, cache) {
        return Ok(found);
    }
    let home = home(sha256, cache);
    let task = ui.task(format!("unpacking {}", path.file_name().unwrap_or_default().to_string_lossy()));
    install_atomically(&home, |new| {
        fs::create_dir(new).machine(|| format!("cannot write {}", new.display()))?;
        extract(path, new, MOST_BYTES)?;
        describe(path, new)
    })?;
    task.done("done");
    find(sha256, cache).ok_or_else(|| Error::machine(format!("{} is not complete", home.display())))
}

fn home(sha256: &str, cache: &Cache) -> PathBuf {
    cache.root().join("packages").join(format!("{}-{RECIPE}", &sha256[..16]))
}

/// Fails once more than `most` bytes are in a directory, which it looks at now and then.
struct Watch<'a> {
    package: &'a Path,
    into: &'a Path,
    most: u64,
    last: Instant,
}

impl Watch<'_> {
    fn look_now_and_then(&mut self) -> Result<()> {
        if self.last.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.last = Instant::now();
        self.look()
    }

    fn look(&self) -> Result<()> {
        if size(self.into) <= self.most {
            return Ok(());
        }
        let (shown, mib) = (self.package.display(), self.most >> 20);
        Err(Error::usage(format!("{shown} has more than {mib} MiB of what is kept of a package, which no kernel has")))
    }
}

/// Puts the files that are kept into `into`, `most` bytes of them.
fn extract(path: &Path, into: &Path, most: u64) -> Result<()> {
    let mut watch = Watch { package: path, into, most, last: Instant::now() };
    let mut magic = [0; 8];
    let is_debian = File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"!<arch>\n";
    let mut unpacker = if is_debian { Command::new("tar") } else { Command::new("bsdtar") };
    // Owners and permissions are those of another machine.
    unpacker.args(["--no-same-owner", "--no-same-permissions", "-x", "-C"]).arg(into);
    for pattern in LEFT_OUT {
        unpacker.args(["--exclude", pattern]);
    }
    if is_debian {
        extract_debian(path, unpacker.args(["-f", "-"]), into, &mut watch)?;
        return watch.look();
    }
    unpacker.arg("-f").arg(path);
    let finished = process::finish_watched(&mut unpacker, Stdio::null(), || watch.look_now_and_then())?;
    let ended = finished.status.success().then_some(()).ok_or_else(|| finished.first_complaint());
    ended.map_err(|why| failed(path, &why, into))?;
    watch.look()
}

/// Extracts a Debian package: dpkg-deb decompresses, and tar picks out of it.
fn extract_debian(path: &Path, unpacker: &mut Command, into: &Path, watch: &mut Watch) -> Result<()> {
    let (reader, writer) = std::io::pipe().machine(|| "cannot make a pipe".into())?;
    let mut said = tempfile::tempfile().machine(|| "cannot write a temporary file".into())?;
    let errors = said.try_clone().machine(|| "cannot write a temporary file".into())?;
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(path).stdin(Stdio::null()).stdout(writer).stderr(errors);
    let reading = Child::spawn(&mut command);
    // It holds the pipe open, which then would never end.
    drop(command);
    let mut reading = reading?;
    let finished = process::finish_watched(unpacker, reader.into(), || watch.look_now_and_then())?;
    if !finished.status.success() && finished.first_complaint().contains("No space left") {
        return Err(failed(path, &finished.first_complaint(), into));
    }
    if !reading.wait(|| Ok(()))?.success() {
        let mut text = String::new();
        let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
        return Err(failed(path, text.trim().lines().next_back().unwrap_or("dpkg-deb failed"), into));
    }
    let ended = finished.status.success().then_some(()).ok_or_else(|| finished.first_complaint());
    ended.map_err(|why| failed(path, &why, into))
}

fn failed(path: &Path, why: &str, into: &Path) -> Error {
    if why.contains("No space left") {
        return runner::disk_full(&format!("unpacking {}", path.display()), into);
    }
    Error::usage(format!("{} cannot be unpacked, so it is damaged or no package after all: {why}", path.display()))
}

/// Finds the kernel among the files in `home` and writes down where it is.
fn describe(path: &Path, home: &Path) -> Result<()> {
    let found = IMAGES.iter().flat_map(|pattern| {
        let pattern = home.join(pattern);
        glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten()
    });
    // Links of a package lead to any file of the machine that they are followed on.
    let inside = home.canonicalize().machine(|| format!("cannot find {}", home.display()))?;
    let is_inside = |path: &Path| path.canonicalize().is_ok_and(|real| real.starts_with(&inside));
    let kernel = found.filter(|file| file.is_file() && is_inside(file)).find_map(|file| match identify::kind(&file) {
        Ok(Kind::Image { release }) => Some((file, release)),
        _ => None,
    });
    let Some((file, release)) = kernel else {
        return Err(Error::usage(format!(
            "{} has no kernel image for x86-64 in it; a package that has one is called linux-image-VERSION (Debian), \
             kernel-core-VERSION (Fedora) or kernel-VERSION",
            path.display()
        )));
    };
    let below = |p: &Path| p.strip_prefix(home).expect("it was found below").to_owned();
    let modules = ["lib/modules", "usr/lib/modules"].map(|dir| home.join(dir).join(&release));
    let meta = Meta {
        image: below(&file),
        image_sha256: identify::sha256(&file)?,
        release,
        modules: modules.iter().find(|dir| dir.is_dir() && is_inside(dir)).map(|dir| below(dir)),
    };
    let text = serde_json::to_vec_pretty(&meta).expect("strings are always JSON");
    fs::write(home.join(META), text).machine(|| format!("cannot write {}", home.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::kernel::image::identify::tests::bzimage;

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
        let unpacked = unpack(&deb, &sha256, &cache, &Ui::new()).unwrap();
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
        assert!(unpack(&deb, &sha256, &cache, &Ui::new()).unwrap().release == "6.1-x");
        // What was removed by hand is unpacked anew.
        fs::remove_file(&unpacked.image).unwrap();
        assert!(find(&sha256, &cache).is_none());
        assert!(unpack(&deb, &sha256, &cache, &Ui::new()).unwrap().image.is_file());
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
    fn rpm_package_is_unpacked_as_well() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        // Fedora has the image beside its modules.
        let files: [(&str, &[u8]); 3] = [
            ("lib/modules/6.1-x/vmlinuz", &bzimage("6.1-x")),
            ("lib/modules/6.1-x/kernel/fs/nfs.ko", b"module"),
            ("lib/modules/6.1-x/kernel/drivers/gpu/huge.ko", b"module"),
        ];
        let unpacked = unpack(&rpm(dir.path(), &files), &"e".repeat(64), &cache, &Ui::new()).unwrap();
        assert_eq!(unpacked.release, "6.1-x");
        let modules = unpacked.modules.unwrap();
        assert_eq!(fs::read(modules.join("kernel/fs/nfs.ko")).unwrap(), b"module");
        assert!(!modules.join("kernel/drivers/gpu/huge.ko").exists());
        let damaged = rpm(dir.path(), &files);
        let whole = fs::read(&damaged).unwrap();
        fs::write(&damaged, &whole[..whole.len() / 2]).unwrap();
        let error = unpack(&damaged, &"f".repeat(64), &cache, &Ui::new()).unwrap_err();
        assert!(error.exit() == Exit::Usage && error.to_string().contains("cannot be unpacked"), "{error}");
    }

    #[test]
    fn package_whose_release_leads_elsewhere_has_no_kernel() {
        for release in ["/tmp", "../..", "../../../../tmp"] {
            let dir = tempfile::tempdir().unwrap();
            let cache = Cache::at(dir.path().join("cache")).unwrap();
            let deb = package(dir.path(), &[("boot/vmlinuz-x", &bzimage(release))]);
            let error = unpack(&deb, &"c".repeat(64), &cache, &Ui::new()).unwrap_err();
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
        let unpacked = unpack(&deb, &"d".repeat(64), &cache, &Ui::new()).unwrap();
        assert_eq!((unpacked.release.as_str(), unpacked.modules), ("6.1-x", None));
    }

    #[test]
    fn package_without_a_kernel_and_a_damaged_one_are_usage_errors_and_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let deb = package(dir.path(), &[("usr/share/doc/readme", b"text")]);
        let error = unpack(&deb, &"a".repeat(64), &cache, &Ui::new()).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("has no kernel image for x86-64 in it; a package that has one"), "{error}");
        let whole = fs::read(&deb).unwrap();
        fs::write(&deb, &whole[..whole.len() / 2]).unwrap();
        let error = unpack(&deb, &"b".repeat(64), &cache, &Ui::new()).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage, "{error}");
        assert!(error.to_string().contains("cannot be unpacked"), "{error}");
        assert_eq!(fs::read_dir(cache.root().join("packages")).unwrap().count(), 0);
    }
}
