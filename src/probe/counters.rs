//! Every counter that a kernel has: slab caches, and the sources beside them.

pub(super) mod pages;
pub(super) mod percpu;
mod source;
pub(super) mod vmalloc;

use super::slab::Slabs;
use super::{alloc_traces, control_allocs, ftrace, page_owner};
use crate::error::Result;
use crate::sample::{CounterKind, Sample, Site};
use pages::Pages;
use percpu::Percpu;
use serde::{Deserialize, Serialize};
use source::CounterSource;
use vmalloc::Vmalloc;

/// What is missing of a kernel on which nothing tells who allocated an object.
pub const CALL_SITES: &str = "call sites";

/// What is said of a kernel that keeps both, of which only one may be asked.
const LOCKS_UP: &str = "of slub_debug=U and page_owner=on, with which this machine was booted, only page_owner was asked: since Linux 6.8 reading \
    alloc_traces while page_owner watches can lock the machine up; who allocated slab objects is told by a trace";

/// All of them, with their files kept open.
pub struct Counters {
    slabs: Slabs,
    sources: Vec<Source>,
    site_source: SiteSource,
    /// Whether the kernel would lock up if it was asked who allocated slab objects.
    locks_up: bool,
    /// Why a trace would name no function, if it would not.
    untraceable: Option<&'static str>,
}

/// A kind of counter, and where this kernel tells it, if it does.
type Source = (CounterKind, Option<Box<dyn CounterSource>>);

/// Opens every source beside the slab caches: one line for each.
fn open_sources() -> Vec<Source> {
    vec![
        // First: reading the others takes pages for a moment.
        source(CounterKind::Pages, Pages::open()),
        source(CounterKind::Vmalloc, Vmalloc::open()),
        source(CounterKind::Percpu, Percpu::open()),
    ]
}

fn source(kind: CounterKind, opened: Option<impl CounterSource + 'static>) -> Source {
    (kind, opened.map(|source| Box::new(source) as Box<dyn CounterSource>))
}

/// How this kernel tells who allocated an object.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum SiteSource {
    /// It keeps that of each object, and can be asked at any time.
    Kept,
    /// Some units must be traced.
    Traced,
    /// It does not.
    #[default]
    None,
}

impl Counters {
    /// Opens what there is; a kernel that cannot count slab objects is no kernel for us.
    pub fn open() -> Result<Self> {
        let slabs = Slabs::open()?;
        let untraceable = ftrace::are_kept_back().then_some(ftrace::KEPT_BACK);
        let locks_up = alloc_traces::are_kept() && page_owner::locks_up_slabs();
        let site_source = match (!locks_up).then(|| alloc_traces::read(control_allocs::CACHE)).flatten() {
            Some(_) => SiteSource::Kept,
            None if untraceable.is_none() && ftrace::traces_objects() => SiteSource::Traced,
            None => SiteSource::None,
        };
        Ok(Self { slabs, sources: open_sources(), site_source, locks_up, untraceable })
    }

    /// Returns, in a sentence, why a trace of this kernel would name no function; `None` if it would.
    pub fn untraceable(&self) -> Option<&'static str> {
        self.untraceable
    }

    /// Returns what was not asked although the kernel keeps it, so far, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let of_sources =
            self.sources.iter().filter_map(|(_, source)| source.as_ref()).flat_map(|source| source.notes());
        let of_slabs = self.locks_up.then_some(LOCKS_UP).into_iter().chain(self.slabs.note());
        of_slabs.chain(of_sources).map(str::to_owned).collect()
    }

    /// Returns how this kernel tells who allocated an object.
    pub fn site_source(&self) -> SiteSource {
        self.site_source
    }

    /// Returns the slab caches.
    pub fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// Returns the sources that this kernel does not have, or, as per-CPU memory in pages, that no control can show to work.
    pub fn missing(&self) -> Vec<String> {
        let is_exact = |source: &Option<Box<dyn CounterSource>>| source.as_ref().is_some_and(|s| s.is_exact());
        let missing =
            self.sources.iter().filter(|(_, source)| !is_exact(source)).filter_map(|(kind, _)| kind.counter());
        let call_sites = (self.site_source == SiteSource::None).then_some(CALL_SITES);
        missing.chain(call_sites).map(str::to_owned).collect()
    }

    /// Reads all of them as they are.
    pub fn read(&self) -> Result<Sample> {
        self.read_with(Slabs::read)
    }

    /// Reads all of them, each slab cache right after what lies free in it was handed back.
    pub fn read_shrunk(&self) -> Result<Sample> {
        self.read_with(Slabs::read_shrunk)
    }

    /// Reads all of them, the first source before the slab caches.
    fn read_with(&self, read_slabs: impl FnOnce(&Slabs) -> Result<Sample>) -> Result<Sample> {
        let mut counts = self.sources.iter().filter_map(|(kind, source)| count(*kind, source.as_deref()?).transpose());
        let first = counts.next();
        let mut sample = read_slabs(&self.slabs)?;
        for count in first.into_iter().chain(counts) {
            sample.objects.extend([count?]);
        }
        Ok(sample)
    }

    /// Returns who allocated what a counter counts; `None` if the kernel does not say.
    pub fn sites(&self, counter: &str) -> Result<Option<Vec<Site>>> {
        let kind = CounterKind::from_counter(counter);
        match self.sources.iter().find(|(of, _)| *of == kind) {
            Some((_, source)) => source.as_ref().map_or(Ok(None), |source| source.sites()),
            None if self.locks_up => Ok(None),
            None => Ok(alloc_traces::read(counter)),
        }
    }
}

/// Returns the name and the count of a source; `None` if it cannot be read as it is known to be.
fn count(kind: CounterKind, source: &dyn CounterSource) -> Result<Option<(String, i64)>> {
    let count = source.count()?;
    Ok(kind.counter().zip(count).map(|(name, count)| (name.to_owned(), count)))
}
