//! Carries out the orders that measure, whatever machine it is on: rounds, readings, controls, call sites and traces.

use super::target::StepCallback;
use crate::agent::target::Target;
use crate::agent::target::UnitStats;
use crate::error::Result;
use crate::probe::allocinfo::AllocInfo;
use crate::probe::clock;
use crate::probe::control_allocs::HeldFiles;
use crate::probe::counters::{Counters, Precision};
use crate::probe::ftrace::{TraceBudget, TraceBuffer, TraceTargets, Tracing};
use crate::probe::quiesce::Quiescer;
use crate::protocol::message::{Ready, Request, Response, RoundStats};
use crate::sample::{Sample, Site};
use std::collections::BTreeMap;
use std::time::Duration;

/// A place that is listed, and the probe.
pub struct Executor<P> {
    pub place: P,
    pub rest: Quiescer,
    hold: Option<HeldFiles>,
    allocinfo: Option<AllocInfo>,
    /// Into what is traced.
    trace_buffer: TraceBuffer,
    pub(super) tracing: Option<Tracing>,
}

impl<P: Target> Executor<P> {
    pub fn new(place: P, rest: Quiescer) -> Self {
        let trace_buffer = TraceBuffer::of_the_machine(rest.counters().files());
        Self { place, rest, hold: None, allocinfo: None, trace_buffer, tracing: None }
    }

    /// Traces into this buffer, and not into that of the whole machine.
    pub fn tracing_into(self, trace_buffer: TraceBuffer) -> Self {
        Self { trace_buffer, ..self }
    }

    /// Carries out one order; `None` if it is one that takes more than this.
    pub fn handle(&mut self, order: &Request, step: StepCallback) -> Result<Option<Response>> {
        Ok(Some(match order {
            Request::Work { listings, fillers, at_least_seconds } => {
                let at_least = at_least_seconds.map(Duration::from_secs_f64);
                Response::Worked(self.work(*listings, *fillers, at_least, step)?)
            }
            Request::ListPlainly => Response::Worked(self.once(Target::list_plainly)?),
            Request::Hold => {
                let (hold, held) = HeldFiles::new(self.rest.counters().slabs())?;
                self.hold = Some(hold);
                Response::Held(held)
            }
            Request::Release => {
                self.hold = None;
                self.rest.wait_for_frees()?;
                Response::Done
            }
            Request::Glance => {
                self.prepare_reading()?;
                sampled(self.rest.read_once()?, None)
            }
            Request::Settle => {
                self.prepare_reading()?;
                let rested = self.rest.read_settled()?;
                sampled(rested.sample, rested.settled)
            }
            Request::Sites { caches } => {
                Response::Sites { sites: sites(self.rest.counters(), caches.iter().cloned())? }
            }
            Request::TraceBegin { counters, stacks } => {
                self.tracing = None;
                let wanted = TraceTargets::new(counters, &self.rest.counters().slabs().layouts());
                let budget = TraceBudget { entries: self.place.entries(), stacks: *stacks };
                self.tracing = Tracing::begin(&self.trace_buffer, wanted, budget);
                Response::Done
            }
            Request::Traced => {
                let sites = self.tracing.as_mut().map(Tracing::sites).transpose()?.flatten();
                Response::Traced { sites }
            }
            Request::TraceEnd => {
                let sites = self.tracing.take().map(Tracing::end).transpose()?.flatten();
                Response::Traced { sites }
            }
            Request::AllocinfoBegin => {
                self.allocinfo = AllocInfo::read(self.rest.counters().files());
                Response::Allocinfo { lines: self.allocinfo.is_some().then(Vec::new) }
            }
            Request::AllocinfoEnd => {
                let before = self.allocinfo.take();
                let lines =
                    before.and_then(|before| Some(AllocInfo::read(self.rest.counters().files())?.since(&before)));
                Response::Allocinfo { lines }
            }
            _ => return Ok(None),
        }))
    }

    fn prepare_reading(&self) -> Result<()> {
        self.rest.set_traced(self.tracing.is_some());
        // What is held is told from nothing by hundreds of it.
        self.rest.set_precision(if self.hold.is_some() { Precision::Rough } else { Precision::Exact });
        self.place.let_go()
    }

    /// Returns what the one who gives the orders needs to know first.
    pub fn ready(&self, before_mount: crate::sample::Sample, sites_before_mount: BTreeMap<String, Vec<Site>>) -> Ready {
        let counters = self.rest.counters();
        Ready {
            object_bytes: counters.slabs().object_bytes(),
            shared_names: counters.slabs().shared_names(),
            name_allocations: self.place.name_allocations(),
            missing_sources: counters.missing().into_iter().chain(self.rest.not_read()).collect(),
            before_mount,
            sites_before_mount,
            site_source: counters.site_source(),
            untraceable: counters.untraceable().map(str::to_owned),
        }
    }

    /// Makes one unit of another kind.
    pub fn once(&mut self, make: impl FnOnce(&mut P) -> Result<UnitStats>) -> Result<RoundStats> {
        let mut worked = RoundStats::default();
        let mut rpcs = self.place.rpcs()?;
        self.unit(&mut worked, &mut rpcs, make)?;
        Ok(worked)
    }
}

/// Returns who allocated what these counters count; a counter of which the kernel does not say it is missing.
pub fn sites(counters: &Counters, names: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, Vec<Site>>> {
    let mut sites = BTreeMap::new();
    for name in names {
        if let Some(of_it) = counters.sites(&name)? {
            sites.insert(name, of_it);
        }
    }
    Ok(sites)
}

/// Returns the answer that tells counters, and when they were read.
fn sampled(sample: Sample, settled: Option<Duration>) -> Response {
    let settled_seconds = settled.map(|time| time.as_secs_f64());
    Response::Sample { sample, settled_seconds, clock_seconds: clock::seconds() }
}
