//! Knows which packages knfsd's programs come in, and keeps them unpacked in the cache; nothing is installed.

use crate::apt::{Apt, Package};
use crate::error::{Context, Error, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::process;
use crate::os::progress::Ui;
use crate::vm::initramfs::{Archive, Libraries};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Returns the distribution and its release, as a file name: after an upgrade the C library is another one.
fn machine() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("unknown").trim_matches('"');
    let name = format!("{}-{}", field("ID="), field("VERSION_CODENAME="));
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_")
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

/// Fetches and unpacks into `new`: first the programs, then, as long as this machine lacks libraries, their packages.
fn fetch(apt: &Apt, new: &Path, ui: &Ui) -> Result<()> {
    let (root, debs) = (new.join("root"), new.join("debs"));
    for dir in [&root, &debs] {
        fs::create_dir_all(dir).machine(|| format!("cannot make {}", dir.display()))?;
    }
    let mut closure: BTreeMap<String, Package> =
        apt.closure(&PACKAGES)?.into_iter().map(|p| (p.name.clone(), p)).collect();
    let mut wanted: Vec<String> = PACKAGES.map(str::to_owned).to_vec();
    let mut about = About { version: String::new(), packages: Vec::new() };
    while !wanted.is_empty() {
        unpack(apt, &wanted, &debs, &root, ui)?;
        for package in wanted.iter().filter_map(|name| closure.remove(name)) {
            if package.name == PACKAGES[0] {
                about.version = package.version.clone();
            }
            about.packages.push(format!("{} {}", package.name, package.version));
        }
        wanted = choose(&missing(&root)?, &closure)?;
    }
    fs::remove_dir_all(&debs).machine(|| format!("cannot remove {}", debs.display()))?;
    let text = serde_json::to_string_pretty(&about).machine(|| "cannot describe nfs-utils".into())?;
    let path = new.join("about.json");
    fs::write(&path, text).machine(|| format!("cannot write {}", path.display()))
}

fn unpack(apt: &Apt, packages: &[String], debs: &Path, root: &Path, ui: &Ui) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    for deb in apt.download(&names, debs, ui)? {
        process::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(root))?;
    }
    Ok(())
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
    let multiarch = ["usr/lib", "lib"].iter().flat_map(|lib| {
        let dirs = fs::read_dir(root.join(lib)).into_iter().flatten().flatten();
        let inner = dirs.map(|d| d.path()).filter(|d| d.to_string_lossy().ends_with("-linux-gnu"));
        inner.chain([root.join(lib)]).collect::<Vec<_>>()
    });
    Libraries::detect().with_first(multiarch)
}

fn program(root: &Path, name: &str) -> Result<PathBuf> {
    let places = ["usr/sbin", "sbin", "usr/bin"].map(|dir| root.join(dir).join(name));
    places.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        Error::machine(format!("the packages {} have no program {name}; report this", PACKAGES.join(", ")))
    })
}

/// Returns the packages of the dependency closure to fetch next: those named after a missing library as Debian's policy wants
/// it, or, where none is, all libraries that are left.
fn choose(missing: &BTreeSet<String>, closure: &BTreeMap<String, Package>) -> Result<Vec<String>> {
    let mut chosen = BTreeSet::new();
    for library in missing {
        let named = closure.keys().find(|p| package_names(library).iter().any(|n| n == p.trim_end_matches("t64")));
        match named {
            Some(package) => drop(chosen.insert(package.clone())),
            None => chosen.extend(closure.keys().filter(|p| p.starts_with("lib")).cloned()),
        }
    }
    match (missing.first(), chosen.is_empty()) {
        (Some(library), true) => Err(Error::machine(format!(
            "knfsd's programs need the shared library {library}, which no package they depend on has; install it"
        ))),
        _ => Ok(chosen.into_iter().collect()),
    }
}

/// Returns the packages that a library may be in: `libtirpc.so.3` is in libtirpc3, `libkrb5.so.3` in libkrb5-3,
/// `libxml2.so.2` in libxml2.
fn package_names(library: &str) -> Vec<String> {
    let Some((base, version)) = library.split_once(".so.") else { return Vec::new() };
    let base = base.to_ascii_lowercase().replace('_', "-");
    vec![format!("{base}{version}"), format!("{base}-{version}"), base]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closure(names: &[&str]) -> BTreeMap<String, Package> {
        names.iter().map(|n| (n.to_string(), Package::named(n))).collect()
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| n.to_string()).collect()
    }

    #[test]
    fn libraries_lead_to_their_packages() {
        let all = closure(&["libtirpc3t64", "libkrb5-3", "libcom-err2", "libwrap0", "libxml2", "python3"]);
        let missing = set(&["libtirpc.so.3", "libkrb5.so.3", "libcom_err.so.2", "libxml2.so.2"]);
        assert_eq!(choose(&missing, &all).unwrap(), ["libcom-err2", "libkrb5-3", "libtirpc3t64", "libxml2"]);
    }

    #[test]
    fn oddly_named_library_is_looked_for_in_all_that_are_left() {
        let all = closure(&["libevent-core", "libwrap0", "python3"]);
        assert_eq!(choose(&set(&["libodd.so.7"]), &all).unwrap(), ["libevent-core", "libwrap0"]);
        let error = choose(&set(&["libodd.so.7"]), &closure(&["python3"])).unwrap_err();
        assert!(error.to_string().contains("libodd.so.7"), "{error}");
        assert!(choose(&set(&[]), &all).unwrap().is_empty());
    }

    #[test]
    fn package_that_is_half_there_is_not_taken_for_the_whole() {
        let dir = tempfile::tempdir().unwrap();
        assert!(NfsUtils::open(dir.path()).is_none());
        fs::write(dir.path().join("about.json"), r#"{"version": "1", "packages": []}"#).unwrap();
        assert!(NfsUtils::open(dir.path()).is_none());
    }
}
