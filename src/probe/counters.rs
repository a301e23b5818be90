//! Every counter that a kernel has: slab caches, and the sources beside them.

use super::pages::Pages;
use super::percpu::Percpu;
use super::slab::Slabs;
use super::vmalloc::Vmalloc;
use super::{alloc_traces, control_allocs, ftrace, page_owner};
use crate::error::Result;
use crate::sample::{Sample, Site};
use serde::{Deserialize, Serialize};

/// What is missing of a kernel on which nothing tells who allocated an object.
pub const CALL_SITES: &str = "call sites";

/// All of them, with their files kept open.
pub struct Counters {
    slabs: Slabs,
    pages: Option<Pages>,
    vmalloc: Option<Vmalloc>,
    percpu: Option<Percpu>,
    site_source: SiteSource,
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
        let site_source = match alloc_traces::read(control_allocs::CACHE) {
            Some(_) => SiteSource::Kept,
            None if ftrace::traces_objects() => SiteSource::Traced,
            None => SiteSource::None,
        };
        Ok(Self { slabs, pages: Pages::open(), vmalloc: Vmalloc::open(), percpu: Percpu::open(), site_source })
    }

    /// How this kernel tells who allocated an object.
    pub fn site_source(&self) -> SiteSource {
        self.site_source
    }

    /// The slab caches.
    pub fn slabs(&self) -> &Slabs {
        &self.slabs
    }

    /// Sources that this kernel does not have, or, as per-CPU memory in pages, that no control can show to work.
    pub fn missing(&self) -> Vec<String> {
        let sources = [
            (crate::sample::PAGES, self.pages.is_some()),
            (crate::sample::VMALLOC, self.vmalloc.is_some()),
            (crate::sample::PERCPU, self.percpu.as_ref().is_some_and(Percpu::is_exact)),
            (CALL_SITES, self.site_source != SiteSource::None),
        ];
        sources.into_iter().filter(|(_, there)| !there).map(|(name, _)| name.to_owned()).collect()
    }

    /// All of them. Pages come first: reading the others takes pages for a moment.
    pub fn read(&self) -> Result<Sample> {
        let pages = self.pages.as_ref().map(Pages::read).transpose()?.flatten();
        let mut sample = self.slabs.read()?;
        let others = [
            (crate::sample::PAGES, pages),
            (crate::sample::VMALLOC, self.vmalloc.as_ref().map(Vmalloc::read).transpose()?),
            (crate::sample::PERCPU, self.percpu.as_ref().map(Percpu::read).transpose()?.flatten()),
        ];
        let there = others.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?)));
        sample.objects.extend(there);
        Ok(sample)
    }

    /// Who allocated what a counter counts; `None` if the kernel does not say.
    pub fn sites(&self, counter: &str) -> Result<Option<Vec<Site>>> {
        match counter {
            crate::sample::PAGES => Ok(page_owner::read()),
            crate::sample::VMALLOC => self.vmalloc.as_ref().map(Vmalloc::sites).transpose(),
            crate::sample::PERCPU => Ok(None),
            cache => Ok(alloc_traces::read(cache)),
        }
    }
}
