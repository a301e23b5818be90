//! The kernels that are ready: one directory each in the cache, under a key of everything they were made from.

use super::{config, coverage};
use crate::error::{Context, Result};
use crate::kernel::image::identify;
use crate::kernel::source::catalog::Catalog;
use crate::kernel::source::debian::Source;
use crate::kernel::source::patch::Patch;
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Changed when the way of building changes what comes out.
const RECIPE: &str = "1";

/// What asks for allocations that fail.
const FAULT_INJECTION: &str = "CONFIG_FAULT_INJECTION=y";

/// What a kernel is made from, known before it is built.
#[derive(Clone, Debug)]
pub struct Ingredients {
    pub source: Source,
    pub fragment: String,
    pub patches: Vec<Patch>,
    pub compiler: String,
}

/// What is known about a kernel that was built; `meta.json` beside the image.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Meta {
    pub series: String,
    pub package: String,
    pub version: String,
    pub patches: Vec<String>,
    pub compiler: String,
    pub release: String,
    pub image_sha256: String,
    pub image_bytes: u64,
    pub build_seconds: f64,
}

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub struct Stored {
    pub image: PathBuf,
    pub meta: Meta,
}

impl Ingredients {
    /// Returns what the directory is called in which it is built. Kernels with fault injection have one of their own: nearly all files are
    /// compiled anew whenever that is switched on or off. So do kernels that count what is executed.
    pub fn build_name(&self) -> String {
        let name = self.source.name();
        let is_failing = config::requested_lines(&self.fragment).any(|line| line == FAULT_INJECTION);
        match (coverage::is_counting(&self.fragment), is_failing) {
            (true, _) => format!("{name}-coverage"),
            (false, true) => format!("{name}-fault-injection"),
            (false, false) => name.to_owned(),
        }
    }

    /// Returns the name of the kernel's directory.
    pub fn key(&self) -> String {
        let mut hasher = Sha256::new();
        // Another comment makes no other kernel, nor does another mail around a patch.
        let asked = config::requested_lines(&self.fragment).collect::<Vec<_>>().join("\n");
        let [kind, version] = self.source.identity();
        let texts = [RECIPE, kind, version, &asked, &self.compiler];
        let patches = self.patches.iter().map(Patch::diffs);
        for part in texts.iter().map(|t| t.as_bytes()).chain(patches) {
            // The length keeps two neighbours from being read as one.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        format!("{}-{}", self.source.name(), &identify::hex(&hasher.finalize())[..16])
    }
}

/// Returns the kernel made from `ingredients`, if it is ready and still what was made: its digest is what results tell of it.
pub fn find(ingredients: &Ingredients, cache: &Cache) -> Option<Stored> {
    let stored = read(&home(cache).join(ingredients.key()))?;
    identify::sha256(&stored.image).is_ok_and(|now| now == stored.meta.image_sha256).then_some(stored)
}

/// Returns whether the kernel made from `ingredients` is noted as ready.
pub fn is_noted(ingredients: &Ingredients, cache: &Cache) -> bool {
    read(&home(cache).join(ingredients.key())).is_some()
}

/// Returns all kernels that are ready, by series.
pub fn all(cache: &Cache) -> Vec<Stored> {
    let entries = fs::read_dir(home(cache)).into_iter().flatten().flatten();
    let mut all: Vec<Stored> = entries.filter_map(|e| read(&e.path())).collect();
    all.sort_by(|a, b| (&a.meta.series, &a.meta.patches, &a.image).cmp(&(&b.meta.series, &b.meta.patches, &b.image)));
    all
}

/// Keeps the image that was built in `seconds` in `tree`, and what goes with it.
pub fn keep(ingredients: &Ingredients, tree: &Path, release: String, seconds: f64, cache: &Cache) -> Result<Stored> {
    let dir = home(cache).join(ingredients.key());
    let meta = install_atomically(&dir, |new| {
        let failed = || format!("cannot write {}", new.display());
        fs::create_dir(new).machine(failed)?;
        let image = new.join(IMAGE);
        let image_bytes = fs::copy(tree.join(IMAGE), &image).machine(failed)?;
        if coverage::is_counting(&ingredients.fragment) {
            coverage::keep_notes(tree, new)?;
        }
        let meta = Meta {
            series: ingredients.source.name().to_owned(),
            package: ingredients.source.identity()[0].to_owned(),
            version: ingredients.source.version().to_owned(),
            patches: ingredients.patches.iter().map(|p| p.name.clone()).collect(),
            compiler: ingredients.compiler.clone(),
            release,
            image_sha256: identify::sha256(&image)?,
            image_bytes,
            build_seconds: seconds,
        };
        let text = serde_json::to_vec_pretty(&meta).expect("strings and numbers are always JSON");
        fs::write(new.join(META), text).machine(failed)?;
        Ok(meta)
    })?;
    Ok(Stored { image: dir.join(IMAGE), meta })
}

/// Removes every kernel, source and build directory, waiting for those who use them; how many bytes that were.
pub fn clean(catalog: &Catalog, cache: &Cache, ui: &Ui) -> Result<u64> {
    let trees = fs::read_dir(cache.root().join("build")).into_iter().flatten().flatten();
    let trees = trees.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: BTreeSet<String> = catalog.iter().map(|series| series.name.clone()).chain(trees).collect();
    let mut locks = Vec::new();
    for name in names {
        for kind in ["source", "snapshot", "kernel"] {
            locks.push(cache.lock(&format!("{kind}-{name}"), ui)?);
        }
    }
    for name in ["packages", "images"] {
        locks.push(cache.lock(name, ui)?);
    }
    let mut bytes = 0;
    for name in ["kernels", "build", "sources", "packages", "images", "distribution", "modules"] {
        let (dir, removed) = (cache.root().join(name), cache.root().join(format!(".removed-{name}")));
        bytes += size(&dir) + size(&removed);
        super::build_tree::remove(&removed)?;
        if dir.exists() {
            // Cut off half-way, what is left must not be taken for whole.
            fs::rename(&dir, &removed).machine(|| format!("cannot remove {}", dir.display()))?;
        }
        super::build_tree::remove(&removed)?;
    }
    Ok(bytes)
}

/// Returns how many bytes the files below `path` take on disk.
pub(crate) fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => fs::read_dir(path).into_iter().flatten().flatten().map(|e| size(&e.path())).sum(),
        Ok(m) => m.blocks() * 512,
        Err(_) => 0,
    }
}

const IMAGE: &str = "vmlinux";
const META: &str = "meta.json";

fn home(cache: &Cache) -> PathBuf {
    cache.root().join("kernels")
}

/// Reads what is whole in `dir`: an image that lost bytes is as good as none.
fn read(dir: &Path) -> Option<Stored> {
    let meta: Meta = serde_json::from_slice(&fs::read(dir.join(META)).ok()?).ok()?;
    let image = dir.join(IMAGE);
    let whole = fs::metadata(&image).is_ok_and(|m| m.len() == meta.image_bytes);
    whole.then_some(Stored { image, meta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::source::debian::Package;

    fn source(version: &str) -> Source {
        let series = Catalog::load().unwrap().series("6.1").unwrap().clone();
        let package = Package { package: series.package.clone(), version: version.into(), deb: "x.deb".into() };
        Source::Package { series, package }
    }

    fn patch(mail: &str, line: &str) -> Patch {
        let content = format!("{mail}\n--- a/fs/nfs/dir.c\n+++ b/fs/nfs/dir.c\n@@ -1 +1 @@\n-old\n+{line}\n");
        Patch { name: "a".into(), content: content.into_bytes() }
    }

    fn ingredients() -> Ingredients {
        Ingredients {
            source: source("6.1.192-2"),
            fragment: "CONFIG_SMP=y\n".into(),
            patches: vec![patch("why", "one")],
            compiler: "gcc 12".into(),
        }
    }

    #[test]
    fn key_differs_with_everything_that_makes_another_kernel() {
        let base = ingredients();
        let mut others = vec![ingredients(); 5];
        others[0].source = source("6.1.193-1");
        others[1].fragment.push_str("CONFIG_NET=y\n");
        others[2].patches[0] = patch("why", "two");
        others[3].patches = vec![];
        others[4].compiler = "gcc 13".into();
        let keys: std::collections::BTreeSet<_> = others.iter().chain([&base]).map(Ingredients::key).collect();
        assert_eq!(keys.len(), 6);
        let mut renamed = ingredients();
        renamed.patches[0] = Patch { name: "b".into(), ..patch("why not", "one") };
        renamed.fragment.push_str("# why\n");
        assert_eq!(renamed.key(), base.key());
        assert!(base.key().starts_with("6.1-"), "{}", base.key());
    }

    #[test]
    fn kernels_that_count_or_fail_are_built_in_directories_of_their_own() {
        let name = |fragment: &str| Ingredients { fragment: fragment.into(), ..ingredients() }.build_name();
        assert_eq!(name("CONFIG_SMP=y\n"), "6.1");
        assert_eq!(name("CONFIG_FAULT_INJECTION=y\n"), "6.1-fault-injection");
        assert_eq!(name("CONFIG_FAULT_INJECTION=y\nCONFIG_GCOV_KERNEL=y\n"), "6.1-coverage");
    }

    #[test]
    fn kernel_that_was_kept_is_found_and_a_damaged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        fs::write(dir.path().join(IMAGE), "image").unwrap();
        assert!(find(&ingredients(), &cache).is_none());
        let kept = keep(&ingredients(), dir.path(), "6.1.192".into(), 1.5, &cache).unwrap();
        let found = find(&ingredients(), &cache).unwrap();
        assert_eq!(found.image, kept.image);
        assert_eq!(found.meta.release, "6.1.192");
        assert_eq!(all(&cache).len(), 1);
        fs::write(&kept.image, "im").unwrap();
        assert!(find(&ingredients(), &cache).is_none());
        // As long as it was, but another.
        fs::write(&kept.image, "imagE").unwrap();
        assert!(find(&ingredients(), &cache).is_none());
        fs::write(&kept.image, "image").unwrap();
        assert!(find(&ingredients(), &cache).is_some());
    }
}
