//! What to boot: from one word on the command line to a kernel image in the cache.

pub mod build;
mod builder;
pub mod catalog;
pub mod change;
mod compression;
mod config;
mod extract;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod git;
pub mod image;
mod modinfo;
pub mod modules;
mod own;
mod package;
mod patch;
mod program;
pub mod snapshot;
pub mod source;
pub mod spec;
pub mod store;
pub mod tools;
pub mod tree;
pub mod unpack;

pub use builder::Builder;

use crate::error::{Error, Result};
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use build::BuildOptions;
use catalog::{Catalog, Series};
pub use config::Version;
use image::Kind;
use own::UserKernel;
use snapshot::{Snapshot, SourceTree};
use source::Source;
use spec::{Base, PatchRef, SpecContext};
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
    /// The series it was built from, or the name of the tree in the cache.
    pub series: Option<String>,
    /// Version of the source package it was built from, for instance `6.1.192-2`, or the commit.
    pub source_version: Option<String>,
    /// Whether it came as a package, as a distribution builds it.
    pub is_package: bool,
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
    /// `--config`, each a fragment that is joined to ours.
    pub config: Vec<PathBuf>,
    /// `--modules`: the directory of the modules of an image.
    pub modules: Option<PathBuf>,
    /// Whether to ask the archive for a newer source, or be content with the one in the cache.
    pub refresh: bool,
}

/// Makes what `spec` asks for ready to boot, building it if it is not in the cache.
pub fn resolve(spec: &str, options: &Options, cache: &Cache, ui: &Ui) -> Result<Kernel> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::from_spec(spec, options, &catalog, cache)? {
        Found::UserKernel(own) => return own.ready(cache, ui),
        Found::Wanted(wanted) => wanted,
    };
    let started = Instant::now();
    let (source, downloaded_bytes) = wanted.base.source(options.refresh, cache, ui)?;
    let ingredients = wanted.ingredients(source)?;
    let (stored, built) = match store::find(&ingredients, cache) {
        Some(stored) => (stored, false),
        None => (build::build(&ingredients, &BuildOptions::default(), cache, ui)?, true),
    };
    let effort = Effort { seconds: started.elapsed().as_secs_f64(), downloaded_bytes, built };
    Ok(wanted.kernel(stored, effort))
}

/// What `spec` asks for, if it is ready to boot; nothing is fetched or built.
pub fn cached(spec: &str, options: &Options, cache: &Cache) -> Result<Option<Kernel>> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::from_spec(spec, options, &catalog, cache)? {
        Found::UserKernel(own) => return own.cached(cache),
        Found::Wanted(wanted) => wanted,
    };
    let source = match &wanted.base {
        WantedBase::Series(series) => match source::cached(series, cache) {
            Some(package) => Source::Package { series: (*series).clone(), package },
            None => return Ok(None),
        },
        tree => tree.source(false, cache, &Ui::new())?.0,
    };
    let stored = store::find(&wanted.ingredients(source)?, cache);
    Ok(stored.map(|stored| wanted.kernel(stored, Effort::default())))
}

/// What a spec leads to.
enum Found<'a> {
    /// A kernel of the user's.
    UserKernel(UserKernel),
    /// A kernel to be built.
    Wanted(Wanted<'a>),
}

/// Sources with patches.
struct Wanted<'a> {
    spec: String,
    base: WantedBase<'a>,
    patches: Vec<PatchRef>,
    config: Vec<PathBuf>,
}

/// Where the sources come from.
enum WantedBase<'a> {
    Series(&'a Series),
    Tree(SourceTree, Option<String>),
}

impl WantedBase<'_> {
    /// The sources, and how many bytes were fetched for them.
    fn source(&self, refresh: bool, cache: &Cache, ui: &Ui) -> Result<(Source, u64)> {
        let series = match self {
            Self::Tree(place, Some(rev)) => return Ok((Source::Tree(place.at(rev)?), 0)),
            Self::Tree(place, None) => return Ok((Source::Tree(snapshot_as_it_is(place, cache, ui)?), 0)),
            Self::Series(series) => *series,
        };
        let at_hand = source::cached(series, cache).filter(|_| !refresh);
        let (package, bytes) = match at_hand {
            Some(package) => (package, 0),
            None => {
                // Before 150 MB are fetched for nothing.
                tools::check(true)?;
                source::newest(series, cache, ui)?
            }
        };
        Ok((Source::Package { series: series.clone(), package }, bytes))
    }
}

/// The tree as it lies there; that it is not as committed is said.
fn snapshot_as_it_is(place: &SourceTree, cache: &Cache, ui: &Ui) -> Result<Snapshot> {
    let snapshot = place.as_it_is(cache, ui)?;
    if snapshot.uncommitted > 0 {
        ui.warn(&format!("{} is {}", place.path.display(), snapshot.described));
    }
    Ok(snapshot)
}

impl<'a> Wanted<'a> {
    fn from_spec(word: &str, options: &Options, catalog: &'a Catalog, cache: &Cache) -> Result<Found<'a>> {
        let spec = spec::parse(word, &options.patches, options.rev.as_deref(), catalog)?;
        let base = match &spec.base {
            Base::Series(name) => WantedBase::Series(catalog.series(name).expect("the parser asked for it")),
            Base::Path(path) => match image::kind(path)? {
                Kind::Tree => WantedBase::Tree(SourceTree::open(path, cache)?, spec.rev.clone()),
                kind => {
                    let is_changed = spec.rev.is_some() || !spec.patches.is_empty();
                    return UserKernel::new(word, path, kind, is_changed, options.modules.as_deref())
                        .map(Found::UserKernel);
                }
            },
        };
        if options.modules.is_some() {
            return Err(Error::usage(format!(
                "--modules goes with a kernel image or package; {word} is built from source, and such kernels need no modules"
            )));
        }
        if let WantedBase::Series(series) = &base {
            // A patch that is not there is told before anything is fetched.
            read_patches(&spec.patches, &series.name)?;
        }
        Ok(Found::Wanted(Self { spec: word.to_owned(), base, patches: spec.patches, config: options.config.clone() }))
    }

    fn ingredients(&self, source: Source) -> Result<Ingredients> {
        ingredients(source, &self.patches, &self.config)
    }

    fn kernel(&self, stored: Stored, effort: Effort) -> Kernel {
        let names = self.patches.iter().map(PatchRef::name).collect();
        kernel(&self.spec, stored, names, effort)
    }
}

/// Everything that the kernel of `source` with `patches` is made from.
fn ingredients(source: Source, patches: &[PatchRef], fragments: &[PathBuf]) -> Result<Ingredients> {
    let base = match &source {
        Source::Package { series, .. } => series.fragment()?,
        Source::Tree(snapshot) => catalog::fragment_for(snapshot.version)?,
    };
    let mut texts = vec![base];
    for file in fragments {
        let failed = |e| Error::usage(format!("cannot read the configuration {}: {e}", file.display()));
        texts.push(std::fs::read_to_string(file).map_err(failed)?);
    }
    let patches = read_patches(patches, &source.linux()?.to_string())?;
    Ok(Ingredients { source, fragment: config::joined(&texts), patches, compiler: tools::compiler()? })
}

/// A kernel in the cache, as `spec` asked for it.
fn kernel(spec: &str, stored: Stored, patches: Vec<String>, effort: Effort) -> Kernel {
    let Stored { image, meta } = stored;
    Kernel {
        spec: spec.to_owned(),
        image,
        release: meta.release,
        image_sha256: meta.image_sha256,
        modules: None,
        patches,
        series: Some(meta.series),
        source_version: Some(meta.version),
        is_package: false,
        effort,
    }
}

fn read_patches(patches: &[PatchRef], series: &str) -> Result<Vec<patch::Patch>> {
    patches.iter().map(|patch| read_patch(patch, series)).collect()
}

fn read_patch(patch: &PatchRef, series: &str) -> Result<patch::Patch> {
    match patch {
        PatchRef::Name(name) => {
            Ok(patch::Patch { name: patch.name(), content: catalog::patch(series, name)?.into_bytes() })
        }
        PatchRef::File(file) => {
            let failed = |e| Error::usage(format!("cannot read the patch {}: {e}", file.display()));
            Ok(patch::Patch { name: patch.name(), content: std::fs::read(file).map_err(failed)? })
        }
    }
}

impl SpecContext for Catalog {
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
