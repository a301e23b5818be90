//! Knows how to fetch Debian packages as an ordinary user: through the machine's own apt, with a state of our own.
//!
//! The machine's proxies, credentials, certificates and keys are used and its signature chain is kept, but nothing of
//! the machine's apt or dpkg state is read, locked or changed, so another suite than the machine's can be asked too.

mod run;
mod setup;
mod sources;
pub mod version;

use crate::error::{Context, Error, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use crate::text::truncate::some_of;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// An index younger than this is not fetched again.
const INDEX_AGE: Duration = Duration::from_secs(3600);

/// How many packages a line on a terminal names.
const MOST_NAMED: usize = 3;

/// Fetches a file from an address and checks it. Unlike `apt-get download` it goes on with what another one began.
pub const HELPER: &str = "/usr/lib/apt/apt-helper";

/// Debian's archive, one suite of it.
pub struct Apt {
    cache: Cache,
    suite: String,
    /// Where the private state lives: apt.conf, source entries, lists, half-done downloads.
    home: PathBuf,
    bytes: AtomicU64,
}

/// A package as the archive has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// The file's name, as apt writes it.
    pub file: String,
    pub bytes: u64,
    address: String,
    /// What the signed index promises, as `SHA256:...`; empty in a closure.
    hash: String,
}

impl Apt {
    /// Opens Debian's `suite`, or the machine's own where it is `None`.
    pub fn open(cache: &Cache, suite: Option<&str>) -> Result<Self> {
        let sources = setup::machine_sources(&cache.dir("apt")?)?;
        let suite = match suite {
            Some(name) => name.to_owned(),
            None => {
                let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
                sources.own_suite(&os_release).ok_or_else(setup::no_archive)?
            }
        };
        let home = cache.dir(Path::new("apt").join(&suite))?;
        setup::write(&home, &sources.entries(&suite)?)?;
        Ok(Self { cache: cache.clone(), suite, home, bytes: AtomicU64::new(0) })
    }

    /// Opens the `suite` of which an index was fetched before, as it was; the machine's apt is not asked for anything.
    pub fn with_index(cache: &Cache, suite: &str) -> Option<Self> {
        let home = cache.root().join("apt").join(suite);
        let apt = Self { cache: cache.clone(), suite: suite.to_owned(), home, bytes: AtomicU64::new(0) };
        apt.stamp().exists().then_some(apt)
    }

    /// Returns the suite's name.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    /// Returns how many bytes were fetched so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Fetches the index of packages unless the one at hand is fresh.
    pub fn update(&self, ui: &Ui) -> Result<()> {
        let _lock = self.cache.lock(&format!("apt-{}", self.suite), ui)?;
        if self.index_is_fresh() {
            return Ok(());
        }
        self.fetch_index(ui)
    }

    /// Returns the newest version of `package`; `None` if the suite does not have it.
    pub fn newest(&self, package: &str) -> Result<Option<String>> {
        let mut command = self.command("apt-cache");
        command.args(["show", "--no-all-versions", package]);
        match run::quietly(&mut command) {
            Ok(text) => Ok(text.lines().find_map(|l| l.strip_prefix("Version: ")).map(str::to_owned)),
            Err(e) if e.is_unknown_package() => Ok(None),
            Err(e) => Err(e.sentence(&format!("look up {package} in Debian {}", self.suite), &self.home)),
        }
    }

    /// Returns name and version of each package whose name begins with `prefix`, in each version that the index at hand has.
    pub fn offered(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let failed = |e: run::Failure| e.sentence(&format!("look up {prefix}* in Debian {}", self.suite), &self.home);
        let mut command = self.command("apt-cache");
        let names = run::quietly(command.args(["pkgnames", prefix])).map_err(failed)?;
        if names.trim().is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.command("apt-cache");
        let table = run::quietly(command.arg("madison").args(names.lines())).map_err(failed)?;
        let mut offered: Vec<_> = table.lines().filter_map(offer).collect();
        offered.sort();
        offered.dedup();
        Ok(offered)
    }

    /// Returns `packages` and everything they depend on, recommendations left out, as on a machine that has nothing installed.
    pub fn closure(&self, packages: &[&str]) -> Result<Vec<Package>> {
        let mut command = self.command("apt-get");
        command.args(["install", "--print-uris", "-qq", "-y", "--no-install-recommends"]).args(packages);
        self.print_uris(&mut command, packages)
    }

    /// Fetches `packages` into the directory `into`, whole and checked against the signed index.
    pub fn download(&self, packages: &[&str], into: &Path, ui: &Ui) -> Result<Vec<PathBuf>> {
        let _lock = self.cache.lock(&format!("apt-{}", self.suite), ui)?;
        let result = self.fetch(packages, ui).or_else(|e| {
            // The archive drops a file as soon as a newer version comes: the index at hand may be too old by now.
            if !e.is_gone() {
                return Err(e);
            }
            self.fetch_index(ui).map_err(run::Failure::Other)?;
            self.fetch(packages, ui)
        });
        let fetched = result.map_err(|e| e.sentence(&format!("fetch {}", packages.join(", ")), &self.home))?;
        fs::create_dir_all(into).machine(|| format!("cannot make {}", into.display()))?;
        fetched.iter().map(|file| self.hand_over(file, into)).collect()
    }

    fn hand_over(&self, file: &str, into: &Path) -> Result<PathBuf> {
        let (from, to) = (self.downloads().join(file), into.join(file));
        if fs::rename(&from, &to).is_err() {
            // Another file system.
            install_atomically(&to, |new| {
                fs::copy(&from, new).machine(|| format!("cannot write {}", to.display())).map(drop)
            })?;
            fs::remove_file(&from).machine(|| format!("cannot remove {}", from.display()))?;
        }
        Ok(to)
    }

    fn fetch(&self, packages: &[&str], ui: &Ui) -> std::result::Result<Vec<String>, run::Failure> {
        let mut list = self.command("apt-get");
        list.args(["download", "--print-uris", "-qq"]).args(packages);
        let wanted = self.print_uris(&mut list, packages).map_err(run::Failure::Other)?;
        if let Some(bare) = wanted.iter().find(|p| !p.hash.starts_with("SHA")) {
            let error = format!("the index of Debian {} has no SHA hash for {}", self.suite, bare.name);
            return Err(run::Failure::Other(Error::machine(error)));
        }
        let here = |p: &Package| fs::metadata(self.downloads().join(&p.file)).map_or(0, |m| m.len());
        let total: u64 = wanted.iter().map(|p| p.bytes).sum();
        let before: u64 = wanted.iter().map(here).sum();
        let task = ui.task(format!("fetching {} ({} kB)", some_of(packages, MOST_NAMED), total / 1000));
        let mut command = self.command(HELPER);
        command.current_dir(self.downloads()).args(["-q", "-o", "APT::Status-Fd=1", "download-file"]);
        for package in &wanted {
            command.args([&package.address, &package.file, &package.hash]);
        }
        run::with_progress(&mut command, &task, total / 1000).inspect_err(|e| {
            if e.is_corrupt() {
                for package in &wanted {
                    let _ = fs::remove_file(self.downloads().join(&package.file));
                }
            }
        })?;
        self.bytes.fetch_add(total.saturating_sub(before), Ordering::Relaxed);
        task.done("done");
        Ok(wanted.into_iter().map(|p| p.file).collect())
    }

    fn fetch_index(&self, ui: &Ui) -> Result<()> {
        let task = ui.task(format!("fetching the package index of Debian {}", self.suite));
        let mut command = self.command("apt-get");
        command.args(["update", "-q", "-o", "APT::Status-Fd=1"]);
        let text = run::with_progress(&mut command, &task, 100)
            .map_err(|e| e.sentence(&format!("fetch the package index of Debian {}", self.suite), &self.home))?;
        let bytes = text.lines().rev().find_map(run::fetched_bytes).unwrap_or(0);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        fs::write(self.stamp(), "").machine(|| format!("cannot write {}", self.stamp().display()))?;
        task.done(&format!("{} kB", bytes / 1000));
        Ok(())
    }

    fn index_is_fresh(&self) -> bool {
        let age = fs::metadata(self.stamp()).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
        age.is_some_and(|age| age < INDEX_AGE)
    }

    fn stamp(&self) -> PathBuf {
        self.home.join(setup::STAMP)
    }

    /// Downloads live here until they are whole, so that one that was cut off goes on where it ended.
    fn downloads(&self) -> PathBuf {
        self.home.join("downloads")
    }

    fn command(&self, program: &str) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command.env("APT_CONFIG", self.home.join("apt.conf")).env("LC_ALL", "C");
        command
    }

    fn print_uris(&self, command: &mut std::process::Command, packages: &[&str]) -> Result<Vec<Package>> {
        let what = || format!("find {} in Debian {}", packages.join(", "), self.suite);
        let text = run::quietly(command).map_err(|e| e.sentence(&what(), &self.home))?;
        let found: Vec<Package> = text.lines().filter_map(package).collect();
        match found.is_empty() {
            true => Err(Error::machine(format!("cannot {}: apt-get names no files", what()))),
            false => Ok(found),
        }
    }
}

/// Returns whether a file that the index names could not be fetched because the archive does not have it any more.
pub fn is_gone(error: &Error) -> bool {
    run::says_gone(&error.to_string())
}

/// Reads a line of `apt-cache madison`: `name | version | address suite/component architecture Packages`.
fn offer(line: &str) -> Option<(String, String)> {
    let mut fields = line.split('|').map(str::trim);
    let (name, version, place) = (fields.next()?, fields.next()?, fields.next()?);
    place.ends_with("Packages").then(|| (name.to_owned(), version.to_owned()))
}

/// Reads a line of `--print-uris`: `'address' file bytes hash`.
fn package(line: &str) -> Option<Package> {
    let (address, rest) = line.strip_prefix('\'')?.split_once('\'')?;
    let mut words = rest.split_whitespace();
    let (file, bytes) = (words.next()?, words.next()?.parse().ok()?);
    // Only `download` gives a hash for sure; `install` leaves it to apt.
    let hash = words.next().unwrap_or_default();
    let (name, rest) = file.split_once('_')?;
    let (version, _) = rest.rsplit_once('_')?;
    Some(Package {
        name: name.to_owned(),
        version: version.replace("%3a", ":"),
        file: file.to_owned(),
        bytes,
        address: address.to_owned(),
        hash: hash.to_owned(),
    })
}

#[cfg(test)]
impl Package {
    /// Returns a package that no archive has.
    pub fn named(name: &str) -> Self {
        package(&format!("'mirror:/' {name}_1_all.deb 1 SHA256:00")).expect("the line is well formed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_uris_is_a_package() {
        let line = "'mirror:/pool/n/nfs-common_2.6.2-4+deb12u1_amd64.deb' nfs-common_1%3a2.6.2-4+deb12u1_amd64.deb 259632 SHA256:00";
        let found = package(line).unwrap();
        assert_eq!((found.name.as_str(), found.bytes), ("nfs-common", 259632));
        assert_eq!(found.version, "1:2.6.2-4+deb12u1");
        assert_eq!(package("Reading package lists..."), None);
    }

    #[test]
    fn line_of_what_is_offered_is_a_package_and_its_version() {
        let line =
            "linux-image-6.1.0-57-cloud-amd64-unsigned |  6.1.192-3 | mirror:/debian bookworm/main amd64 Packages";
        let wanted = ("linux-image-6.1.0-57-cloud-amd64-unsigned".to_owned(), "6.1.192-3".to_owned());
        assert_eq!(offer(line), Some(wanted));
        assert_eq!(offer("linux | 6.1.192-3 | mirror:/debian bookworm/main Sources"), None);
    }
}
