//! Before growth is called a leak: one more round, long enough that a cache which fills to a bound would have stopped,
//! and the call sites of what grows in it.

use super::conduct::{Course, Step};
use crate::guest::protocol::{Answer, Order};
use crate::probe::traces::{Site, since};
use crate::probe::{Sample, percpu};
use crate::report::record::RoundKind;
use crate::verdict::growth;
use crate::vm::machine::unexpected;
use std::collections::BTreeMap;

/// Growth that a leak must have shown in all. Caches that fill to less are never taken for one.
const PROVEN_OBJECTS: f64 = 300.0;
/// The further round takes no longer than about this, whatever that means for the bound.
const LONGEST_SECONDS: f64 = 6.0;
/// Units that are traced.
const TRACED_UNITS: u64 = 20;

/// What the further round showed.
#[derive(Debug, Default)]
pub struct Proof {
    /// Units made in it.
    pub dose: u64,
    /// Growth in it, by counter.
    pub growth: BTreeMap<String, i64>,
}

impl Course<'_> {
    /// Attributes what leaks to the functions that allocated it, by what was watched since an early block and by what
    /// grows in a further round, where one is needed; gives the last reading.
    pub(super) fn prove(&mut self, watched: &BTreeMap<String, Vec<Site>>, last: Sample) -> Step<Sample> {
        let leaks = self.leaks();
        let settled = |name: &str, net: i64| net as f64 >= PROVEN_OBJECTS && watched.contains_key(name);
        if leaks.iter().all(|(name, _, net)| settled(name, *net)) {
            self.attribute(watched)?;
            return Ok(last);
        }
        let names: Vec<String> = leaks.iter().map(|(name, ..)| name.clone()).collect();
        let mut before = self.sites(&names)?;
        let dose = self.further_dose(&leaks);
        let after = self.further_round(dose)?;
        self.outcome.proof = Some(Proof { dose, growth: growth(&last.objects, &after.objects) });
        // What was watched for longer says more.
        before.extend(watched.clone());
        self.attribute(&before)?;
        if names.iter().any(|name| name == percpu::COUNTER) {
            return self.trace();
        }
        Ok(after)
    }

    /// Who allocates per-CPU memory, which only a trace of some units tells; gives the last reading.
    fn trace(&mut self) -> Step<Sample> {
        self.done(&Order::TraceBegin)?;
        self.work(TRACED_UNITS, 0, None)?;
        self.dose += TRACED_UNITS;
        let after = self.settle(RoundKind::Dose, TRACED_UNITS)?;
        match self.ask(&Order::TraceEnd)? {
            Answer::Sites { sites } => {
                self.outcome.sites.extend(sites);
                Ok(after)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Name, rate and net growth of what leaks.
    fn leaks(&self) -> Vec<(String, f64, i64)> {
        let leaks = self.outcome.judgement.iter().flat_map(|j| j.leaks());
        let net = |name: &String| self.outcome.net.get(name).copied().unwrap_or(0);
        leaks.map(|c| (c.name.clone(), c.fit.estimate, net(&c.name))).collect()
    }

    /// As many units as bring everything that leaks to what must be shown.
    fn further_dose(&self, leaks: &[(String, f64, i64)]) -> u64 {
        let wanted = leaks.iter().map(|(_, rate, net)| (PROVEN_OBJECTS - *net as f64) / rate).fold(1.0, f64::max);
        let affordable = (LONGEST_SECONDS / self.unit_seconds.max(1e-4)).max(1.0);
        wanted.min(affordable).ceil() as u64
    }

    fn further_round(&mut self, dose: u64) -> Step<Sample> {
        self.task.note("a further round, to see whether it goes on");
        self.work(dose, 0, None)?;
        self.dose += dose;
        self.settle(RoundKind::Proof, dose)
    }

    /// Who allocated what grew since `before`.
    fn attribute(&mut self, before: &BTreeMap<String, Vec<Site>>) -> Step<()> {
        let counters: Vec<String> = before.keys().cloned().collect();
        let now = self.sites(&counters)?;
        self.outcome.sites = now.iter().map(|(name, sites)| (name.clone(), since(&before[name], sites))).collect();
        Ok(())
    }
}
