//! Knows the kernels that the user brings, an image or a package, which are never written to.

use super::identify::{self, Kind};
use super::{distro_package, extract_vmlinux, modules};
use crate::error::{Context, Error, Result};
use crate::kernel::bootable::{Effort, Kernel};
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A kernel of the user's.
pub struct UserKernel {
    /// The word of the command line.
    word: String,
    path: PathBuf,
    what: What,
    /// `--modules`.
    modules: Option<PathBuf>,
}

enum What {
    Image { release: String },
    Package,
}

/// An image that can be found, and where its modules are.
struct Found {
    image: PathBuf,
    image_sha256: String,
    release: String,
    modules: Option<PathBuf>,
}

impl UserKernel {
    /// Takes `path`, which is of a `kind` but no tree; `is_changed` if a revision or patches of it are wanted, which it cannot have.
    pub fn new(word: &str, path: &Path, kind: Kind, is_changed: bool, modules: Option<&Path>) -> Result<Self> {
        let shown = path.display();
        let (what, name) = match kind {
            Kind::Image { release } => (What::Image { release }, "kernel image"),
            Kind::Package | Kind::Tree => (What::Package, "kernel package"),
        };
        if is_changed {
            return Err(Error::usage(format!(
                "{shown} is a {name}, which takes neither a revision nor a patch; build a patched one from a series or \
                 a source tree, for instance 6.1+FILE.patch"
            )));
        }
        let path = path.canonicalize().machine(|| format!("cannot find {shown}"))?;
        Ok(Self { word: word.to_owned(), path, what, modules: modules.map(Path::to_owned) })
    }

    /// Makes the kernel ready: unpacks it as far as that makes it boot faster.
    pub fn ready(&self, cache: &Cache, ui: &Ui) -> Result<Kernel> {
        let begin = Instant::now();
        let found = match &self.what {
            What::Image { release } => self.image(release)?,
            What::Package => distro_package::unpack(&self.path, &identify::sha256(&self.path)?, cache, ui)?.into(),
        };
        let image = extract_vmlinux::fastest(&found.image, &found.image_sha256, cache, ui)?;
        let effort = Effort { seconds: begin.elapsed().as_secs_f64(), ..Effort::default() };
        self.kernel(Found { image, ..found }, effort)
    }

    /// Returns the kernel, if nothing has to be unpacked; an image is ready as it is.
    pub fn cached(&self, cache: &Cache) -> Result<Option<Kernel>> {
        let found = match &self.what {
            What::Image { release } => Some(self.image(release)?),
            What::Package => distro_package::find(&identify::sha256(&self.path)?, cache).map(Found::from),
        };
        found.map(|found| self.kernel(found, Effort::default())).transpose()
    }

    fn image(&self, release: &str) -> Result<Found> {
        let image_sha256 = identify::sha256(&self.path)?;
        Ok(Found { image: self.path.clone(), image_sha256, release: release.to_owned(), modules: None })
    }

    fn kernel(&self, found: Found, effort: Effort) -> Result<Kernel> {
        let modules = match &self.modules {
            Some(dir) => Some(modules::locate(dir, &found.release)?),
            None => found.modules,
        };
        Ok(Kernel {
            spec: self.word.clone(),
            image: found.image,
            release: found.release,
            image_sha256: found.image_sha256,
            modules,
            patches: Vec::new(),
            series: None,
            source_version: None,
            is_package: matches!(self.what, What::Package),
            effort,
        })
    }
}

impl From<distro_package::Unpacked> for Found {
    fn from(unpacked: distro_package::Unpacked) -> Self {
        let distro_package::Unpacked { image, image_sha256, release, modules } = unpacked;
        Self { image, image_sha256, release, modules }
    }
}
