//! What to boot: from one word on the command line to a kernel image in the cache.

pub mod bootable;
pub mod build;
pub mod distribution;
pub mod external;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod image;
pub mod source;
pub mod spec;

pub use build::tree_builder::Builder;

use crate::error::{Error, Result};
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use bootable::{Effort, Kernel};
use build::incremental::BuildOptions;
use build::ingredients::{Fragment, Options, ingredients, kernel, read_patches};
use build::store::{Ingredients, Stored};
use build::{incremental, store};
use distribution::named::NamedKernel;
use distribution::offer::Image;
use distribution::{DistributionKernel, Place, USUAL};
use external::toolchain;
use image::identify::{self, Kind};
use image::user_kernel::UserKernel;
use source::catalog::{Catalog, Series};
use source::debian::{self, Source};
use source::snapshot::{Snapshot, SourceTree};
use spec::{Base, Flavour, PatchRef, Spec, SpecContext};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Makes what `spec` asks for ready to boot, building it if it is not in the cache.
pub fn resolve(spec: &str, options: &Options, cache: &Cache, ui: &Ui) -> Result<Kernel> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::from_spec(spec, options, &catalog, cache)? {
        Found::UserKernel(own) => return own.ready(cache, ui),
        Found::Distribution(kernel) => return kernel.ready(options.refresh, cache, ui),
        Found::Wanted(wanted) => wanted,
    };
    let started = Instant::now();
    let (source, downloaded_bytes) = wanted.base.source(options.refresh, cache, ui)?;
    let ingredients = wanted.ingredients(source)?;
    let (stored, built) = match store::find(&ingredients, cache) {
        Some(stored) => (stored, false),
        None => (incremental::build(&ingredients, &BuildOptions::default(), cache, ui)?, true),
    };
    let effort = Effort { seconds: started.elapsed().as_secs_f64(), downloaded_bytes, built };
    Ok(wanted.kernel(stored, effort))
}

/// Returns what `spec` asks for, if it is ready to boot; nothing is fetched or built.
pub fn cached(spec: &str, options: &Options, cache: &Cache) -> Result<Option<Kernel>> {
    let catalog = Catalog::load()?;
    let wanted = match Wanted::from_spec(spec, options, &catalog, cache)? {
        Found::UserKernel(own) => return own.cached(cache),
        Found::Distribution(kernel) => return kernel.cached(cache),
        Found::Wanted(wanted) => wanted,
    };
    let stored = wanted.at_hand(cache)?.and_then(|ingredients| store::find(&ingredients, cache));
    Ok(stored.map(|stored| wanted.kernel(stored, Effort::default())))
}

/// Returns whether what `spec` asks for seems to be ready to boot: of a kernel that was built only the note is read, as its digest takes a fifth
/// of a second, and whoever boots it looks at that.
pub fn is_at_hand(spec: &str, options: &Options, cache: &Cache) -> Result<bool> {
    let catalog = Catalog::load()?;
    Ok(match Wanted::from_spec(spec, options, &catalog, cache)? {
        Found::UserKernel(own) => own.cached(cache)?.is_some(),
        Found::Distribution(kernel) => kernel.cached(cache)?.is_some(),
        Found::Wanted(wanted) => wanted.at_hand(cache)?.is_some_and(|ingredients| store::is_noted(&ingredients, cache)),
    })
}

/// What a spec leads to.
enum Found<'a> {
    /// A kernel of the user's.
    UserKernel(UserKernel),
    /// A distribution's kernel, by name or with patches.
    Distribution(DistributionKernel),
    /// A kernel to be built.
    Wanted(Wanted<'a>),
}

/// Sources with patches.
struct Wanted<'a> {
    spec: String,
    base: WantedBase<'a>,
    patches: Vec<PatchRef>,
    config: Vec<Fragment>,
}

/// Where the sources come from.
enum WantedBase<'a> {
    Series(&'a Series),
    Tree(SourceTree, Option<String>),
}

impl WantedBase<'_> {
    /// Makes sure of the sources; gives them, and how many bytes were fetched for them.
    fn source(&self, refresh: bool, cache: &Cache, ui: &Ui) -> Result<(Source, u64)> {
        let series = match self {
            Self::Tree(place, Some(rev)) => return Ok((Source::Tree(place.at(rev)?), 0)),
            Self::Tree(place, None) => return Ok((Source::Tree(snapshot_as_it_is(place, cache, ui)?), 0)),
            Self::Series(series) => *series,
        };
        let at_hand = debian::cached(series, cache).filter(|_| !refresh);
        let (package, bytes) = match at_hand {
            Some(package) => (package, 0),
            None => {
                // Before 150 MB are fetched for nothing.
                toolchain::check(true)?;
                debian::newest(series, cache, ui)?
            }
        };
        Ok((Source::Package { series: series.clone(), package }, bytes))
    }
}

/// Takes a snapshot of the tree as it lies there, and says if it is not as committed.
fn snapshot_as_it_is(place: &SourceTree, cache: &Cache, ui: &Ui) -> Result<Snapshot> {
    let snapshot = place.as_it_is(cache, ui)?;
    if snapshot.uncommitted > 0 {
        ui.warn(&format!("{} is {}", place.path.display(), snapshot.described));
    }
    Ok(snapshot)
}

/// Returns the distribution's kernel that `word` names.
fn named<'a>(
    word: &str,
    flavour: &Flavour,
    patches: &[PatchRef],
    options: &Options,
    catalog: &'a Catalog,
) -> Result<Found<'a>> {
    let series = catalog.series(&flavour.series).expect("the parser asked for it");
    if !options.modules.is_empty() {
        return Err(Error::usage(format!("--modules goes with a kernel image or package; {word} brings its modules")));
    }
    takes_no_config(word, options)?;
    let patches = read_patches(patches, &series.name)?;
    // `newest` has a name of its own.
    let flavour = Flavour { series: series.name.clone(), ..flavour.clone() };
    let (word, series) = (word.to_owned(), series.clone());
    let place = Place::Named(NamedKernel { word: word.clone(), series: series.clone(), flavour });
    Ok(Found::Distribution(DistributionKernel { word, place, series, patches }))
}

/// Fails if the user configures a kernel that `word` says is built already.
fn takes_no_config(word: &str, options: &Options) -> Result<()> {
    if options.config.contains(&Fragment::Coverage) {
        return Err(Error::usage(format!(
            "{word} is as somebody else built it, without vm/coverage.config and the compiler's notes on its code, so what is executed of it cannot \
             be told; name a kernel that dirleak builds, such as {USUAL} or a source tree"
        )));
    }
    if options.config.contains(&Fragment::FaultInjection) {
        return Err(Error::usage(format!(
            "{word} is as somebody else configured it, without fault injection, so no allocation can be made to fail; name a kernel that dirleak \
             builds, such as {USUAL} or a source tree"
        )));
    }
    if options.config.is_empty() {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--config goes with a kernel that is built from source, such as {USUAL}; {word} is as somebody else configured it"
    )))
}

/// Returns the kernel of the user's packages and images, the first of which is at `path` and of a `kind`; Debian's own takes patches.
fn own<'a>(
    word: &str,
    (path, kind): (&Path, Kind),
    spec: &Spec,
    options: &Options,
    catalog: &'a Catalog,
) -> Result<Found<'a>> {
    if options.config.iter().any(|fragment| *fragment != Fragment::FaultInjection) {
        // An image may be one that was built with it; the guest tells if it was not.
        takes_no_config(word, options)?;
    }
    let is_patched = kind == Kind::Package && spec.rev.is_none() && !spec.patches.is_empty();
    let files = || std::iter::once(path).chain(spec.beside.iter().map(PathBuf::as_path));
    let image = is_patched.then(|| files().find_map(Image::from_file)).flatten();
    let is_refused = spec.rev.is_some() || (image.is_none() && !spec.patches.is_empty());
    let own = UserKernel::new(word, path, kind, is_refused, &spec.beside, &options.modules)?;
    let Some(image) = image else { return Ok(Found::UserKernel(own)) };
    let unknown = || {
        Error::usage(format!(
            "{word}: patches are put into Debian's kernels of the series {} only, and {} is of none of them",
            catalog.names(),
            image.package
        ))
    };
    let series = catalog.series(&image.series()).ok_or_else(unknown)?.clone();
    let patches = read_patches(&spec.patches, &series.name)?;
    Ok(Found::Distribution(DistributionKernel {
        word: word.to_owned(),
        place: Place::Files(own, image),
        series,
        patches,
    }))
}

impl<'a> Wanted<'a> {
    fn from_spec(word: &str, options: &Options, catalog: &'a Catalog, cache: &Cache) -> Result<Found<'a>> {
        let spec = spec::parse(word, &options.patches, options.rev.as_deref(), catalog)?;
        let base = match &spec.base {
            Base::Distribution(flavour) => return named(word, flavour, &spec.patches, options, catalog),
            Base::Series(name) => WantedBase::Series(catalog.series(name).expect("the parser asked for it")),
            Base::Path(path) => match identify::kind(path)? {
                Kind::Tree if !spec.beside.is_empty() => {
                    return Err(Error::usage(format!("{word} names packages beside a source tree, which needs none")));
                }
                Kind::Tree => WantedBase::Tree(SourceTree::open(path, cache)?, spec.rev.clone()),
                kind => return own(word, (path, kind), &spec, options, catalog),
            },
        };
        if !options.modules.is_empty() {
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

    /// Returns what it is made from, if that is there; nothing is fetched.
    fn at_hand(&self, cache: &Cache) -> Result<Option<Ingredients>> {
        let source = match &self.base {
            WantedBase::Series(series) => match debian::cached(series, cache) {
                Some(package) => Source::Package { series: (*series).clone(), package },
                None => return Ok(None),
            },
            tree => tree.source(false, cache, &Ui::new())?.0,
        };
        self.ingredients(source).map(Some)
    }

    fn ingredients(&self, source: Source) -> Result<Ingredients> {
        ingredients(source, &self.patches, &self.config)
    }

    fn kernel(&self, stored: Stored, effort: Effort) -> Kernel {
        let names = self.patches.iter().map(PatchRef::name).collect();
        kernel(&self.spec, stored, names, effort)
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
