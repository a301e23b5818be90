//! Debian packages unpacked in the cache, with the libraries that this machine lacks for their programs; nothing is installed.

use crate::apt::{Apt, Package};
use crate::error::{Context, Error, Result};
use crate::kernel::image::identify::hex;
use crate::os::cache::{Cache, install_atomically};
use crate::os::process;
use crate::os::progress::Ui;
use crate::vm::initramfs::{Archive, Libraries};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where packages have their programs.
const PROGRAMS: [&str; 5] = ["usr/bin", "usr/sbin", "bin", "sbin", "usr/games"];
/// What no program reads, below `usr/share`.
const NOT_READ: [&str; 6] = ["doc", "man", "locale", "info", "lintian", "bash-completion"];

/// Returns a directory with these packages unpacked, fetched from this machine's own suite, so that their programs run with this machine's C
/// library. Once in the cache it is used without a network.
pub fn unpacked(names: &[String], cache: &Cache, ui: &Ui) -> Result<PathBuf> {
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    if let Some(odd) = sorted.iter().find(|name| !is_name(name)) {
        return Err(Error::usage(format!("{odd:?} is no name of a Debian package")));
    }
    let key = hex(&Sha256::digest(sorted.join(" "))[..8]);
    let home = cache.dir("guest-packages")?.join(format!("{}-{key}", machine()));
    let _lock = cache.lock("guest-packages", ui)?;
    if !home.is_dir() {
        let apt = Apt::open(cache, None)?;
        apt.update(ui)?;
        if let Some(unknown) =
            sorted.iter().find_map(|name| apt.newest(name).map(|v| v.is_none().then_some(name)).transpose())
        {
            return Err(Error::usage(format!("Debian {} has no package {}", apt.suite(), unknown?)));
        }
        install_atomically(&home, |new| fetch(&apt, &sorted, new, missing, ui).map(drop))?;
    }
    Ok(home)
}

/// Returns whether it may be a package's name (Debian policy, 5.6.1), so that it is no option of apt's.
fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    name.len() > 1 && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(allowed)
}

/// Returns the distribution and its release, as a file name: after an upgrade the C library is another one.
pub fn machine() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("unknown").trim_matches('"');
    let name = format!("{}-{}", field("ID="), field("VERSION_CODENAME="));
    name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_")
}

/// Fetches packages and unpacks them into `root`: first those named, then, as long as `missing` finds libraries that this machine lacks, those
/// that they are in. Gives all of them.
pub fn fetch(
    apt: &Apt,
    names: &[&str],
    root: &Path,
    missing: impl Fn(&Path) -> Result<BTreeSet<String>>,
    ui: &Ui,
) -> Result<Vec<Package>> {
    let debs = root.with_extension("debs");
    for dir in [root, &debs] {
        fs::create_dir_all(dir).machine(|| format!("cannot make {}", dir.display()))?;
    }
    let mut closure: BTreeMap<String, Package> =
        apt.closure(names)?.into_iter().map(|package| (package.name.clone(), package)).collect();
    let mut wanted: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut fetched = Vec::new();
    while !wanted.is_empty() {
        unpack(apt, &wanted, &debs, root, ui)?;
        fetched.extend(wanted.iter().filter_map(|name| closure.remove(name)));
        wanted = choose(&missing(root)?, &closure)?;
    }
    fs::remove_dir_all(&debs).machine(|| format!("cannot remove {}", debs.display()))?;
    Ok(fetched)
}

fn unpack(apt: &Apt, packages: &[String], debs: &Path, root: &Path, ui: &Ui) -> Result<()> {
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    for deb in apt.download(&names, debs, ui)? {
        process::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(root))?;
    }
    Ok(())
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
            "the programs of these packages need the shared library {library}, which no package they depend on has; install it"
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

/// Returns the directories of libraries in a root of unpacked packages.
pub fn library_dirs(root: &Path) -> Vec<PathBuf> {
    let dirs = ["usr/lib", "lib"].iter().flat_map(|lib| {
        let dirs = fs::read_dir(root.join(lib)).into_iter().flatten().flatten();
        let inner = dirs.map(|d| d.path()).filter(|d| d.to_string_lossy().ends_with("-linux-gnu"));
        inner.chain([root.join(lib)]).collect::<Vec<_>>()
    });
    dirs.collect()
}

/// Returns the ELF files among the programs of a root of unpacked packages.
fn programs(root: &Path) -> Vec<PathBuf> {
    let files = PROGRAMS.iter().flat_map(|dir| fs::read_dir(root.join(dir)).into_iter().flatten().flatten());
    let is_elf = |path: &PathBuf| {
        let mut magic = [0; 4];
        path.is_file()
            && fs::File::open(path).is_ok_and(|mut file| std::io::Read::read_exact(&mut file, &mut magic).is_ok())
            && magic == *b"\x7fELF"
    };
    files.map(|entry| entry.path()).filter(is_elf).collect()
}

/// Returns the libraries that neither the packages nor this machine have.
fn missing(root: &Path) -> Result<BTreeSet<String>> {
    let libraries = Libraries::detect().with_first(library_dirs(root));
    let mut names = BTreeSet::new();
    for program in programs(root) {
        names.extend(libraries.needs(&program)?.missing.into_keys());
    }
    Ok(names)
}

/// Puts all that programs read of a root of unpacked packages into a guest's file system, and the libraries of the programs.
pub fn add_to(root: &Path, archive: &mut Archive, libraries: &Libraries) -> Result<()> {
    add_tree(root, Path::new("/"), archive)?;
    for program in programs(root) {
        let inner = program.strip_prefix(root).expect("it is found below the root");
        archive.program(&program, Path::new("/").join(inner), libraries)?;
    }
    Ok(())
}

fn add_tree(dir: &Path, guest: &Path, archive: &mut Archive) -> Result<()> {
    let cannot = || format!("cannot read {}", dir.display());
    for entry in fs::read_dir(dir).machine(cannot)? {
        let entry = entry.machine(cannot)?;
        let (path, guest) = (entry.path(), guest.join(entry.file_name()));
        let kind = entry.file_type().machine(cannot)?;
        if kind.is_symlink() {
            let target = fs::read_link(&path).machine(cannot)?;
            archive.symlink(&guest, target.to_string_lossy());
        } else if kind.is_dir() {
            let is_read = guest.parent() != Some(Path::new("/usr/share"))
                || !NOT_READ.iter().any(|name| entry.file_name().to_str() == Some(name));
            if is_read {
                add_tree(&path, &guest, archive)?;
            }
        } else if kind.is_file() {
            let bytes = fs::read(&path).machine(|| format!("cannot read {}", path.display()))?;
            archive.file(&guest, 0o755, bytes);
        }
    }
    Ok(())
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
    fn option_of_apt_is_no_package() {
        assert!(is_name("stress-ng") && is_name("g++-12") && is_name("libc6"));
        assert!(!is_name("-oDir=/x") && !is_name("a") && !is_name("Acl") && !is_name("acl/sid") && !is_name(""));
    }
}
