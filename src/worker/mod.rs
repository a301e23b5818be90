//! Carries out the orders that measure, whatever machine it is on: rounds, readings, controls, call sites and traces.

mod place;
mod round;

pub use place::{Place, Played};
pub use round::wait_until;

use crate::error::Result;
use crate::guest::protocol::{Answer, Order, Worked};
use crate::probe::counters::Counters;
use crate::probe::hold::Hold;
use crate::probe::mountstats::Rpcs;
use crate::probe::rest::Rest;
use crate::probe::trace::{Extent, Tracing, Wanted};
use crate::probe::traces::Site;
use std::collections::BTreeMap;
use std::time::Duration;

/// Hears what is being done, and for how many seconds already.
pub type Step<'a> = &'a mut dyn FnMut(&str, f64) -> Result<()>;

/// A place that is listed, and the probe.
pub struct Worker<P> {
    pub place: P,
    pub rest: Rest,
    hold: Option<Hold>,
    tracing: Option<Tracing>,
}

impl<P: Place> Worker<P> {
    pub fn new(place: P, rest: Rest) -> Self {
        Self { place, rest, hold: None, tracing: None }
    }

    /// Carries out one order; `None` if it is one that takes more than this.
    pub fn obey(&mut self, order: &Order, step: Step) -> Result<Option<Answer>> {
        Ok(Some(match order {
            Order::Work { listings, fillers, at_least_seconds } => {
                let at_least = at_least_seconds.map(Duration::from_secs_f64);
                Answer::Worked(self.work(*listings, *fillers, at_least, step)?)
            }
            Order::ListPlainly => Answer::Worked(self.once(Place::plain)?),
            Order::Hold => {
                let (hold, held) = Hold::new(self.rest.counters().slabs())?;
                self.hold = Some(hold);
                Answer::Held(held)
            }
            Order::Release => {
                self.hold = None;
                self.rest.wait_for_frees()?;
                Answer::Done
            }
            Order::Glance => Answer::Sample { sample: self.rest.glance()?, settled_seconds: None },
            Order::Settle => {
                let rested = self.rest.settle()?;
                Answer::Sample { sample: rested.sample, settled_seconds: rested.settled.map(|d| d.as_secs_f64()) }
            }
            Order::Sites { caches } => Answer::Sites { sites: sites(self.rest.counters(), caches.iter().cloned())? },
            Order::TraceBegin { counters, stacks } => {
                self.tracing = None;
                let wanted = Wanted::new(counters, &self.rest.counters().slabs().layouts());
                self.tracing = Tracing::begin(wanted, Extent { entries: self.place.entries(), stacks: *stacks });
                Answer::Done
            }
            Order::Traced => {
                let sites = self.tracing.as_mut().map(Tracing::sites).transpose()?.flatten();
                Answer::Traced { sites }
            }
            Order::TraceEnd => {
                let sites = self.tracing.take().map(Tracing::end).transpose()?.flatten();
                Answer::Traced { sites }
            }
            _ => return Ok(None),
        }))
    }

    /// What the one who gives the orders needs to know first.
    pub fn ready(&self, before_mount: crate::probe::Sample, sites_before_mount: BTreeMap<String, Vec<Site>>) -> Answer {
        let counters = self.rest.counters();
        Answer::Ready {
            object_bytes: counters.slabs().object_bytes(),
            name_allocations: self.place.name_allocations(),
            missing_sources: counters.missing(),
            before_mount,
            sites_before_mount,
            site_source: counters.site_source(),
        }
    }

    /// One unit of another kind.
    pub fn once(&mut self, make: impl FnOnce(&mut P) -> Result<Played>) -> Result<Worked> {
        let mut worked = Worked::default();
        let mut rpcs = self.place.rpcs()?;
        self.unit(&mut worked, &mut rpcs, make)?;
        Ok(worked)
    }
}

/// Who allocated what these counters count; a counter of which the kernel does not say it is missing.
pub fn sites(counters: &Counters, names: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, Vec<Site>>> {
    let mut sites = BTreeMap::new();
    for name in names {
        if let Some(of_it) = counters.sites(&name)? {
            sites.insert(name, of_it);
        }
    }
    Ok(sites)
}

/// Adds calls to calls.
pub(crate) fn add(sum: &mut Rpcs, more: &Rpcs) {
    for (name, calls) in more {
        *sum.entry(name.clone()).or_default() += calls;
    }
}
