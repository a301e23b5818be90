//! Before growth is called a leak: one more round, long enough that a cache which fills to a bound would have stopped,
//! and the call sites of what grows in it.

use super::options::Options;
use super::session::{Session, SessionResult};
use super::size_classes;
use crate::protocol::request::{Settle, SitesByCounter, TraceBegin, TraceEnd};
use crate::result::parts::RoundKind;
use crate::sample::{Sample, Site, growth, since};
use std::collections::BTreeMap;

/// Units that are traced, and what they may take.
const TRACED_UNITS: u64 = 20;
const TRACED_SECONDS: f64 = 6.0;

/// How far what a trace saw staying may be off what the counter grew by: part of it, and objects beside that.
const TRACED_PART: f64 = 0.25;
const TRACED_NOISE: f64 = 4.0;

impl Session<'_> {
    /// Attributes what leaks to the functions that allocated it, by what was watched since an early block and by what
    /// grows in a further round, where one is needed; or by tracing, where the kernel does not keep call sites. Gives the last
    /// reading.
    pub(super) fn confirm(
        &mut self,
        watched: &BTreeMap<String, Vec<Site>>,
        baseline: &Sample,
        last: Sample,
        options: &Options,
    ) -> SessionResult<Sample> {
        let leaks = size_classes::without_summed_leaks(self.leaks());
        let lines = self.begin_allocinfo(&leaks)?;
        let names = size_classes::instead_of_sum(leaks.into_iter().map(|(name, ..)| name), &self.outcome.net);
        let mut before = self.sites(&names)?;
        let (kept, traced): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| before.contains_key(name));
        let unwatched = kept.iter().any(|name| !watched.contains_key(name));
        let last = self.go_past_caches(baseline, last, unwatched || lines.is_some(), options)?;
        if let Some(begun) = lines {
            self.end_allocinfo(&begun)?;
        }
        // What was watched for longer says more.
        before.extend(watched.clone());
        self.attribute(&before)?;
        let last = if traced.is_empty() || self.is_untraceable() { last } else { self.trace(traced, last)? };
        size_classes::attribute_sum(&mut self.outcome.sites);
        Ok(last)
    }

    /// Returns whether a trace would name no function, which is then noted once.
    fn is_untraceable(&mut self) -> bool {
        let Some(sentence) = &self.untraceable else { return false };
        let notes = &mut self.outcome.record.notes;
        if !notes.contains(sentence) {
            notes.push(sentence.clone());
        }
        true
    }

    /// Traces who allocates what these counters count, of which the kernel does not keep it: some units are traced
    /// until the kernel is at rest. Gives the last reading.
    fn trace(&mut self, counters: Vec<String>, mut before: Sample) -> SessionResult<Sample> {
        self.task.note("tracing who allocates what grows");
        let units = TRACED_UNITS.min(self.units_within(TRACED_SECONDS));
        let mut traced = self.trace_units(units, &counters, true)?;
        let mut after = self.read_settled(RoundKind::Proof, units)?;
        if traced.is_none() {
            // Without stacks a trace holds three times as much.
            traced = self.trace_units(1, &counters, false)?;
            before = std::mem::replace(&mut after, self.read_settled(RoundKind::Proof, 1)?);
        }
        for counter in counters {
            let sites = traced.as_ref().and_then(|sites| sites.get(&counter));
            let grown = growth(&before.objects, &after.objects).get(&counter).copied().unwrap_or(0);
            self.outcome.record.notes.extend(note(&counter, sites.map(Vec::as_slice), grown));
            self.outcome.sites.insert(counter, sites.cloned().unwrap_or_default());
        }
        Ok(after)
    }

    /// Traces so many units, until the kernel is at rest; `None` if events were lost.
    fn trace_units(&mut self, units: u64, counters: &[String], stacks: bool) -> SessionResult<Option<SitesByCounter>> {
        self.request(TraceBegin { counters: counters.to_vec(), stacks })?;
        self.work(units, 0, Some(0.0))?;
        self.dose += units;
        // Read while the trace's own pages are there, so it counts for nothing.
        self.request(Settle {})?;
        self.request(TraceEnd {})
    }

    /// Returns name, rate and net growth of what leaks.
    pub(super) fn leaks(&self) -> Vec<(String, f64, i64)> {
        let leaks = self.outcome.judgement.iter().flat_map(|j| j.leaks());
        let net = |name: &String| self.outcome.net.get(name).copied().unwrap_or(0);
        leaks.map(|c| (c.name.clone(), c.fit.estimate, net(&c.name))).collect()
    }

    /// Notes who allocated what grew since `before`.
    fn attribute(&mut self, before: &BTreeMap<String, Vec<Site>>) -> SessionResult<()> {
        let counters: Vec<String> = before.keys().cloned().collect();
        let now = self.sites(&counters)?;
        self.outcome.sites = now
            .iter()
            .map(|(name, sites)| (name.clone(), since(before.get(name).map_or(&[], Vec::as_slice), sites)))
            .collect();
        Ok(())
    }
}

/// Returns what must be said of traced call sites, `None` if nothing: the counter grew by `grown` while they were traced.
fn note(counter: &str, sites: Option<&[Site]>, grown: i64) -> Option<String> {
    let Some(sites) = sites else {
        return Some(format!(
            "who allocated {counter} is not told: the trace lost events, or the kernel has no tracepoints for it"
        ));
    };
    let seen: i64 = sites.iter().map(|site| site.objects).sum();
    let off = (seen - grown) as f64;
    (off.abs() > TRACED_PART * grown as f64 + TRACED_NOISE).then(|| {
        let why = if off < 0.0 { "the others are allocated" } else { "some were freed" };
        format!(
            "{counter} grew by {grown} while it was traced, and {seen} allocations were seen that stayed; {why} where there is no \
             tracepoint, so the shares of the call sites are not exact"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_that_does_not_fit_the_counter_is_told() {
        let sites = |objects| vec![Site { function: "f".into(), stack: vec![], objects }];
        assert_eq!(note("kmalloc-96", Some(&sites(502)), 500), None);
        assert_eq!(note("kmalloc-96", Some(&sites(4)), 1), None);
        assert!(note("kmalloc-96", Some(&sites(100)), 20).unwrap().contains("freed"));
        assert!(note("pages", Some(&[]), 20).unwrap().contains("allocated"));
        assert!(note("pages", None, 20).unwrap().contains("lost events"));
    }

    #[test]
    fn trace_may_be_off_by_a_quarter_and_four_objects() {
        let sites = |objects| vec![Site { function: "f".into(), stack: vec![], objects }];
        let is_told = |seen| note("kmalloc-96", Some(&sites(seen)), 16).is_some();
        assert_eq!([7, 8, 16, 24, 25].map(is_told), [true, false, false, false, true]);
    }
}
