//! The kernels that trials boot: built once, before the first trial runs.

use dirleak::internals::kernel;
use dirleak::internals::kernel::build::ingredients::Options;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use std::collections::{BTreeMap, BTreeSet};

/// What became of each kernel that was asked for: its image, or the sentence that says why there is none.
pub struct Kernels(BTreeMap<String, Result<String, String>>);

impl Kernels {
    /// Builds what is not in the cache. Progress is shown on standard error.
    pub fn build(specs: &BTreeSet<String>) -> Self {
        let built = specs.iter().map(|spec| (spec.clone(), build(spec)));
        Self(built.collect())
    }

    /// The image of a kernel that was built.
    pub fn image(&self, spec: &str) -> Result<&str, String> {
        match self.0.get(spec) {
            Some(Ok(image)) => Ok(image),
            Some(Err(sentence)) => Err(format!("there is no kernel {spec} to boot: {sentence}")),
            None => Err(format!("the kernel {spec} was not built, as no trial said that it needs it")),
        }
    }
}

fn build(spec: &str) -> Result<String, String> {
    let built = Cache::open().and_then(|cache| kernel::resolve(spec, &Options::default(), &cache, &Ui::new()));
    built.map(|kernel| kernel.image.display().to_string()).map_err(|e| e.to_string())
}

/// Why trials of a series are left out, if they are: its kernel is not in the cache, and nobody asked for it.
pub fn left_out(series: &str) -> Option<String> {
    left_out_unless(series, series)
}

/// Why trials of the kernel `spec` are left out, if they are: it is not in the cache, and nobody asked for it by the word `asked_by`.
pub fn left_out_unless(spec: &str, asked_by: &str) -> Option<String> {
    let asked = std::env::var("DIRLEAK_SERIES").unwrap_or_default();
    if asked.split_whitespace().any(|name| name == asked_by) {
        return None;
    }
    match Cache::open().and_then(|cache| kernel::cached(spec, &Options::default(), &cache)) {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!("Linux {spec} is not in the cache; DIRLEAK_SERIES={asked_by} has it made")),
        Err(error) => Some(error.to_string()),
    }
}

/// What has the trials tried that take longer.
const NIGHTLY: &str = "DIRLEAK_NIGHTLY";

/// Returns why a trial of the set nightly is left out: nobody asked for it. `what` is the reason in a sentence without an end.
pub fn only_nightly(what: &str) -> Option<String> {
    let asked = std::env::var_os(NIGHTLY).is_some_and(|value| !value.is_empty());
    (!asked).then(|| format!("{what}, which {NIGHTLY}=1 has tried"))
}
