//! Every counter that a kernel has: slab caches, and the sources beside them.

pub(super) mod pages;
pub(super) mod percpu;
mod source;
pub(super) mod vmalloc;

use super::kernel_files::KernelFiles;
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

/// How a source is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Precision {
    Exact,
    /// Where a tenth of a second of search matters more than the few pages that it would find.
    Rough,
}

/// A kind of counter, and where this kernel tells it, if it does.
type Source = (CounterKind, Option<Box<dyn CounterSource>>);

/// Opens every source beside the slab caches: one line for each.
fn open_sources(files: &KernelFiles) -> Vec<Source> {
    vec![
        // First: reading the others takes pages for a moment.
        source(CounterKind::Pages, Pages::open(files)),
        source(CounterKind::Vmalloc, Vmalloc::open(files)),
        source(CounterKind::Percpu, Percpu::open(files)),
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
    pub fn open(files: &KernelFiles) -> Result<Self> {
        let slabs = Slabs::open(files)?;
        let untraceable = ftrace::are_kept_back(files).then_some(ftrace::KEPT_BACK);
        let locks_up = alloc_traces::are_kept(files) && page_owner::locks_up_slabs(files);
        let site_source = match (!locks_up).then(|| alloc_traces::read(files, control_allocs::CACHE)).flatten() {
            Some(_) => SiteSource::Kept,
            None if untraceable.is_none() && ftrace::traces_objects(files) => SiteSource::Traced,
            None => SiteSource::None,
        };
        Ok(Self { slabs, sources: open_sources(files), site_source, locks_up, untraceable })
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

    /// Returns the kernel's files, of which these are read.
    pub fn files(&self) -> &KernelFiles {
        self.slabs.files()
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
    pub fn read(&self, precision: Precision) -> Result<Sample> {
        self.read_with(precision, Slabs::read)
    }

    /// Reads all of them, each slab cache right after what lies free in it was handed back.
    pub fn read_shrunk(&self, precision: Precision) -> Result<Sample> {
        self.read_with(precision, Slabs::read_shrunk)
    }

    /// Reads all of them, the first source before the slab caches. Objects of these that stand for what is not in use any more do not count.
    fn read_with(&self, precision: Precision, read_slabs: impl FnOnce(&Slabs) -> Result<Sample>) -> Result<Sample> {
        let of_source = |(kind, source): &Source| count(*kind, source.as_deref()?, precision).transpose();
        let mut counts = self.sources.iter().filter_map(of_source);
        let first = counts.next();
        let mut sample = read_slabs(&self.slabs)?;
        for count in first.into_iter().chain(counts) {
            sample.objects.extend([count?]);
        }
        for (cache, put_off) in self.sources.iter().filter_map(|(_, source)| source.as_ref()?.put_off()) {
            if let Some(objects) = self.slabs.counted_under(cache).and_then(|name| sample.objects.get_mut(name)) {
                *objects -= put_off;
            }
        }
        Ok(sample)
    }

    /// Returns who allocated what a counter counts; `None` if the kernel does not say.
    pub fn sites(&self, counter: &str) -> Result<Option<Vec<Site>>> {
        let kind = CounterKind::from_counter(counter);
        match self.sources.iter().find(|(of, _)| *of == kind) {
            Some((_, source)) => source.as_ref().map_or(Ok(None), |source| source.sites()),
            None if self.locks_up => Ok(None),
            None => Ok(alloc_traces::read(self.files(), counter)),
        }
    }
}

/// Returns the name and the count of a source; `None` if it cannot be read as it is known to be.
fn count(kind: CounterKind, source: &dyn CounterSource, precision: Precision) -> Result<Option<(String, i64)>> {
    let count = match precision {
        Precision::Exact => source.count(),
        Precision::Rough => source.count_roughly(),
    }?;
    Ok(kind.counter().zip(count).map(|(name, count)| (name.to_owned(), count)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::{ALLOC_TRACES, KALLSYMS, MadeFiles, OWNED_PAGE};
    use crate::sample::objects_of;

    const FILP_TRACES: &str = "/sys/kernel/debug/slab/filp/alloc_traces";

    fn opened(made: &MadeFiles) -> Counters {
        Counters::open(&made.files).unwrap()
    }

    #[test]
    fn areas_that_are_freed_and_not_gone_are_no_objects_of_their_cache() {
        let made = MadeFiles::machine();
        made.cache("vmap_area", 40);
        let freed = "0xffffc90000005000-0xffffc90000007000    8192 unpurged vm_area\n";
        made.write("/proc/vmallocinfo", &(made.text("/proc/vmallocinfo") + freed));
        let counters = opened(&made);
        assert_eq!(counters.read(Precision::Exact).unwrap().objects["vmap_area"], 39);
        made.write("/proc/vmallocinfo", &(made.text("/proc/vmallocinfo") + freed + freed));
        assert_eq!(counters.read_shrunk(Precision::Exact).unwrap().objects["vmap_area"], 37);
    }

    #[test]
    fn every_counter_is_read_at_once() {
        let made = MadeFiles::machine();
        let counters = opened(&made);
        let names = ["dentry", "filp", "kmalloc-256", "pages", "percpu", "vmalloc"];
        let read = counters.read(Precision::Exact).unwrap();
        assert_eq!(read.objects.keys().collect::<Vec<_>>(), names);
        assert_eq!((read.objects["filp"], read.objects["percpu"], read.objects["vmalloc"]), (900, 1245, 3));
        assert_eq!(counters.read_shrunk(Precision::Exact).unwrap(), read);
        assert_eq!(made.text("/sys/kernel/slab/filp/shrink"), "1", "each was asked to hand back what lies free");
        made.write("/proc/vmallocinfo", "0x0-0x0 8192 nfs_leak+0x1/0x2 pages=1 vmalloc\n");
        assert_eq!(counters.read(Precision::Exact).unwrap().objects["vmalloc"], 1);
    }

    #[test]
    fn kernel_without_sources_counts_slabs_and_tells_what_is_missing() {
        let made = MadeFiles::new(&[("/proc/kallsyms", KALLSYMS)]);
        made.cache("filp", 900);
        let counters = opened(&made);
        assert_eq!(counters.read(Precision::Exact).unwrap().objects, [("filp".to_owned(), 900)].into());
        assert_eq!(counters.missing(), ["pages", "vmalloc", "percpu", CALL_SITES]);
        assert_eq!(counters.sites("vmalloc").unwrap(), None);
        let made = MadeFiles::machine();
        made.remove("/sys/kernel/debug/percpu_stats");
        assert_eq!(opened(&made).missing(), ["percpu", CALL_SITES], "pages of it show no control");
    }

    #[test]
    fn one_who_allocated_is_told_by_the_kernel_or_by_a_trace_or_not() {
        let made = MadeFiles::machine();
        let counters = opened(&made);
        assert_eq!((counters.site_source(), counters.untraceable()), (SiteSource::None, None));
        made.tracepoints();
        assert_eq!((opened(&made).site_source(), opened(&made).missing()), (SiteSource::Traced, vec![]));
        made.write(FILP_TRACES, ALLOC_TRACES);
        let counters = opened(&made);
        assert_eq!((counters.site_source(), counters.notes()), (SiteSource::Kept, vec![]));
        assert_eq!(objects_of(&counters.sites("filp").unwrap().unwrap(), "nfs_readdir"), 152);
        assert_eq!(counters.sites("vmalloc").unwrap().unwrap().len(), 2);
        assert_eq!(counters.sites("kmalloc-256").unwrap(), None);
    }

    #[test]
    fn trace_without_names_is_none_and_the_reason_is_told() {
        let made = MadeFiles::machine();
        made.tracepoints();
        made.write("/proc/kallsyms", "0000000000000000 T _text\n0000000000000000 t nfs_readdir\n");
        let counters = opened(&made);
        assert_eq!((counters.site_source(), counters.untraceable()), (SiteSource::None, Some(ftrace::KEPT_BACK)));
        assert_eq!(counters.missing(), [CALL_SITES]);
    }

    #[test]
    fn kernel_that_would_lock_up_is_not_asked_who_allocated_slab_objects() {
        let made = MadeFiles::machine();
        made.tracepoints();
        made.write(FILP_TRACES, ALLOC_TRACES);
        made.write("/sys/kernel/debug/page_owner", OWNED_PAGE);
        assert_eq!((opened(&made).site_source(), opened(&made).notes()), (SiteSource::Kept, vec![]), "6.1 does not");
        made.write("/proc/sys/kernel/osrelease", "6.8.0-45-generic\n");
        let counters = opened(&made);
        assert_eq!((counters.site_source(), counters.notes()), (SiteSource::Traced, vec![LOCKS_UP.to_owned()]));
        assert_eq!(counters.sites("filp").unwrap(), None);
        assert_eq!(counters.sites("pages").unwrap().unwrap()[0].function, "pipe_write");
        made.remove(FILP_TRACES);
        assert!(opened(&made).notes().is_empty(), "page_owner watches alone");
    }

    #[test]
    fn cache_whose_number_is_none_is_an_error_that_names_it() {
        let made = MadeFiles::machine();
        let counters = opened(&made);
        made.write("/sys/kernel/slab/filp/objects", "many\n");
        let error = counters.read(Precision::Exact).unwrap_err().to_string();
        assert!(error.contains("cannot understand objects of filp"), "{error}");
    }
}
