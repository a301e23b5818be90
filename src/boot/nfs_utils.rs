//! Knows which packages knfsd's programs come in, and keeps them unpacked in the cache; nothing is installed.

use super::packages::{self, machine};
use crate::apt::Apt;
use crate::error::{Context, Error, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use crate::vm::initramfs::{Archive, Libraries};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is always fetched.
const PACKAGES: [&str; 2] = ["nfs-kernel-server", "rpcbind"];

/// The programs that run in the guest.
const PROGRAMS: [&str; 4] = ["rpcbind", "exportfs", "rpc.mountd", "rpc.nfsd"];

/// Tables that the programs read, with only what they look up: reading Debian's own takes time, and a transport that
/// the guest's kernel does not have makes them complain. rpcbind gives up root for the user _rpc, and nothing may be
/// looked up in the DNS.
const TABLES: [(&str, &str); 7] = [
    (
        "/etc/netconfig",
        "tcp tpi_cots_ord v inet tcp - -
local tpi_cots_ord - loopback - - -
",
    ),
    (
        "/etc/protocols",
        "tcp 6 TCP
udp 17 UDP
",
    ),
    (
        "/etc/services",
        "sunrpc 111/tcp portmapper
nfs 2049/tcp
",
    ),
    (
        "/etc/passwd",
        "root:x:0:0::/:
_rpc:x:1:65534::/run/rpcbind:
nobody:x:65534:65534::/:
",
    ),
    (
        "/etc/group",
        "root:x:0:
nogroup:x:65534:
",
    ),
    (
        "/etc/hosts",
        "127.0.0.1 localhost
",
    ),
    (
        "/etc/nsswitch.conf",
        "passwd: files
group: files
hosts: files
services: files
protocols: files
",
    ),
];

/// knfsd's programs, unpacked.
#[derive(Clone, Debug)]
pub struct NfsUtils {
    root: PathBuf,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct About {
    version: String,
    packages: Vec<String>,
}

/// Fetches nfs-utils of this machine's own suite, so that its programs run with this machine's C library. Once in the
/// cache it is used without a network.
pub fn packages(cache: &Cache, ui: &Ui) -> Result<NfsUtils> {
    let home = cache.dir("nfs-utils")?.join(machine());
    if let Some(ready) = NfsUtils::open(&home) {
        return Ok(ready);
    }
    let _lock = cache.lock("nfs-utils", ui)?;
    // Another dirleak may have fetched it while we waited.
    if let Some(ready) = NfsUtils::open(&home) {
        return Ok(ready);
    }
    let apt = Apt::open(cache, None)?;
    apt.update(ui)?;
    install_atomically(&home, |new| fetch(&apt, new, ui))?;
    NfsUtils::open(&home).ok_or_else(|| Error::machine(format!("{} is not complete", home.display())))
}

/// Returns what is in the cache; nothing is fetched.
pub fn cached(cache: &Cache) -> Option<NfsUtils> {
    NfsUtils::open(&cache.root().join("nfs-utils").join(machine()))
}

/// Fetches and unpacks into `new`: the programs, and the libraries that this machine lacks.
fn fetch(apt: &Apt, new: &Path, ui: &Ui) -> Result<()> {
    let fetched = packages::fetch(apt, &PACKAGES, &new.join("root"), missing, ui)?;
    let version = fetched.iter().find(|package| package.name == PACKAGES[0]).map(|package| package.version.clone());
    let packages = fetched.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    let about = About { version: version.unwrap_or_default(), packages };
    let text = serde_json::to_string_pretty(&about).machine(|| "cannot describe nfs-utils".into())?;
    let path = new.join("about.json");
    fs::write(&path, text).machine(|| format!("cannot write {}", path.display()))
}

impl NfsUtils {
    /// Returns what is unpacked in `home`, if it is whole and all its libraries are still there.
    fn open(home: &Path) -> Option<Self> {
        // What was put in place whole describes itself.
        let _: About = serde_json::from_str(&fs::read_to_string(home.join("about.json")).ok()?).ok()?;
        let unpacked = Self { root: home.join("root") };
        unpacked.missing().ok()?.is_empty().then_some(unpacked)
    }

    /// Puts the programs, their libraries and what they read into a guest's file system.
    pub fn add_to(&self, archive: &mut Archive) -> Result<()> {
        let libraries = libraries(&self.root);
        for name in PROGRAMS {
            archive.program(&program(&self.root, name)?, Path::new("/usr/sbin").join(name), &libraries)?;
        }
        for (path, text) in TABLES {
            archive.file(path, 0o644, text);
        }
        for dir in ["/run/rpcbind", "/var/lib/nfs/v4recovery", "/proc", "/tmp"] {
            archive.dir(dir, 0o755);
        }
        archive.symlink("/var/run", "/run").file("/var/lib/nfs/etab", 0o644, "").file("/var/lib/nfs/rmtab", 0o644, "");
        Ok(())
    }

    fn missing(&self) -> Result<BTreeSet<String>> {
        missing(&self.root)
    }
}

/// Returns the libraries that neither the packages nor this machine have.
fn missing(root: &Path) -> Result<BTreeSet<String>> {
    let libraries = libraries(root);
    let mut names = BTreeSet::new();
    for name in PROGRAMS {
        names.extend(libraries.needs(&program(root, name)?)?.missing.into_keys());
    }
    Ok(names)
}

fn libraries(root: &Path) -> Libraries {
    Libraries::detect().with_first(packages::library_dirs(root))
}

fn program(root: &Path, name: &str) -> Result<PathBuf> {
    let places = ["usr/sbin", "sbin", "usr/bin"].map(|dir| root.join(dir).join(name));
    places.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::machine(format!("the packages {} have no program {name}; report this", PACKAGES.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_that_is_half_there_is_not_taken_for_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert!(NfsUtils::open(dir.path()).is_none());
        fs::write(dir.path().join("about.json"), r#"{"version": "1", "packages": []}"#).unwrap();
        assert!(NfsUtils::open(dir.path()).is_none());
    }
}
