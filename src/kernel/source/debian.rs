//! What a kernel is built from: the source package of a series, which is fetched here, or a tree of the user's.

use super::catalog::Series;
use super::snapshot::Snapshot;
use crate::apt::Apt;
use crate::error::{Context, Error, Exit, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use crate::probe::version::Version;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// The sources of a kernel.
#[derive(Clone, Debug)]
pub enum Source {
    /// A series' package.
    Package { series: Series, package: Package },
    /// A tree of the user's.
    Tree(Snapshot),
}

impl Source {
    /// Returns the name of its directories in the cache.
    pub fn name(&self) -> &str {
        match self {
            Self::Package { series, .. } => &series.name,
            Self::Tree(snapshot) => &snapshot.name,
        }
    }

    /// Returns two words that no other sources have.
    pub fn identity(&self) -> [&str; 2] {
        match self {
            Self::Package { package, .. } => [&package.package, &package.version],
            Self::Tree(snapshot) => ["tree", &snapshot.tree],
        }
    }

    /// Returns the version of the package, or the commit.
    pub fn version(&self) -> &str {
        match self {
            Self::Package { package, .. } => &package.version,
            Self::Tree(snapshot) => &snapshot.described,
        }
    }

    /// Returns which Linux it is.
    pub fn linux(&self) -> Result<Version> {
        match self {
            Self::Package { series, .. } => series.version(),
            Self::Tree(snapshot) => Ok(snapshot.version),
        }
    }

    /// Returns about how many steps a build from scratch takes.
    pub fn steps(&self) -> u64 {
        match self {
            Self::Package { series, .. } => series.steps,
            Self::Tree(_) => TREE_STEPS,
        }
    }
}

/// What it is, for sentences: `linux-source-6.1 6.1.192-2`, `linux-0123abcd 0123456789ab`.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package { package, .. } => write!(f, "{} {}", package.package, package.version),
            Self::Tree(snapshot) => write!(f, "{} {}", snapshot.name, snapshot.described),
        }
    }
}

/// As many as a recent series takes.
const TREE_STEPS: u64 = 1700;

/// A source package in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Debian's name, for instance `linux-source-6.1`.
    pub package: String,
    /// Debian's version, for instance `6.1.192-2`.
    pub version: String,
    /// The package file, checked against the archive's signed index when it was fetched.
    pub deb: PathBuf,
}

/// What `current.json` beside the package file says about it.
#[derive(Deserialize, Serialize)]
struct Current {
    package: String,
    version: String,
    file: String,
}

const CURRENT: &str = "current.json";

/// Returns the version in the cache; nothing is fetched.
pub fn cached(series: &Series, cache: &Cache) -> Option<Package> {
    let dir = home(series, cache);
    let current: Current = serde_json::from_slice(&fs::read(dir.join(CURRENT)).ok()?).ok()?;
    let deb = dir.join(current.file);
    let matches = current.package == series.package && deb.is_file();
    matches.then_some(Package { package: current.package, version: current.version, deb })
}

/// Finds the newest version of the suite; also gives how many bytes were fetched for it. Where the archive cannot be
/// reached, it is the version in the cache, with a line that says so.
pub fn newest(series: &Series, cache: &Cache, ui: &Ui) -> Result<(Package, u64)> {
    let _lock = cache.lock(&format!("source-{}", series.name), ui)?;
    let at_hand = cached(series, cache);
    match (fetch(series, cache, ui, at_hand.as_ref()), at_hand) {
        (Err(e), Some(source)) if e.exit() == Exit::Machine => {
            ui.warn(&format!("{e}; going on with {} {} from the cache", source.package, source.version));
            Ok((source, 0))
        }
        (result, _) => result,
    }
}

fn fetch(series: &Series, cache: &Cache, ui: &Ui, at_hand: Option<&Package>) -> Result<(Package, u64)> {
    let package = &series.package;
    let apt = Apt::open(cache, Some(&series.suite))?;
    apt.update(ui)?;
    let no_package = || Error::machine(format!("Debian {} has no package {package}", series.suite));
    let version = apt.newest(package)?.ok_or_else(no_package)?;
    if let Some(source) = at_hand.filter(|s| s.version == version) {
        return Ok((source.clone(), apt.bytes()));
    }
    let dir = home(series, cache);
    let deb = apt.download(&[package], &dir, ui)?.pop().ok_or_else(no_package)?;
    let source = Package { package: package.clone(), version, deb };
    remember(&dir, &source)?;
    Ok((source, apt.bytes()))
}

/// Makes `source` the current one of `dir` and removes the older ones.
fn remember(dir: &Path, source: &Package) -> Result<()> {
    let file = source.deb.file_name().and_then(|n| n.to_str()).expect("apt names files in ASCII").to_owned();
    let current = Current { package: source.package.clone(), version: source.version.clone(), file };
    let text = serde_json::to_vec_pretty(&current).expect("strings are always JSON");
    install_atomically(&dir.join(CURRENT), |new| {
        fs::write(new, text).machine(|| format!("cannot write {}", new.display()))
    })?;
    for entry in fs::read_dir(dir).machine(|| format!("cannot read {}", dir.display()))?.flatten() {
        if entry.file_name().to_string_lossy().ends_with(".deb") && entry.path() != source.deb {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn home(series: &Series, cache: &Cache) -> PathBuf {
    cache.root().join("sources").join(&series.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::source::catalog::Catalog;

    #[test]
    fn current_package_is_found_again_and_older_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let series = Catalog::load().unwrap().series("6.1").unwrap().clone();
        assert_eq!(cached(&series, &cache), None);
        let home = cache.dir("sources/6.1").unwrap();
        for version in ["6.1.1-1", "6.1.2-1"] {
            let deb = home.join(format!("linux-source-6.1_{version}_all.deb"));
            fs::write(&deb, "").unwrap();
            let source = Package { package: series.package.clone(), version: version.into(), deb };
            remember(&home, &source).unwrap();
            assert_eq!(cached(&series, &cache), Some(source));
        }
        assert_eq!(fs::read_dir(&home).unwrap().count(), 2);
        fs::write(home.join(CURRENT), "{").unwrap();
        assert_eq!(cached(&series, &cache), None);
    }
}
