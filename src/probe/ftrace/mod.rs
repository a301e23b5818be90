//! Who allocated something and did not free it, on any kernel with tracepoints: some units are traced, and allocations and
//! frees paired.
//!
//! Nothing has to be switched on at boot for it. What it cannot see: allocations and frees in bulk have no tracepoints
//! (`kmem_cache_alloc_bulk`, `kmem_cache_free_bulk`, `alloc_pages_bulk`). What the buffer lost is told as no answer at all.

mod decode;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod pairs;
mod ring;
mod symbols;
mod tracefs;
mod wanted;

pub use symbols::{KEPT_BACK, are_kept_back};
pub(super) use tracefs::chosen;
pub use tracefs::{Before, Instance, Instances, Settings, TraceBuffer, Unmounts, traces_objects};
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
        if are_kept_back() {
            return None;
        }
        let formats = tracefs::formats();
        let decoder = Decoder::new(&formats, &wanted)?;
        if into.in_use() {
            return None;
        }
        let buffer = tracefs::buffer_kib(extent.entries)?;
        let enabled = Enabled::new(into, &wanted, extent.stacks, buffer)?;
        let most_events = (memory::kib("MemTotal")? / MEMORY_PART * 1024 / pairs::EVENT_BYTES) as usize;
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
            self.symbols = Some(Symbols::read()?);
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

    #[test]
    fn tracer_is_no_part_of_a_stack() {
        let frames = ["trace_event_buffer_commit", "trace_event_raw_event_kmalloc", "__kmalloc", "nfs_readdir"];
        assert_eq!(without_tracers(frames.map(str::to_owned).to_vec()), ["__kmalloc", "nfs_readdir"]);
    }
}
