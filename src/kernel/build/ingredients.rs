//! Everything that a kernel is made from.

use super::config;
use super::store::{Ingredients, Stored};
use crate::error::{Error, Result};
use crate::kernel::bootable::{Effort, Kernel};
use crate::kernel::external::toolchain;
use crate::kernel::source::debian::Source;
use crate::kernel::source::{catalog, patch};
use crate::kernel::spec::PatchRef;
use crate::probe::version::Version;
use std::path::PathBuf;

/// A part of a kernel's configuration beside the usual one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// A file of the user's.
    File(PathBuf),
    /// Allocations can be made to fail.
    FaultInjection,
    /// NFS code counts what is executed of it, and allocations can be made to fail.
    Coverage,
}

/// What options say beside the spec.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--patch`, each a name or a file.
    pub patches: Vec<String>,
    /// `--rev`.
    pub rev: Option<String>,
    /// `--config` and what a command needs, each a fragment that is joined to ours.
    pub config: Vec<Fragment>,
    /// `--modules`: the directory or the packages of an image's modules.
    pub modules: Vec<PathBuf>,
    /// Whether to ask the archive for a newer source, or be content with the one in the cache.
    pub refresh: bool,
}

/// Returns everything that the kernel of `source` with `patches` is made from.
pub fn ingredients(source: Source, patches: &[PatchRef], fragments: &[Fragment]) -> Result<Ingredients> {
    let (base, version) = match &source {
        Source::Package { series, .. } => (series.fragment()?, series.version()?),
        Source::Tree(snapshot) => (catalog::fragment_for(snapshot.version)?, snapshot.version),
    };
    let mut texts = vec![base];
    for fragment in fragments {
        texts.push(fragment.text(version)?);
    }
    let patches = read_patches(patches, &source.linux()?.to_string())?;
    Ok(Ingredients { source, fragment: config::joined(&texts), patches, compiler: toolchain::compiler()? })
}

impl Fragment {
    /// Returns what it asks of kernels of `version`.
    fn text(&self, version: Version) -> Result<String> {
        let file = match self {
            Self::File(file) => file,
            Self::FaultInjection => return catalog::fault_injection(version),
            Self::Coverage => return catalog::coverage(version),
        };
        let failed = |e| Error::usage(format!("cannot read the configuration {}: {e}", file.display()));
        let text = std::fs::read(file).map_err(failed)?;
        config::of_user(&file.display().to_string(), &String::from_utf8_lossy(&text), version)
    }
}

/// Makes a kernel in the cache, as `spec` asked for it.
pub fn kernel(spec: &str, stored: Stored, patches: Vec<String>, effort: Effort) -> Kernel {
    let Stored { image, meta } = stored;
    Kernel {
        spec: spec.to_owned(),
        image,
        release: meta.release,
        image_sha256: meta.image_sha256,
        modules: None,
        patched_modules: None,
        patches,
        series: Some(meta.series),
        source_version: Some(meta.version),
        is_package: false,
        effort,
    }
}

pub fn read_patches(patches: &[PatchRef], series: &str) -> Result<Vec<patch::Patch>> {
    patches.iter().map(|patch| read_patch(patch, series)).collect()
}

pub fn read_patch(patch: &PatchRef, series: &str) -> Result<patch::Patch> {
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
