//! Knows how to make a guest's first root file system: a cpio archive, written without root.

mod elf;
mod libraries;

pub use libraries::Libraries;

use crate::error::{Context, Error, Result};
use crate::os::cache::install_atomically;
use cpio::newc::{Builder, ModeFileType, trailer};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Component, Path, PathBuf};

/// Character devices that programs expect before anything is mounted: name, permissions, major, minor. Without
/// `urandom` Rust's standard library panics on old kernels.
const DEVICES: [(&str, u32, u32, u32); 10] = [
    ("console", 0o600, 5, 1),
    ("full", 0o666, 1, 7),
    ("kmsg", 0o600, 1, 11),
    ("null", 0o666, 1, 3),
    ("random", 0o666, 1, 8),
    ("tty", 0o666, 5, 0),
    ("ttyS0", 0o600, 4, 64),
    ("ttyS1", 0o600, 4, 65),
    ("urandom", 0o666, 1, 9),
    ("zero", 0o666, 1, 5),
];

enum Node {
    Dir,
    File(Vec<u8>),
    Symlink(String),
    Device { major: u32, minor: u32 },
}

/// A root file system in the making. Parent directories come by themselves; adding a path again replaces it.
#[derive(Default)]
pub struct Archive {
    /// By absolute path in the guest, so that a directory comes before what is in it.
    nodes: BTreeMap<PathBuf, (u32, Node)>,
}

impl Archive {
    /// Makes an archive with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory.
    pub fn dir(&mut self, path: impl AsRef<Path>, mode: u32) -> &mut Self {
        self.add(path.as_ref(), mode, Node::Dir)
    }

    /// Adds a file.
    pub fn file(&mut self, path: impl AsRef<Path>, mode: u32, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.add(path.as_ref(), mode, Node::File(bytes.into()))
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: impl AsRef<Path>, target: impl Into<String>) -> &mut Self {
        self.add(path.as_ref(), 0o777, Node::Symlink(target.into()))
    }

    /// Adds a character device.
    pub fn node(&mut self, path: impl AsRef<Path>, mode: u32, major: u32, minor: u32) -> &mut Self {
        self.add(path.as_ref(), mode, Node::Device { major, minor })
    }

    /// Adds the devices that programs expect in `/dev`.
    pub fn devices(&mut self) -> &mut Self {
        for (name, mode, major, minor) in DEVICES {
            self.node(Path::new("/dev").join(name), mode, major, minor);
        }
        self
    }

    /// Adds the program `host` as `guest`, with its interpreter and all shared libraries.
    pub fn program(&mut self, host: &Path, guest: impl AsRef<Path>, libraries: &Libraries) -> Result<&mut Self> {
        let needs = libraries.needs(host)?;
        if let Some((name, by)) = needs.missing.first_key_value() {
            let by = by.display();
            return Err(Error::machine(format!(
                "{by} needs the shared library {name}, which this machine does not have; install the package that holds it"
            )));
        }
        if let Some(interpreter) = &needs.interpreter {
            self.interpreter(interpreter)?;
        }
        for (name, file) in &needs.libraries {
            self.host_file(file, &needs.library_dir.join(name))?;
        }
        self.host_file(host, guest.as_ref())?;
        Ok(self)
    }

    /// Adds a library that the program `user` loads while it runs, and the libraries that it needs and this machine has, where that program finds
    /// them.
    pub fn shared_object(&mut self, host: &Path, user: &Path, libraries: &Libraries) -> Result<&mut Self> {
        let needs = libraries.needs_of_library(host, user)?;
        for (name, file) in &needs.libraries {
            self.host_file(file, &needs.library_dir.join(name))?;
        }
        self.host_file(host, host)?;
        Ok(self)
    }

    /// Writes the archive to `path`, whole or not at all, and gives its size in bytes.
    pub fn write(&self, path: &Path) -> Result<u64> {
        install_atomically(path, |new| {
            let what = || format!("cannot write {}", path.display());
            let mut out = BufWriter::with_capacity(1 << 20, File::create(new).machine(what)?);
            self.write_to(&mut out).machine(what)?;
            let file = out.into_inner().machine(what)?;
            Ok(file.metadata().machine(what)?.len())
        })
    }

    fn write_to<W: Write>(&self, mut out: W) -> std::io::Result<()> {
        for (number, (path, (permissions, node))) in self.nodes.iter().enumerate() {
            let name = path.strip_prefix("/").unwrap_or(path).to_string_lossy();
            let entry = Builder::new(&name).ino(number as u32 + 1).mode(*permissions);
            let (entry, bytes) = match node {
                Node::Dir => (entry.set_mode_file_type(ModeFileType::Directory).nlink(2), &[][..]),
                Node::File(bytes) => (entry.set_mode_file_type(ModeFileType::Regular), &bytes[..]),
                Node::Symlink(target) => (entry.set_mode_file_type(ModeFileType::Symlink), target.as_bytes()),
                Node::Device { major, minor } => {
                    (entry.set_mode_file_type(ModeFileType::Char).rdev_major(*major).rdev_minor(*minor), &[][..])
                }
            };
            let size = u32::try_from(bytes.len())
                .map_err(|_| std::io::Error::other(format!("{name} is larger than 4 GiB")))?;
            let mut writer = entry.write(&mut out, size);
            writer.write_all(bytes)?;
            writer.finish()?;
        }
        trailer(&mut out)?;
        out.flush()
    }

    /// Puts the interpreter where it really lies, among the libraries, and where programs look for it there is a link.
    fn interpreter(&mut self, named: &Path) -> Result<()> {
        let real = fs::canonicalize(named).machine(|| format!("cannot read {}", named.display()))?;
        self.host_file(&real, &real)?;
        if real != named {
            self.symlink(named, real.to_string_lossy());
        }
        Ok(())
    }

    fn host_file(&mut self, host: &Path, guest: &Path) -> Result<()> {
        let bytes = fs::read(host).machine(|| format!("cannot read {}", host.display()))?;
        self.file(guest, 0o755, bytes);
        Ok(())
    }

    fn add(&mut self, path: &Path, mode: u32, node: Node) -> &mut Self {
        let path = Path::new("/").join(path);
        debug_assert!(path.components().all(|c| c != Component::ParentDir), "{} leads upwards", path.display());
        for parent in path.ancestors().skip(1).filter(|p| *p != Path::new("/")) {
            self.nodes.entry(parent.to_owned()).or_insert((0o755, Node::Dir));
        }
        self.nodes.insert(path, (mode, node));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    struct Seen {
        name: String,
        mode: u32,
        device: (u32, u32),
        bytes: Vec<u8>,
    }

    fn read_back(archive: &Archive) -> Vec<Seen> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("initramfs");
        let size = archive.write(&path).unwrap();
        let mut rest: &[u8] = &fs::read(&path).unwrap();
        assert_eq!(size as usize, rest.len());
        let mut seen = Vec::new();
        loop {
            let reader = Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return seen;
            }
            let mut bytes = Vec::new();
            rest = reader.to_writer(&mut bytes).unwrap();
            let device = (entry.rdev_major(), entry.rdev_minor());
            seen.push(Seen { name: entry.name().to_owned(), mode: entry.mode(), device, bytes });
        }
    }

    #[test]
    fn files_that_are_added_are_read_back_parents_first() {
        let mut archive = Archive::new();
        archive.file("/etc/exports", 0o644, "text").symlink("/etc/mtab", "/proc/mounts").dir("/tmp", 0o1777).devices();
        let seen = read_back(&archive);
        let find = |name: &str| seen.iter().position(|s| s.name == name).unwrap();
        assert!(find("etc") < find("etc/exports") && find("dev") < find("dev/ttyS1"));
        assert_eq!(seen[find("etc")].mode, 0o040755);
        assert_eq!(seen[find("tmp")].mode, 0o041777);
        assert_eq!((seen[find("etc/exports")].mode, &seen[find("etc/exports")].bytes[..]), (0o100644, &b"text"[..]));
        assert_eq!((seen[find("etc/mtab")].mode, &seen[find("etc/mtab")].bytes[..]), (0o120777, &b"/proc/mounts"[..]));
        assert_eq!((seen[find("dev/ttyS1")].mode, seen[find("dev/ttyS1")].device), (0o020600, (4, 65)));
        assert_eq!((seen[find("dev/urandom")].mode, seen[find("dev/urandom")].device), (0o020666, (1, 9)));
    }

    #[test]
    fn program_comes_with_its_libraries() {
        let me = std::env::current_exe().unwrap();
        let mut archive = Archive::new();
        archive.program(&me, "/init", &Libraries::detect()).unwrap();
        let seen = read_back(&archive);
        assert!(seen.iter().any(|s| s.name == "init" && s.mode == 0o100755 && s.bytes.starts_with(b"\x7fELF")));
        let libc = seen.iter().filter(|s| s.name.contains("libc.so") && s.bytes.starts_with(b"\x7fELF")).count();
        let statically_linked = seen.iter().all(|s| !s.name.contains(".so"));
        assert!(libc == 1 || statically_linked);
    }
}
