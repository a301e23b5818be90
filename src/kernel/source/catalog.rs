//! Which kernels are known by name: `vm/kernels.toml` and the patches beside it.

use crate::error::{Error, Result};
use crate::kernel::build::config;
use crate::os::assets;
use crate::probe::version::Version;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The word for the series of the highest version.
const NEWEST: &str = "newest";

/// The series by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    series: BTreeMap<String, Series>,
}

/// Where the source of a series comes from and how it is configured.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// Its name, for instance `6.1`; the key of the table.
    #[serde(skip)]
    pub name: String,
    /// Debian's source package.
    pub package: String,
    /// The suite it is fetched from.
    pub suite: String,
    /// Fragments in `vm/`, joined in this order.
    pub config: Vec<String>,
    /// About how many steps (objects compiled, archives and links made) a build from scratch takes.
    pub steps: u64,
    /// The major version of gcc that Debian builds its own kernels of the series with.
    pub gcc: u32,
}

impl Catalog {
    /// Reads `vm/kernels.toml`.
    pub fn load() -> Result<Self> {
        let text = assets::read("vm/kernels.toml").expect("the catalog is embedded");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut catalog: Self = toml::from_str(text)
            .map_err(|e| Error::usage(format!("vm/kernels.toml: {}", first_line(&e.to_string()))))?;
        for (name, series) in &mut catalog.series {
            series.name.clone_from(name);
        }
        Ok(catalog)
    }

    /// Returns the series called `name`; `newest` is the one of the highest version.
    pub fn series(&self, name: &str) -> Option<&Series> {
        match name {
            NEWEST => self.series.values().max_by_key(|series| series.version().ok()),
            name => self.series.get(name),
        }
    }

    /// Returns all series, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// Names all series for sentences: `6.1, 6.12, newest`.
    pub fn names(&self) -> String {
        self.series.keys().map(String::as_str).chain([NEWEST]).collect::<Vec<_>>().join(", ")
    }
}

/// Returns the text that a tree which is in no series is configured from.
pub fn fragment_for(version: Version) -> Result<String> {
    fragment(&["base.config".to_owned()], version)
}

/// Returns the text that is joined to it where allocations are made to fail.
pub fn fault_injection(version: Version) -> Result<String> {
    fragment(&["fault-injection.config".to_owned()], version)
}

/// Returns the text that is joined to it where what is executed is counted.
pub fn coverage(version: Version) -> Result<String> {
    fragment(&["coverage.config".to_owned()], version)
}

fn fragment(files: &[String], version: Version) -> Result<String> {
    let read = |file: &String| {
        let path = format!("vm/{file}");
        let missing = || Error::usage(format!("vm/kernels.toml: a series needs {path}, which is not there"));
        assets::read(&path).ok_or_else(missing)
    };
    let text = files.iter().map(read).collect::<Result<Vec<_>>>()?.join("\n");
    config::for_version(&text, version)
}

impl Series {
    /// Returns which kernel it is.
    pub fn version(&self) -> Result<Version> {
        let wrong =
            |()| Error::usage(format!("vm/kernels.toml: the series {} is not called like a version", self.name));
        self.name.parse().map_err(wrong)
    }

    /// Returns the text that the kernel is configured from.
    pub fn fragment(&self) -> Result<String> {
        fragment(&self.config, self.version()?)
    }

    /// Returns the names of the patches that come with the program.
    pub fn patches(&self) -> Vec<String> {
        patches(&self.name)
    }
}

fn patches(series: &str) -> Vec<String> {
    let dir = format!("vm/patches/{series}");
    let name = |path: &String| Some(path.strip_prefix(&dir)?.strip_prefix('/')?.strip_suffix(".patch")?.to_owned());
    assets::list(&dir).iter().filter_map(name).collect()
}

/// Returns the text of the patch called `name` for the kernels of `series`.
pub fn patch(series: &str, name: &str) -> Result<String> {
    if let Some(text) = assets::read(&format!("vm/patches/{series}/{name}.patch")) {
        return Ok(text);
    }
    let known = patches(series).join(", ");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    Err(Error::usage(format!(
        "no patch '{name}' for {series}; known: {known}; a patch of your own is named by its file, for instance ./{name}.patch"
    )))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catalog_that_comes_along_is_valid() {
        let catalog = Catalog::load().unwrap();
        assert_eq!(catalog.series("6.1").unwrap().package, "linux-source-6.1");
        for series in catalog.iter() {
            assert!(series.fragment().unwrap().contains("CONFIG_NFS_FS=y"), "{}", series.name);
        }
    }

    #[test]
    fn newest_is_the_series_of_the_highest_version() {
        let catalog = Catalog::load().unwrap();
        let newest = catalog.series("newest").unwrap();
        assert!(catalog.iter().all(|series| series.version().ok() <= newest.version().ok()), "{}", newest.name);
        // By numbers, not by letters.
        let table = |name: &str| {
            format!("[series.\"{name}\"]\npackage = \"p\"\nsuite = \"s\"\nconfig = []\nsteps = 1\ngcc = 12\n")
        };
        let two = Catalog::parse(&(table("6.12") + &table("6.9"))).unwrap();
        assert_eq!(two.series("newest").unwrap().name, "6.12");
        assert_eq!(two.names(), "6.12, 6.9, newest");
    }

    #[test]
    fn hashes_of_nfsd_are_asked_of_the_kernels_that_do_not_select_them() {
        let asked = |version: &str| {
            let fragment = fragment_for(version.parse().unwrap()).unwrap();
            let hashes = ["CONFIG_CRYPTO=y", "CONFIG_CRYPTO_MD5=y", "CONFIG_CRYPTO_SHA256=y"];
            hashes.map(|hash| fragment.lines().any(|line| line == hash))
        };
        for (version, hashes) in [
            ("5.2", [true, true, false]),
            ("5.4", [true, true, true]),
            ("5.5", [true, true, false]),
            ("5.6", [false; 3]),
            ("6.1", [false; 3]),
        ] {
            assert_eq!(asked(version), hashes, "{version}");
        }
    }

    #[test]
    fn log_of_kmemleak_is_larger_than_its_default_where_there_is_one() {
        let asks = |version: &str| {
            fragment_for(version.parse().unwrap()).unwrap().contains("\nCONFIG_DEBUG_KMEMLEAK_EARLY_LOG_SIZE=4000\n")
        };
        assert_eq!(["5.2", "5.3", "5.4", "7.3"].map(asks), [true, true, false, false]);
    }

    #[test]
    fn mistake_in_the_catalog_is_a_sentence_with_its_place() {
        let error = Catalog::parse("[series.\"6.1\"]\npackage = 5\n").unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        assert!(error.to_string().contains("line 2"), "{error}");
    }

    #[test]
    fn unknown_patch_is_named_with_the_way_out() {
        let error = patch("6.1", "no-such").unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        assert!(error.to_string().starts_with("no patch 'no-such' for 6.1; known: "), "{error}");
    }
}
