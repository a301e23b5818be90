//! Kernels as a distribution builds them: which there are, getting them by name, and putting patches into their modules.

mod compiler;
mod fit;
mod includes;
mod module_tree;
pub mod named;
pub mod offer;
pub mod patched;
mod touched;

use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::kernel::image::user_kernel::UserKernel;
use crate::kernel::source::catalog::Series;
use crate::kernel::source::patch::Patch;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use named::NamedKernel;
use offer::Image;
use patched::Patched;

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
