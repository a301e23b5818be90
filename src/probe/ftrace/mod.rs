//! Who allocated something and did not free it, on any kernel with tracepoints: some units are traced, and allocations and
//! frees paired.
//!
//! Nothing has to be switched on at boot for it. What it cannot see: allocations and frees in bulk have no tracepoints
//! (`kmem_cache_alloc_bulk`, `kmem_cache_free_bulk`, `alloc_pages_bulk`). What the buffer lost is told as no answer at all.

mod decode;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod instances;
mod long_trace;
mod nfs_code;
mod pairs;
mod ring;
mod settings;
mod survivors;
mod symbols;
mod tracefs;
mod wanted;

pub use instances::{Instance, Instances};
pub use long_trace::LongTrace;
pub use settings::{Before, Settings, Unmounts};
pub use survivors::Survived;
#[cfg(test)]
pub use survivors::SurvivorSite;
pub use symbols::{KEPT_BACK, are_kept_back};
pub(super) use tracefs::chosen;
pub use tracefs::{TraceBuffer, traces_objects};
pub use wanted::TraceTargets;

use super::memory;
use super::object_allocators::is_object_allocator;
use super::page_allocator::who_asked_for_pages;
use super::site_text::look_through;
use crate::error::{Context, Result};
use crate::sample::{Site, since};
use decode::Decoder;
use pairs::{AllocOrigin, Events};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use symbols::Symbols;
use tracefs::Enabled;
use wanted::AllocSource;

/// Events that are kept take no more of the memory than one part in this, or twice that while they move as their number grows.
const MEMORY_PART: u64 = 6;
/// The kernel's functions that stand in a stack because it was taken, innermost first.
const TRACERS: [&str; 7] = [
    "stack_trace",
    "__ftrace_trace_stack",
    "__trace_stack",
    "stacktrace_trigger",
    "event_triggers",
    "trace_event",
    "__traceiter",
];

/// Call sites by counter.
pub type Sites = BTreeMap<String, Vec<Site>>;

/// Tracing that goes on until it is dropped.
pub struct Tracing {
    wanted: TraceTargets,
    decoder: Decoder,
    /// Of each processor, what is read from it.
    buffers: Vec<File>,
    events: Events,
    most_events: usize,
    overflowed: bool,
    symbols: Option<Symbols>,
    kernel_buffer: TraceBuffer,
    enabled: Enabled,
}

/// How much may be allocated and freed before it is read, and what is to be kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceBudget {
    /// Entries of the directory.
    pub entries: u64,
    /// Whether each allocation is to have its stack, which more than doubles what it takes.
    pub stacks: bool,
}

impl Tracing {
    /// Begins; `None` if the kernel lacks tracepoints for all that is wanted or keeps back which function is where, or somebody else
    /// traces into that buffer.
    pub fn begin(into: &TraceBuffer, wanted: TraceTargets, extent: TraceBudget) -> Option<Self> {
        let files = into.kernel_files();
        if are_kept_back(files) {
            return None;
        }
        let formats = tracefs::formats(files);
        let decoder = Decoder::new(&formats, &wanted)?;
        if into.in_use() {
            return None;
        }
        let buffer = tracefs::buffer_kib(files, extent.entries)?;
        let enabled = Enabled::new(into, &wanted, extent.stacks, buffer)?;
        let most_events = (memory::kib_of(files, "MemTotal")? / MEMORY_PART * 1024 / pairs::EVENT_BYTES) as usize;
        let tracing = Self {
            wanted,
            decoder,
            buffers: into.open(),
            events: Events::default(),
            most_events,
            overflowed: false,
            symbols: None,
            kernel_buffer: into.clone(),
            enabled,
        };
        (!tracing.buffers.is_empty() && tracing.enabled.start()).then_some(tracing)
    }

    /// Empties the kernel's buffer, so that it need not hold more than one unit.
    pub fn drain(&mut self) -> Result<()> {
        let mut page = [0; ring::PAGE_BYTES];
        for buffer in &mut self.buffers {
            self.decoder.begin();
            // Ends even if reading makes new events.
            for _ in 0..self.most_events {
                match buffer.read(&mut page) {
                    Ok(0) => break,
                    Ok(length) if self.events.len() < self.most_events => {
                        ring::records(&page[..length], |time, record| {
                            self.decoder.decode(time, record, &self.wanted, &mut self.events);
                        });
                    }
                    Ok(_) => self.overflowed = true,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    result => drop(result.machine(|| "cannot read the kernel's trace".into())?),
                }
            }
        }
        Ok(())
    }

    /// Returns what has been allocated and not freed so far; `None` if events were lost.
    pub fn sites(&mut self) -> Result<Option<Sites>> {
        self.drain()?;
        if self.overflowed || self.kernel_buffer.lost() {
            return Ok(None);
        }
        let alive = self.events.alive(&self.wanted.names());
        if self.symbols.is_none() {
            self.symbols = Some(Symbols::read(self.kernel_buffer.kernel_files())?);
        }
        let mut sites: Sites = self.wanted.names().into_iter().map(|name| (name, Vec::new())).collect();
        for (by, objects) in alive {
            if let Some(site) = self.site(by, objects) {
                sites.entry(self.wanted.counters[by.counter as usize].name.clone()).or_default().push(site);
            }
        }
        sites.values_mut().for_each(|sites| *sites = since(&[], sites));
        Ok(Some(sites))
    }

    /// Ends, and tells what was not freed.
    pub fn end(mut self) -> Result<Option<Sites>> {
        self.enabled.stop();
        self.sites()
    }

    /// Returns the site in words; `None` if it is of something that its counter leaves out.
    fn site(&self, by: AllocOrigin, objects: i64) -> Option<Site> {
        let function =
            |address: &u64| self.symbols.as_ref().map_or(String::new(), |symbols| symbols.function(*address));
        let frames: Vec<String> = self.events.frames(by.stack).iter().map(function).collect();
        let stack = without_tracers(frames);
        Some(match self.wanted.counters[by.counter as usize].source {
            AllocSource::Slab(_) => {
                let mut site = Site { function: function(&by.caller), stack, objects };
                look_through(&mut site);
                site
            }
            AllocSource::Pages => Site { function: who_asked_for_pages(&stack)?, stack, objects },
            AllocSource::PerCpu => {
                let asked = stack.iter().find(|f| !is_object_allocator(f));
                Site { function: asked.cloned().unwrap_or_default(), stack, objects }
            }
        })
    }
}

fn without_tracers(frames: Vec<String>) -> Vec<String> {
    let tracer = |frame: &String| TRACERS.iter().any(|prefix| frame.starts_with(prefix));
    let last = frames.iter().rposition(tracer).map_or(0, |last| last + 1);
    frames.into_iter().skip(last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::{MadeFiles, NOTHING_LOST};
    use crate::probe::slab::Layout;
    use std::io::Write;

    #[test]
    fn tracer_is_no_part_of_a_stack() {
        let frames = ["trace_event_buffer_commit", "trace_event_raw_event_kmalloc", "__kmalloc", "nfs_readdir"];
        assert_eq!(without_tracers(frames.map(str::to_owned).to_vec()), ["__kmalloc", "nfs_readdir"]);
    }

    const PIPE: &str = "/sys/kernel/tracing/per_cpu/cpu0/trace_pipe_raw";

    /// Returns a page of the ring buffer with these records, a nanosecond apart.
    fn page(records: &[&[u64]]) -> Vec<u8> {
        let mut words: Vec<u8> = Vec::new();
        for record in records {
            // The number of 8-byte words in 4-byte ones, and the time since the one before.
            words.extend(((record.len() as u32 * 2) | (1 << 5)).to_le_bytes());
            record.iter().for_each(|word| words.extend(word.to_le_bytes()));
        }
        let mut page = 1000_u64.to_le_bytes().to_vec();
        page.extend((words.len() as u64).to_le_bytes());
        page.extend(words);
        page.resize(ring::PAGE_BYTES, 0);
        page
    }

    const CODE: u64 = 0xffff_ffff_8100_0000;

    fn kmalloc(object: u64, by: u64) -> [u64; 6] {
        [10, CODE + by, object, 250, 256, 0]
    }

    fn begun(made: &MadeFiles) -> Option<Tracing> {
        let caches = [("kmalloc-256".to_owned(), Layout { object_bytes: 256, slot_bytes: 256 })].into();
        let wanted = TraceTargets::new(&["kmalloc-256", "pages", "percpu"].map(str::to_owned), &caches);
        let budget = TraceBudget { entries: 100, stacks: true };
        Tracing::begin(&TraceBuffer::of_the_machine(&made.files), wanted, budget)
    }

    fn machine() -> MadeFiles {
        let made = MadeFiles::machine();
        made.tracepoints();
        made
    }

    #[test]
    fn what_was_not_freed_is_told_with_who_asked_for_it() {
        let made = machine();
        let mut tracing = begun(&made).unwrap();
        assert_eq!((made.tracing("tracing_on"), made.tracing("events/kmem/kfree/enable")), ("1".into(), "1".into()));
        made.write(
            PIPE,
            page(&[
                &kmalloc(0xa000, 0x1010),
                &[4, 3, CODE + 0x7001, CODE + 0x1010, CODE + 0x2010, u64::MAX],
                &kmalloc(0xb000, 0x3010),
                &[4, 3, CODE + 0x3010, CODE + 0x2010, u64::MAX],
                &kmalloc(0xc000, 0x2010),
                &[12, CODE, 0xc000],
                &[14, 0x1000, 1],
                &[4, 2, CODE + 0x4010, CODE + 0x2010, u64::MAX],
                &[16, 0, 0, 0, 0, 0, 0, 0x60_1000],
                &[4, 2, CODE + 0x5010, CODE + 0x1010, u64::MAX],
            ]),
        );
        let told = |sites: &Sites, counter: &str| -> Vec<(String, i64)> {
            sites[counter].iter().map(|site| (site.function.clone(), site.objects)).collect()
        };
        let sites = tracing.sites().unwrap().unwrap();
        let of = |function: &str, objects| vec![(function.to_owned(), objects)];
        let mut objects = told(&sites, "kmalloc-256");
        objects.sort();
        let expected = [of("nfs_opendir", 1), of("nfs_readdir", 1)].concat();
        assert_eq!(objects, expected, "who called kstrdup() asked");
        assert_eq!((told(&sites, "pages"), told(&sites, "percpu")), (of("nfs_opendir", 2), of("nfs_readdir", 1)));
        assert!(sites["kmalloc-256"].iter().all(|site| !site.stack.contains(&"__traceiter_kmalloc".to_owned())));
        assert_eq!(tracing.end().unwrap().unwrap(), sites);
        assert_eq!((made.tracing("tracing_on"), made.tracing("events/kmem/kfree/enable")), ("0".into(), "0".into()));
    }

    #[test]
    fn trace_begins_where_it_can_tell_something_and_spoils_nobodys() {
        let files = |change: fn(&MadeFiles)| {
            let made = machine();
            change(&made);
            begun(&made).is_some()
        };
        assert!(files(|_| {}));
        assert!(!files(|made| made.write("/proc/kallsyms", "0000000000000000 T _text\n")), "without names");
        assert!(!files(|made| made.write("/sys/kernel/tracing/set_event", "sched:sched_wakeup\n")), "in use");
        assert!(!files(|made| std::fs::remove_dir_all(made.files.path("/sys/kernel/tracing/per_cpu")).unwrap()));
        assert!(!files(|made| std::fs::remove_dir_all(made.files.path("/sys/kernel/tracing/events/kmem")).unwrap()));
        assert!(!files(|made| {
            made.remove("/sys/kernel/tracing/tracing_on");
            std::fs::create_dir(made.files.path("/sys/kernel/tracing/tracing_on")).unwrap();
        }));
    }

    #[test]
    fn events_that_were_lost_make_the_answer_none() {
        let made = machine();
        let mut tracing = begun(&made).unwrap();
        assert!(tracing.sites().unwrap().is_some());
        made.write(
            "/sys/kernel/tracing/per_cpu/cpu1/stats",
            NOTHING_LOST.replace("dropped events: 0", "dropped events: 1"),
        );
        assert_eq!(tracing.sites().unwrap(), None);
    }

    #[test]
    fn events_are_kept_up_to_a_part_of_the_memory() {
        let made = machine();
        let kib = 60;
        made.write("/proc/meminfo", format!("MemTotal: {kib} kB\n"));
        let pages = (kib * 1024 / MEMORY_PART / pairs::EVENT_BYTES).div_ceil(2);
        let of = |pages: u64| {
            let of_two = |n: u64| page(&[&kmalloc(0xa000 + 16 * n, 0x1010), &kmalloc(0xa008 + 16 * n, 0x1010)]);
            made.write(PIPE, (0..pages).flat_map(of_two).collect::<Vec<u8>>());
            let sites = begun(&made).unwrap().end().unwrap();
            sites.map(|sites| sites["kmalloc-256"][0].objects as u64)
        };
        assert_eq!([of(pages), of(pages + 1)], [Some(2 * pages), None]);
    }

    #[test]
    fn buffer_that_is_empty_for_now_is_read_again_and_one_that_cannot_be_read_is_an_error() {
        let made = machine();
        made.remove(PIPE);
        let pipe = made.files.path(PIPE);
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut kernel = File::options().read(true).write(true).open(&pipe).unwrap();
        let mut tracing = begun(&made).unwrap();
        for objects in 1..=2 {
            kernel.write_all(&page(&[&kmalloc(0xa000 * objects, 0x1010)])).unwrap();
            assert_eq!(tracing.sites().unwrap().unwrap()["kmalloc-256"][0].objects as u64, objects);
        }
        drop(tracing);
        made.remove(PIPE);
        std::fs::create_dir(&pipe).unwrap();
        let error = begun(&made).unwrap().sites().unwrap_err().to_string();
        assert!(error.starts_with("cannot read the kernel's trace"), "{error}");
    }
}
