//! The record of a run that has ended: its verdict and what was found.

use super::call_sites::call_sites;
use super::explained;
use super::observations::Observations;
use crate::probe::mountstats::readdirs;
use crate::result::finding::Finding;
use crate::result::parts::RoundKind;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::sample::CounterKind;
use crate::verdict::judge::{Counter, CounterVerdict, Judgement, stays};

/// Share of what its rate promises that a leak must have grown by in a further round.
const GOES_ON: f64 = 0.8;

impl Observations {
    /// The record of a run that could not be judged, and why.
    pub fn into_record(mut self, verdict: Verdict, reason: String) -> RunRecord {
        self.fill();
        self.record.verdict = verdict;
        self.record.reason = reason;
        self.record
    }

    /// The record of a crash; memory that ran out after rounds which already decide is the leak itself.
    pub fn into_crash_record(mut self, kind: &str, sentence: String) -> RunRecord {
        let findings = self.findings();
        let trusted = findings.iter().any(|f| self.record.controls.trust(f.source));
        if kind == "out of memory" && self.grows() && trusted && self.record.controls_seen().is_ok() {
            self.fill();
            self.record.findings = findings;
            self.record.verdict = Verdict::Leak;
            let leak = sentence::render(&self.record);
            self.record.reason = format!("{} Then {sentence}", leak);
            return self.record;
        }
        self.into_record(Verdict::Crash, sentence)
    }

    /// The record of a run that came to its end.
    pub fn into_judged_record(mut self) -> RunRecord {
        self.fill();
        self.record.findings = self.findings();
        let (verdict, reason) = self.verdict();
        self.record.verdict = verdict;
        self.record.reason = match reason {
            Some(reason) => reason,
            None => sentence::render(&self.record),
        };
        self.record
    }

    /// The verdict; a leak and a clean kernel are told by their numbers, everything else by a reason.
    fn verdict(&self) -> (Verdict, Option<String>) {
        if let Some(broken) = &self.broken {
            return (Verdict::Broken, Some(broken.clone()));
        }
        if let Err(missed) = self.record.controls_seen() {
            return (Verdict::Undecided, Some(missed));
        }
        let controls = &self.record.controls;
        let leaks = |f: &Finding| (f.survives_unmount || self.strict) && controls.trust(f.source);
        if self.record.findings.iter().any(leaks) {
            return (Verdict::Leak, None);
        }
        if let Some(missed) = controls.missed() {
            return (Verdict::Undecided, Some(missed));
        }
        // Names that dropping the caches leaves behind are also what a leak of names looks like.
        if let Err(missed) = self.record.names_seen() {
            return (Verdict::Undecided, Some(missed));
        }
        match self.judgement.as_ref().map(Judgement::verdict) {
            Some(CounterVerdict::Clean) => (Verdict::Clean, None),
            // Nothing survives unmount, and nothing else is open.
            Some(CounterVerdict::Leak) if self.nothing_open() => (Verdict::Clean, None),
            _ => (Verdict::Undecided, Some(self.open_question())),
        }
    }

    fn nothing_open(&self) -> bool {
        self.judgement.as_ref().is_some_and(|j| j.open() == 0)
    }

    /// Whether the rounds ended early for growth that was freed late or by unmounting.
    pub fn ended_for_nothing(&self) -> bool {
        let freed = self.findings().iter().all(|f| !f.survives_unmount && !self.strict);
        self.grows() && freed && !self.nothing_open() && self.broken.is_none()
    }

    fn open_question(&self) -> String {
        let open = self.judgement.iter().flat_map(|j| &j.counters).filter(|c| c.says == CounterVerdict::Undecided);
        let mut open: Vec<_> = open.collect();
        open.sort_by(|a, b| (b.fit.high - b.fit.low).total_cmp(&(a.fit.high - a.fit.low)));
        let unsettled = match self.unsettled {
            0 => String::new(),
            n => format!("; {n} readings never came to rest"),
        };
        match open.first() {
            Some(c) => format!(
                "{} counters are too noisy to judge, most of all {}, which grows by {:.2} to {:.2} per {}{unsettled}",
                open.len(),
                c.name,
                c.fit.low,
                c.fit.high,
                self.record.unit
            ),
            None => format!("no counter was read{unsettled}"),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        // The judgement was made before late frees were waited for.
        let doses = self.readings.iter().filter(|r| matches!(r.kind, RoundKind::Dose | RoundKind::Proof));
        let dose = doses.map(|r| r.dose).sum();
        let net = |name: &String| self.net.get(name).copied().unwrap_or(0);
        let kept = |c: &&Counter| stays(&c.fit, net(&c.name), dose) && self.goes_on(&c.name, c.fit.estimate);
        let leaks = self.judgement.iter().flat_map(Judgement::leaks).filter(kept);
        let slab = leaks.map(|counter| {
            let rate = counter.fit;
            let net = self.net.get(&counter.name).copied().unwrap_or(0);
            let unmounted = self.net_unmounted.get(&counter.name).copied().unwrap_or(0);
            let rpcs = readdirs(&self.record.rpcs) as f64 / self.record.listings.max(1) as f64;
            Finding {
                source: CounterKind::from_counter(&counter.name),
                name: counter.name.clone(),
                objects_per_listing: rate,
                bytes_per_listing: rate.estimate * self.object_bytes(&counter.name) as f64,
                survives_unmount: 2 * unmounted >= net,
                call_sites: call_sites(self.sites.get(&counter.name).map_or(&[], Vec::as_slice)),
                objects_per_rpc: rate.per(rpcs),
                objects_per_entry: rate.per(self.record.entries as f64),
                net_objects: net,
            }
        });
        let found = slab.chain(self.left.finding(&self.complaints, self.record.listings)).collect();
        explained::without(found)
    }

    /// Whether a counter still grew as its rate promises in the further round.
    fn goes_on(&self, name: &str, rate: f64) -> bool {
        self.proof.as_ref().is_none_or(|proof| {
            let grown = proof.growth.get(name).copied().unwrap_or(0) as f64;
            grown >= GOES_ON * rate * proof.dose as f64
        })
    }

    /// Bytes of one object of a counter; 0 where they differ from object to object.
    fn object_bytes(&self, counter: &str) -> u64 {
        let bytes = CounterKind::from_counter(counter).info().bytes;
        bytes.or_else(|| self.object_bytes.get(counter).copied()).unwrap_or(0)
    }
}
