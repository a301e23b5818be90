//! The record of a run that has ended: its verdict and what was found.

use super::call_sites::{call_sites, not_read};
use super::further::excluded_cache;
use super::observations::Observations;
use super::{explained, size_classes};
use crate::probe::mountstats::readdirs;
use crate::result::finding::Finding;
use crate::result::parts::RoundKind;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::sample::CounterKind;
use crate::stats::net_growth::units_wanted;
use crate::verdict::judge::{Counter, CounterVerdict, Judgement, stays};

impl Observations {
    /// Returns the record of a run that could not be judged, and why.
    pub fn into_record(mut self, verdict: Verdict, reason: String) -> RunRecord {
        self.fill();
        self.record.verdict = verdict;
        self.record.reason = reason;
        self.record
    }

    /// Returns the record of a crash; memory that ran out after rounds which already decide is the leak itself.
    pub fn into_crash_record(mut self, kind: &str, sentence: String) -> RunRecord {
        let findings = self.findings();
        let trusted = findings.iter().any(|f| self.record.controls.trust(f.source));
        if kind == "out of memory" && self.grows() && trusted && self.record.controls_seen().is_ok() {
            self.fill();
            self.keep(findings);
            self.record.verdict = Verdict::Leak;
            let leak = sentence::render(&self.record);
            self.record.reason = format!("{} Then {sentence}", leak);
            return self.record;
        }
        self.into_record(Verdict::Crash, sentence)
    }

    /// Returns the record of a run that came to its end.
    pub fn into_judged_record(mut self) -> RunRecord {
        self.fill();
        let findings = self.findings();
        self.keep(findings);
        let (verdict, reason) = self.verdict();
        self.record.verdict = verdict;
        self.record.reason = match reason {
            Some(reason) => reason,
            None => sentence::render(&self.record),
        };
        self.record
    }

    /// Keeps what was found, and who allocated it by line of source.
    fn keep(&mut self, findings: Vec<Finding>) {
        if !findings.is_empty() {
            self.record.allocation_sites = std::mem::take(&mut self.allocation_sites);
        }
        self.record.not_looked_for.extend(not_read(&findings));
        self.record.findings = findings;
    }

    /// Returns the verdict; a leak and a clean kernel are told by their numbers, everything else by a reason.
    fn verdict(&self) -> (Verdict, Option<String>) {
        if let Some(broken) = &self.broken {
            return (Verdict::Broken, Some(broken.clone()));
        }
        if let Err(missed) = self.record.controls_seen() {
            return (Verdict::Undecided, Some(missed));
        }
        let controls = &self.record.controls;
        let growth = || self.record.findings.iter().filter(|f| controls.trust(f.source) && !self.is_allowed(f));
        let leaks = |f: &&Finding| (f.survives_unmount || self.strict) && self.is_past_caches(f);
        if growth().any(|f| leaks(&f)) {
            return (Verdict::Leak, None);
        }
        if let Some(finding) = growth().next() {
            return (Verdict::Undecided, Some(self.growth_question(finding)));
        }
        if let Some(missed) = controls.missed() {
            return (Verdict::Undecided, Some(missed));
        }
        // Names that dropping the caches leaves behind are also what a leak of names looks like.
        if let Err(missed) = self.record.names_seen() {
            return (Verdict::Undecided, Some(missed));
        }
        if !self.nothing_open() {
            return (Verdict::Undecided, Some(self.open_question()));
        }
        match self.rare_question() {
            Some(question) => (Verdict::Undecided, Some(question)),
            None => (Verdict::Clean, None),
        }
    }

    fn nothing_open(&self) -> bool {
        self.judgement.as_ref().is_some_and(|j| j.open() == 0 && !j.counters.is_empty())
    }

    /// Returns whether growth has gone past what a cache may hold. What unmounting left behind is nobody's cache.
    fn is_past_caches(&self, finding: &Finding) -> bool {
        finding.excluded_cache_objects.is_none_or(|excluded| excluded >= self.largest_cache)
    }

    /// Returns whether the user lets growth be, as unmounting frees it.
    fn is_allowed(&self, finding: &Finding) -> bool {
        self.allow_until_unmount && !finding.survives_unmount
    }

    /// Returns why growth that goes on is neither a leak nor clean.
    fn growth_question(&self, finding: &Finding) -> String {
        let (net, unit) = (finding.net_objects, &self.record.unit);
        let site = finding.call_sites.first().map(|site| format!(", allocated in {}", site.function));
        let (amount, site) = (sentence::amount(finding, unit), site.unwrap_or_default());
        if !self.is_past_caches(finding) {
            let dose = self.dose();
            let freed = if finding.survives_unmount { "" } else { "; unmounting frees it" };
            return format!(
                "{} has grown by {net} in {dose} {unit}s, {amount}{site}, not yet told from a cache of more than {net}{freed}",
                finding.name
            );
        }
        format!(
            "{amount}{site} stay as long as it is mounted, without a bound ({net} so far), and unmounting frees them; --strict calls that \
             a leak, --allow-until-unmount clean"
        )
    }

    /// Returns why it cannot be said that nothing leaks that comes rarely or in lumps, if it cannot.
    fn rare_question(&self) -> Option<String> {
        let (least, unit) = (self.min_rate, &self.record.unit);
        let nets = self.nets();
        let worst = nets.first().filter(|net| net.high >= least)?;
        let (made, wanted) = (self.dose(), units_wanted(worst, 0.0, least));
        let ended = if self.stopped.contains(&worst.name) { " and then stopped" } else { "" };
        if worst.grown < 1.0 {
            return Some(format!(
                "{made} {unit}s are too few to say that nothing leaks now and then; --listings {wanted} makes enough"
            ));
        }
        Some(format!(
            "{} has grown by {:.0} in {made} {unit}s{ended}, which may be a cache or a leak that comes now and then, of {:.2} per {unit} at \
             most; --listings {wanted} may tell",
            worst.name, worst.grown, worst.high
        ))
    }

    /// Returns how many units were made.
    fn dose(&self) -> u64 {
        let doses = self.readings.iter().filter(|r| matches!(r.kind, RoundKind::Dose | RoundKind::Proof));
        doses.map(|r| r.dose).sum()
    }

    /// Returns whether the rounds ended early for growth that was freed late or by unmounting.
    pub fn ended_for_nothing(&self) -> bool {
        let freed = self.findings().iter().all(|f| self.is_allowed(f));
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
        let dose = self.dose();
        let net = |name: &String| self.net.get(name).copied().unwrap_or(0);
        let kept = |c: &&Counter| stays(&c.fit, net(&c.name), dose) && !self.stopped.contains(&c.name);
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
                excluded_cache_objects: Some(excluded_cache(net)),
                shares_with: self.shared_names.get(&counter.name).cloned().unwrap_or_default(),
            }
        });
        let found = slab.chain(self.left.finding(&self.complaints, self.record.listings)).collect();
        size_classes::without_sum(explained::without(found))
    }

    /// Returns the bytes of one object of a counter; 0 where they differ from object to object.
    fn object_bytes(&self, counter: &str) -> u64 {
        let bytes = CounterKind::from_counter(counter).info().bytes;
        bytes.or_else(|| self.object_bytes.get(counter).copied()).unwrap_or(0)
    }
}
