//! A distribution's kernel by name: fetched through the machine's own apt and unpacked once, then found by a note in the cache.

use super::offer::{self, Image, short_flavour};
use crate::apt::{self, Apt};
use crate::error::{Context, Error, Exit, Result};
use crate::kernel::bootable::{Effort, Kernel};
use crate::kernel::image::distro_package::{Contents, PackagedImage, Packages, has_no_image};
use crate::kernel::image::extract_vmlinux;
use crate::kernel::source::catalog::Series;
use crate::kernel::spec::Flavour;
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use crate::os::temp_dir::Scratch;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Where in the cache the notes are.
pub const HOME: &str = "distribution";

/// A kernel that is wanted by series and flavour.
#[derive(Clone, Debug)]
pub struct NamedKernel {
    /// The word of the command line.
    pub word: String,
    pub series: Series,
    pub flavour: Flavour,
}

/// What is noted of a kernel that was fetched; its digest leads to what is unpacked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Note {
    /// The package of the image, for instance `linux-image-6.1.0-57-cloud-amd64-unsigned`.
    pub package: String,
    /// Debian's version of it.
    pub version: String,
    /// The suite that it is from.
    pub suite: String,
    sha256: String,
}

impl Note {
    fn image(&self) -> Option<Image> {
        Image::parse(&self.package, &self.version)
    }

    fn contents(&self, cache: &Cache) -> Option<Contents> {
        Packages::known(&[], &self.sha256).find(cache)
    }
}

impl NamedKernel {
    /// Returns the kernel, if it is unpacked; nothing is fetched.
    pub fn cached(&self, cache: &Cache) -> Result<Option<Kernel>> {
        let Some((note, contents)) = self.at_hand(cache) else { return Ok(None) };
        self.kernel(&note, contents, Effort::default(), |image| Ok(image.path.clone())).map(Some)
    }

    /// Makes the kernel ready: the newest one that Debian has if `refresh`, else the one in the cache if there is one.
    pub fn ready(&self, refresh: bool, cache: &Cache, ui: &Ui) -> Result<Kernel> {
        let begin = Instant::now();
        let (note, contents, downloaded_bytes) = match self.at_hand(cache).filter(|_| !refresh) {
            Some((note, contents)) => (note, contents, 0),
            None => self.newest(cache, ui)?,
        };
        let effort = Effort { downloaded_bytes, built: downloaded_bytes > 0, ..Effort::default() };
        let mut kernel = self
            .kernel(&note, contents, effort, |image| extract_vmlinux::fastest(&image.path, &image.sha256, cache, ui))?;
        kernel.effort.seconds = begin.elapsed().as_secs_f64();
        Ok(kernel)
    }

    /// Returns what the name of its package says, if it is in the cache.
    pub fn image(&self, cache: &Cache) -> Option<Image> {
        self.at_hand(cache)?.0.image()
    }

    fn at_hand(&self, cache: &Cache) -> Option<(Note, Contents)> {
        let note: Note = serde_json::from_slice(&fs::read(self.path(cache)).ok()?).ok()?;
        let contents = note.contents(cache)?;
        Some((note, contents))
    }

    /// Finds the newest image of the suite; where the archive cannot be reached, it is the one in the cache, with a line that says so.
    fn newest(&self, cache: &Cache, ui: &Ui) -> Result<(Note, Contents, u64)> {
        let _lock = cache.lock(&format!("{HOME}-{}", self.name()), ui)?;
        match (self.fetch(cache, ui), self.at_hand(cache)) {
            (Err(e), Some((note, contents))) if e.exit() == Exit::Machine => {
                ui.warn(&format!("{e}; going on with {} {} from the cache", note.package, note.version));
                Ok((note, contents, 0))
            }
            (result, _) => result,
        }
    }

    fn fetch(&self, cache: &Cache, ui: &Ui) -> Result<(Note, Contents, u64)> {
        let suite = &self.series.suite;
        let apt = Apt::open(cache, Some(suite))?;
        apt.update(ui)?;
        let images = offer::images(&apt)?;
        let image = offer::choose(&images, &self.flavour, suite)?;
        let is_same = |note: &Note| {
            note.version == image.version && note.image().is_some_and(|noted| noted.release() == image.release())
        };
        if let Some((note, contents)) = self.at_hand(cache).filter(|(note, _)| is_same(note)) {
            return Ok((note, contents, apt.bytes()));
        }
        let scratch = Scratch::within(&cache.dir(HOME)?)?;
        let (image, files) = download(&apt, &offer::packagings(&images, image), scratch.path(), ui)?;
        let packages = Packages::new(&files)?;
        let contents = packages.unpack(cache, ui)?;
        if contents.image.is_none() {
            return Err(has_no_image(&[PathBuf::from(&image.package)]));
        }
        let (package, version) = (image.package.clone(), image.version.clone());
        let note = Note { package, version, suite: suite.clone(), sha256: packages.sha256().to_owned() };
        let text = serde_json::to_vec_pretty(&note).expect("strings are always JSON");
        let path = self.path(cache);
        install_atomically(&path, |new| fs::write(new, text).machine(|| format!("cannot write {}", path.display())))?;
        Ok((note, contents, apt.bytes()))
    }

    fn kernel(
        &self,
        note: &Note,
        contents: Contents,
        effort: Effort,
        fastest: impl FnOnce(&PackagedImage) -> Result<PathBuf>,
    ) -> Result<Kernel> {
        let image = contents.image.ok_or_else(|| has_no_image(&[PathBuf::from(&note.package)]))?;
        let modules = contents.modules.get(&image.release).cloned();
        let lacks = || Error::kernel(format!("{} {} has no modules of its kernel in it", note.package, note.version));
        Ok(Kernel {
            spec: self.word.clone(),
            image: fastest(&image)?,
            release: image.release,
            image_sha256: image.sha256,
            modules: Some(modules.ok_or_else(lacks)?),
            patched_modules: None,
            patches: Vec::new(),
            series: Some(self.series.name.clone()),
            source_version: Some(note.version.clone()),
            is_package: true,
            effort,
        })
    }

    fn path(&self, cache: &Cache) -> PathBuf {
        cache.root().join(HOME).join(format!("{}.json", self.name()))
    }

    /// Returns a name for files: `6.1-cloud`, `6.1-cloud=6.1.192-3`.
    fn name(&self) -> String {
        let version = self.flavour.version.as_ref().map(|version| format!("={version}")).unwrap_or_default();
        format!("{}-{}{version}", self.series.name, short_flavour(&self.flavour.name))
    }
}

/// Fetches the first of `images`, which are one kernel, that the archive still has: of an old suite it may have dropped some.
fn download<'a>(apt: &Apt, images: &[&'a Image], into: &Path, ui: &Ui) -> Result<(&'a Image, Vec<PathBuf>)> {
    let mut gone = None;
    for image in images {
        let names = image.packages();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match apt.download(&names, into, ui) {
            Err(e) if apt::is_gone(&e) => drop(gone.get_or_insert(e)),
            result => return result.map(|files| (*image, files)),
        }
    }
    Err(gone.unwrap_or_else(|| Error::machine("there is no package to be fetched")))
}
