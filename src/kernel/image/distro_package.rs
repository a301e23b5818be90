//! Knows what is in a kernel package: it is unpacked once into the cache, as far as a guest can use it.

use super::extract_package::extract;
use super::identify::{self, Kind};
use crate::error::{Context, Error, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Changed when more of a package is kept.
const RECIPE: &str = "4";

/// Where packages have their kernel: in one file or the other, never both different.
const IMAGES: [&str; 5] =
    ["boot/vmlinuz*", "boot/bzImage*", "boot/vmlinux*", "lib/modules/*/vmlinuz*", "usr/lib/modules/*/vmlinuz*"];

/// The kernel and the modules of a distribution, with all that tells debuggers of them, have less.
const MOST_BYTES: u64 = 8 << 30;

/// What is kept of the packages of a kernel.
#[derive(Clone, Debug)]
pub struct Contents {
    pub image: Option<PackagedImage>,
    /// Directories of modules by the release of their kernel.
    pub modules: BTreeMap<String, PathBuf>,
}

/// A kernel from a package.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PackagedImage {
    pub path: PathBuf,
    pub sha256: String,
    pub release: String,
}

/// `meta.json` beside the files, with paths below it.
#[derive(Deserialize, Serialize)]
struct Meta {
    image: Option<PackagedImage>,
    modules: BTreeMap<String, PathBuf>,
}

const META: &str = "meta.json";

/// Where packages have their modules. Those of one kernel may be in both, where one package is usr-merged and another is not.
const MODULES: [&str; 2] = ["lib/modules", "usr/lib/modules"];

/// Packages that make one kernel, or one package.
pub struct Packages {
    paths: Vec<PathBuf>,
    sha256: String,
}

impl Packages {
    /// Reads all of them for their digest.
    pub fn new(paths: &[PathBuf]) -> Result<Self> {
        let digests = paths.iter().map(|path| identify::sha256(path)).collect::<Result<Vec<_>>>()?;
        let sha256 = match &digests[..] {
            [one] => one.clone(),
            several => identify::hex(&Sha256::digest(several.concat())),
        };
        Ok(Self { paths: paths.to_vec(), sha256 })
    }

    /// Takes packages whose digest is known, whether or not they are still there.
    pub fn known(paths: &[PathBuf], sha256: &str) -> Self {
        Self { paths: paths.to_vec(), sha256: sha256.to_owned() }
    }

    /// Returns the digest of all of them.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Returns what is in them, if they are unpacked.
    pub fn find(&self, cache: &Cache) -> Option<Contents> {
        let home = self.home(cache);
        let meta: Meta = serde_json::from_slice(&fs::read(home.join(META)).ok()?).ok()?;
        let image = meta.image.map(|image| PackagedImage { path: home.join(&image.path), ..image });
        let is_same = |image: &PackagedImage| identify::sha256(&image.path).is_ok_and(|now| now == image.sha256);
        let modules: BTreeMap<_, _> =
            meta.modules.into_iter().map(|(release, dir)| (release, home.join(dir))).collect();
        let whole = image.as_ref().is_none_or(is_same) && modules.values().all(|dir| dir.is_dir());
        whole.then_some(Contents { image, modules })
    }

    /// Unpacks them, unless that is done already.
    pub fn unpack(&self, cache: &Cache, ui: &Ui) -> Result<Contents> {
        if let Some(found) = self.find(cache) {
            return Ok(found);
        }
        let _lock = cache.lock("packages", ui)?;
        if let Some(found) = self.find(cache) {
            return Ok(found);
        }
        let home = self.home(cache);
        let names = self.paths.iter().map(|path| path.file_name().unwrap_or_default().to_string_lossy());
        let task = ui.task(format!("unpacking {}", names.collect::<Vec<_>>().join(", ")));
        install_atomically(&home, |new| {
            self.extract_all(new)?;
            if MODULES.iter().all(|dir| is_plain(new, dir)) {
                merge(&new.join(MODULES[1]), &new.join(MODULES[0]))
                    .machine(|| format!("cannot write {}", new.display()))?;
            }
            self.describe(new)
        })?;
        task.done("done");
        self.find(cache).ok_or_else(|| Error::machine(format!("{} is not complete", home.display())))
    }

    fn home(&self, cache: &Cache) -> PathBuf {
        cache.root().join("packages").join(format!("{}-{RECIPE}", &self.sha256[..16]))
    }

    /// Extracts each package beside the others, because a link of one may lead out of it where files of another go, and puts them
    /// together; of files that several have, the first one counts.
    fn extract_all(&self, new: &Path) -> Result<()> {
        let cannot = || format!("cannot write {}", new.display());
        fs::create_dir(new).machine(cannot)?;
        let part = new.join("part");
        for path in &self.paths {
            fs::create_dir(&part).machine(cannot)?;
            extract(path, &part, MOST_BYTES)?;
            merge(&part, new).machine(cannot)?;
            fs::remove_dir_all(&part).machine(cannot)?;
        }
        Ok(())
    }

    /// Finds the kernel and the modules among the files in `home` and writes down where they are.
    fn describe(&self, home: &Path) -> Result<()> {
        let found = IMAGES.iter().flat_map(|pattern| matching(home, pattern));
        // Links of a package lead to any file of the machine that they are followed on.
        let inside = home.canonicalize().machine(|| format!("cannot find {}", home.display()))?;
        let is_inside = |path: &Path| path.canonicalize().is_ok_and(|real| real.starts_with(&inside));
        let kernel =
            found.filter(|file| file.is_file() && is_inside(file)).find_map(|file| match identify::kind(&file) {
                Ok(Kind::Image { release }) => Some((file, release)),
                _ => None,
            });
        let below = |p: &Path| p.strip_prefix(home).expect("it was found below").to_owned();
        let image = match kernel {
            Some((file, release)) => {
                Some(PackagedImage { path: below(&file), sha256: identify::sha256(&file)?, release })
            }
            None => None,
        };
        let dirs = MODULES.iter().rev().flat_map(|place| matching(home, &format!("{place}/*")));
        let named = dirs.filter(|dir| dir.is_dir() && is_inside(dir)).filter_map(|dir| {
            let release = dir.file_name()?.to_str()?.to_owned();
            Some((release, below(&dir)))
        });
        let meta = Meta { image, modules: named.collect() };
        if meta.image.is_none() && meta.modules.is_empty() {
            return Err(has_no_image(&self.paths));
        }
        let text = serde_json::to_vec_pretty(&meta).expect("strings are always JSON");
        fs::write(home.join(META), text).machine(|| format!("cannot write {}", home.display()))
    }
}

/// Returns whether the directory `below` of `home`, as far as it is there, leads nowhere else by a link.
fn is_plain(home: &Path, below: &str) -> bool {
    let mut dirs = Path::new(below).ancestors().filter(|dir| !dir.as_os_str().is_empty());
    dirs.all(|dir| fs::symlink_metadata(home.join(dir)).map_or(true, |meta| meta.is_dir()))
}

/// Moves what is in the directory `from`, if there is one, into `to`, and leaves what `to` has already. No link is followed.
pub(crate) fn merge(from: &Path, to: &Path) -> std::io::Result<()> {
    let is_dir = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_dir(from) {
        return Ok(());
    }
    // Only below what is a directory itself a path leads nowhere else.
    let missing: Vec<&Path> = to.ancestors().take_while(|path| fs::symlink_metadata(path).is_err()).collect();
    missing.iter().rev().try_for_each(fs::create_dir)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let (from, to) = (from.join(&name), to.join(&name));
        if fs::symlink_metadata(&to).is_err() {
            fs::rename(&from, &to)?;
        } else if is_dir(&to) {
            merge(&from, &to)?;
        }
    }
    Ok(())
}

/// Returns what is wrong with packages that were to have a kernel.
pub fn has_no_image(packages: &[PathBuf]) -> Error {
    let shown: Vec<String> = packages.iter().map(|path| path.display().to_string()).collect();
    let has = if packages.len() == 1 {
        "has no kernel image for x86-64 in it"
    } else {
        "have no kernel image for x86-64 in them"
    };
    Error::usage(format!(
        "{} {has}; a package that has one is called linux-image-VERSION (Debian; linux-image-unsigned-VERSION of Ubuntu), \
         kernel-core-VERSION (Fedora), linux-lts (Alpine), linux (Arch) or kernel-VERSION; others with more of the same kernel follow \
         it behind commas",
        shown.join(" and ")
    ))
}

/// Returns the files below `home` that `pattern` names.
fn matching(home: &Path, pattern: &str) -> Vec<PathBuf> {
    let home = glob::Pattern::escape(&home.to_string_lossy());
    glob::glob(&format!("{home}/{pattern}")).into_iter().flatten().flatten().collect()
}

#[cfg(test)]
mod tests;
