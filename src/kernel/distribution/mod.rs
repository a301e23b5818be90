//! Kernels as a distribution builds them: which there are, getting them by name, and putting patches into their modules.

mod compiler;
mod fit;
mod includes;
pub mod module_tree;
pub mod named;
pub mod offer;
pub mod patched;
mod touched;

use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::kernel::external::toolchain;
use crate::kernel::image::user_kernel::UserKernel;
use crate::kernel::source::catalog::{Catalog, Series};
use crate::kernel::source::patch::Patch;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::os::search_path::SearchPath;
use crate::probe::version::Version;
use named::NamedKernel;
use offer::Image;
use patched::Patched;

/// The lowest series that is judged where none is named; it is the one that the tests build, too.
pub const USUAL: &str = "6.1";

/// Returns the kernel that is judged where none is named. It is Debian's for clouds, as no kernel is compiled for it and a patch takes half a
/// minute: of the lowest series from 6.1 on whose modules the gcc of this machine can rebuild. Guests with `several` processors get Debian's for
/// any machine, which takes longer: that for clouds finds one of them (it has no CONFIG_X86_MPPARSE). Where there is another gcc, it is the
/// series 6.1 built from source, which takes any.
pub fn usual(catalog: &Catalog, several: bool) -> String {
    let is_free = toolchain::chosen_compiler().is_some() || SearchPath::from_env().find("gcc").is_none();
    usual_with(catalog, several, |major| is_free || compiler::installed(major).is_some())
}

fn usual_with(catalog: &Catalog, several: bool, has_gcc: impl Fn(u32) -> bool) -> String {
    let version = |series: &Series| series.version().ok();
    let lowest: Option<Version> = USUAL.parse().ok();
    let mut all: Vec<&Series> = catalog.iter().filter(|series| version(series) >= lowest).collect();
    all.sort_by_key(|series| version(series));
    let fits = all.into_iter().find(|series| has_gcc(series.gcc));
    let flavour = if several { "amd64" } else { "cloud" };
    fits.map_or(USUAL.to_owned(), |series| format!("{}:{flavour}", series.name))
}

/// A distribution's kernel, and what is put into it.
pub struct DistributionKernel {
    /// The word of the command line.
    pub word: String,
    pub place: Place,
    pub series: Series,
    pub patches: Vec<Patch>,
}

/// Where it comes from.
pub enum Place {
    /// The archive has it.
    Named(NamedKernel),
    /// The user has its packages, of which one is this image's.
    Files(UserKernel, Image),
}

impl DistributionKernel {
    /// Makes the kernel ready, the newest that there is if `refresh`.
    pub fn ready(&self, refresh: bool, cache: &Cache, ui: &Ui) -> Result<Kernel> {
        let kernel = match &self.place {
            Place::Named(named) => named.ready(refresh, cache, ui)?,
            Place::Files(own, _) => own.ready(cache, ui)?,
        };
        match self.patched(cache, &kernel)? {
            Some(patched) => patched.ready(kernel, cache, ui),
            None => Ok(kernel),
        }
    }

    /// Returns the kernel if it is ready; nothing is fetched or built.
    pub fn cached(&self, cache: &Cache) -> Result<Option<Kernel>> {
        let kernel = match &self.place {
            Place::Named(named) => named.cached(cache)?,
            Place::Files(own, _) => own.cached(cache)?,
        };
        let Some(kernel) = kernel else { return Ok(None) };
        match self.patched(cache, &kernel)? {
            Some(patched) => patched.cached(kernel, cache),
            None => Ok(Some(kernel)),
        }
    }

    /// Returns what is to be made of the unpatched `kernel`; nothing, if it is to stay as it is.
    fn patched(&self, cache: &Cache, kernel: &Kernel) -> Result<Option<Patched<'_>>> {
        if self.patches.is_empty() {
            return Ok(None);
        }
        let image = match &self.place {
            Place::Named(named) => {
                named.image(cache).ok_or_else(|| Error::machine("the kernel has gone from the cache"))?
            }
            Place::Files(_, image) => image.clone(),
        };
        if kernel.release != image.release() {
            return Err(Error::usage(format!(
                "{} is called {}, but the kernel in it is {}, so it is not Debian's, and no patch is put into it",
                self.word, image.package, kernel.release
            )));
        }
        Ok(Some(Patched::new(&self.word, image, &self.series, &self.patches)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_that_nobody_named_is_one_that_this_machines_gcc_can_rebuild() {
        let catalog = Catalog::load().unwrap();
        let usual = |there: &[u32]| usual_with(&catalog, false, |major| there.contains(&major));
        assert_eq!(usual(&[10, 12]), "6.1:cloud", "Debian bookworm");
        assert_eq!(usual(&[14]), "6.12:cloud", "Debian trixie");
        assert_eq!(usual(&[12, 14]), "6.1:cloud", "the lower series first");
        assert_eq!(usual(&[10]), "6.1", "older series are not what anybody means");
        assert_eq!(usual(&[13]), "6.1", "built from source");
        assert_eq!(usual_with(&catalog, true, |_| true), "6.1:amd64", "which brings up all processors");
    }
}
