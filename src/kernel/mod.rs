//! What to boot: from one word on the command line to a kernel image in the cache.

mod build;
pub mod catalog;
mod compression;
mod config;
mod extract;
pub mod image;
mod modinfo;
pub mod modules;
mod own;
mod package;
mod patch;
mod program;
pub mod source;
pub mod spec;
pub mod store;
mod tools;
mod tree;

use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::ui::Ui;
use catalog::{Catalog, Series};
use own::Own;
use source::Source;
use spec::{Base, PatchRef, World};
use std::path::{Path, PathBuf};
use std::time::Instant;
use store::{Ingredients, Stored};

/// A kernel that is ready to boot.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The word of the command line it came from.
    pub spec: String,
    /// The image: an uncompressed vmlinux with a PVH note, or a bzImage.
    pub image: PathBuf,
    /// `uname -r`, as far as it is known before the boot.
    pub release: String,
    /// SHA-256 of the image, in hexadecimal.
    pub image_sha256: String,
    /// The directory of its modules, if it has some.
    pub modules: Option<PathBuf>,
    /// Names of the patches applied, in order.
    pub patches: Vec<String>,
    /// The series it was built from.
    pub series: Option<String>,
    /// Version of the source package it was built from, for instance `6.1.192-2`.
    pub source_version: Option<String>,
    /// What it took to get it.
    pub effort: Effort,
}

/// What it took to get a kernel; nothing, if it was in the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Effort {
    pub seconds: f64,
    pub downloaded_bytes: u64,
    pub built: bool,
}

/// What options say beside the spec.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--patch`, each a name or a file.
    pub patches: Vec<String>,
    /// `--rev`.
    pub rev: Option<String>,
    /// `--modules`: the directory of the modules of an image.
    pub modules: Option<PathBuf>,
    /// Whether to ask the archive for a newer source, or be content with the one in the cache.
    pub refresh: bool,
}

/// Makes what `spec` asks for ready to boot, building it if it is not in the cache.
pub fn resolve(spec: &str, options: &Options, cache: &Cache, ui: &Ui) -> Result<Kernel> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::of(spec, options, &catalog)? {
        Found::Own(own) => return own.ready(cache, ui),
        Found::Wanted(wanted) => wanted,
    };
    let started = Instant::now();
    let at_hand = source::cached(wanted.series, cache).filter(|_| !options.refresh);
    let (source, downloaded_bytes) = match at_hand {
        Some(source) => (source, 0),
        None => {
            // Before 150 MB are fetched for nothing.
            tools::check()?;
            source::newest(wanted.series, cache, ui)?
        }
    };
    let ingredients = wanted.ingredients(source)?;
    let (stored, built) = match store::find(&ingredients, cache) {
        Some(stored) => (stored, false),
        None => (build::build(wanted.series, &ingredients, cache, ui)?, true),
    };
    let effort = Effort { seconds: started.elapsed().as_secs_f64(), downloaded_bytes, built };
    Ok(wanted.kernel(stored, effort))
}

/// What `spec` asks for, if it is ready to boot; nothing is fetched or built.
pub fn cached(spec: &str, options: &Options, cache: &Cache) -> Result<Option<Kernel>> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::of(spec, options, &catalog)? {
        Found::Own(own) => return own.cached(cache),
        Found::Wanted(wanted) => wanted,
    };
    let Some(source) = source::cached(wanted.series, cache) else {
        return Ok(None);
    };
    let stored = store::find(&wanted.ingredients(source)?, cache);
    Ok(stored.map(|stored| wanted.kernel(stored, Effort::default())))
}

/// What a spec leads to.
enum Found<'a> {
    /// A kernel of the user's.
    Own(Own),
    /// A kernel of ours, to be built.
    Wanted(Wanted<'a>),
}

/// A series with patches.
struct Wanted<'a> {
    spec: String,
    series: &'a Series,
    patches: Vec<patch::Patch>,
}

impl<'a> Wanted<'a> {
    fn of(word: &str, options: &Options, catalog: &'a Catalog) -> Result<Found<'a>> {
        let spec = spec::parse(word, &options.patches, options.rev.as_deref(), catalog)?;
        match &spec.base {
            Base::Path(path) => {
                let is_changed = spec.rev.is_some() || !spec.patches.is_empty();
                Own::new(word, path, is_changed, options.modules.as_deref()).map(Found::Own)
            }
            Base::Series(name) => {
                if options.modules.is_some() {
                    return Err(Error::usage(format!(
                        "--modules goes with a kernel image or package; {name} is a series, whose kernels need no modules"
                    )));
                }
                let series = catalog.series(name).expect("the parser asked for it");
                let patches = spec.patches.iter().map(|p| read_patch(p, series)).collect::<Result<_>>()?;
                Ok(Found::Wanted(Self { spec: word.to_owned(), series, patches }))
            }
        }
    }

    fn ingredients(&self, source: Source) -> Result<Ingredients> {
        Ok(Ingredients {
            series: self.series.name.clone(),
            source,
            fragment: self.series.fragment()?,
            patches: self.patches.clone(),
            compiler: tools::compiler()?,
        })
    }

    fn kernel(&self, stored: Stored, effort: Effort) -> Kernel {
        let Stored { image, meta } = stored;
        Kernel {
            spec: self.spec.clone(),
            image,
            release: meta.release,
            image_sha256: meta.image_sha256,
            modules: None,
            patches: self.patches.iter().map(|p| p.name.clone()).collect(),
            series: Some(meta.series),
            source_version: Some(meta.version),
            effort,
        }
    }
}

fn read_patch(patch: &PatchRef, series: &Series) -> Result<patch::Patch> {
    match patch {
        PatchRef::Name(name) => Ok(patch::Patch { name: name.clone(), content: series.patch(name)?.into_bytes() }),
        PatchRef::File(file) => {
            let failed = |e| Error::usage(format!("cannot read the patch {}: {e}", file.display()));
            Ok(patch::Patch { name: file.display().to_string(), content: std::fs::read(file).map_err(failed)? })
        }
    }
}

impl World for Catalog {
    fn is_series(&self, name: &str) -> bool {
        self.series(name).is_some()
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn series_names(&self) -> String {
        self.names()
    }
}
