//! Builds any number of kernels from one tree of the user's, each from a snapshot of it.

use super::incremental::{self, BuildOptions};
use super::ingredients::{Fragment, Options, ingredients, kernel};
use super::store::{self, Ingredients};
use crate::error::{Error, Result};
use crate::kernel::bootable::{Effort, Kernel};
use crate::kernel::image::identify::{self, Kind};
use crate::kernel::source::catalog::Catalog;
use crate::kernel::source::debian::Source;
use crate::kernel::source::snapshot::{Snapshot, SourceTree};
use crate::kernel::spec::{self, PatchRef};
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use std::path::Path;
use std::time::Instant;

/// Builds kernels from one tree of the user's.
pub struct Builder<'a> {
    /// The tree, as the user wrote it.
    pub word: String,
    pub place: SourceTree,
    patches: Vec<PatchRef>,
    config: Vec<Fragment>,
    cache: &'a Cache,
}

impl<'a> Builder<'a> {
    /// Makes a builder for the tree at `word` with what `options` say.
    pub fn new(word: &str, options: &Options, cache: &'a Cache) -> Result<Self> {
        let path = Path::new(word);
        if !path.exists() {
            return Err(Error::usage(format!("no source tree at {word}")));
        }
        let no_tree = || Error::usage(format!("{word} is a kernel image or a package, but a git tree is needed"));
        if identify::kind(path)? != Kind::Tree {
            return Err(no_tree());
        }
        let patches = options.patches.iter().map(|p| spec::patch_ref(p, &Catalog::load()?)).collect::<Result<_>>()?;
        Ok(Self {
            word: word.to_owned(),
            place: SourceTree::open(path, cache)?,
            patches,
            config: options.config.clone(),
            cache,
        })
    }

    /// Returns what the kernel of `snapshot` is kept under.
    pub fn key(&self, snapshot: &Snapshot) -> Result<String> {
        Ok(self.ingredients(snapshot)?.key())
    }

    /// Makes the kernel of `snapshot`, from the cache if it is there.
    pub fn build(&self, snapshot: &Snapshot, how: &BuildOptions, ui: &Ui) -> Result<Kernel> {
        let started = Instant::now();
        let ingredients = self.ingredients(snapshot)?;
        let (stored, built) = match store::find(&ingredients, self.cache) {
            Some(stored) => (stored, false),
            None => (incremental::build(&ingredients, how, self.cache, ui)?, true),
        };
        let effort = Effort { seconds: started.elapsed().as_secs_f64(), downloaded_bytes: 0, built };
        let names = self.patches.iter().map(PatchRef::name).collect();
        Ok(kernel(&format!("{}@{}", self.word, snapshot.described), stored, names, effort))
    }

    fn ingredients(&self, snapshot: &Snapshot) -> Result<Ingredients> {
        ingredients(Source::Tree(snapshot.clone()), &self.patches, &self.config)
    }
}
