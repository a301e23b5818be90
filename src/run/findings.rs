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
use crate::text::plural::plural;
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
            let (dose, units) = (self.dose(), plural(unit));
            let freed = if finding.survives_unmount { "" } else { "; unmounting frees it" };
            return format!(
                "{} has grown by {net} in {dose} {units}, {amount}{site}, not yet told from a cache of more than {net}{freed}",
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
        let (made, wanted, units) = (self.dose(), units_wanted(worst, 0.0, least), plural(unit));
        let ended = if self.stopped.contains(&worst.name) { " and then stopped" } else { "" };
        if worst.grown < 1.0 {
            return Some(format!(
                "{made} {units} are too few to say that nothing leaks now and then; --listings {wanted} makes enough"
            ));
        }
        Some(format!(
            "{} has grown by {:.0} in {made} {units}{ended}, which may be a cache or a leak that comes now and then, of {:.2} per {unit} at \
             most; --listings {wanted} may tell",
            worst.name, worst.grown, worst.high
        ))
    }

    /// Returns the record of a run that was cut off, of which nothing can be said but what had grown until then.
    pub fn into_cut_off_record(self, sentence: String) -> RunRecord {
        let reason = self.with_growth(sentence);
        self.into_record(Verdict::Undecided, reason)
    }

    /// Adds to the reason why a run was cut off what had grown most until then, if that is as much as a leak of it would be.
    fn with_growth(&self, reason: String) -> String {
        let (made, units) = (self.dose(), plural(&self.record.unit));
        let rate = self.min_rate * made as f64;
        let nets = self.nets();
        let grown = nets.iter().filter(|net| made > 0 && net.grown >= rate);
        match grown.max_by(|a, b| a.grown.total_cmp(&b.grown)) {
            Some(most) => {
                format!("{reason}; until then {} had grown by {:.0} in {made} {units}", most.name, most.grown)
            }
            None => reason,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::parts::SourceControl;
    use crate::result::record::KernelRecord;
    use crate::run::observations::Reading;
    use crate::run::options::Options;
    use crate::sample::{Sample, Site};
    use crate::stats::estimate::Estimate;

    const CACHE: &str = "kmalloc-256";

    fn options() -> Options {
        Options::default()
    }

    fn counter(name: &str, low: f64, high: f64, says: CounterVerdict) -> Counter {
        Counter { name: name.into(), fit: Estimate { estimate: (low + high) / 2.0, low, high }, says }
    }

    /// Returns what was seen of so many units, in which the cache grew by so many objects and unmounting left some.
    fn seen(options: &Options, units: u64, [grown, unmounted]: [i64; 2], counters: Vec<Counter>) -> Observations {
        let mut record = RunRecord::begin("quick", KernelRecord::default(), 1);
        (record.entries, record.listings, record.cold_listings) = (150, units, units);
        (record.controls.names_cached, record.controls.names_removed) = (150, 150);
        let mut seen = Observations::new(record, options);
        let mut read = |kind, dose, objects| {
            let sample = Sample { objects: [(CACHE.to_owned(), 1000 + objects)].into() };
            seen.reading(Reading { kind, dose, sample, settled_seconds: Some(0.1), clock_seconds: 0.0 });
        };
        // What the warm-up makes counts for nothing.
        read(RoundKind::Warmup, 2, 0);
        read(RoundKind::Dose, units / 2, grown);
        read(RoundKind::Control, 0, grown);
        read(RoundKind::Proof, units - units / 2, grown);
        seen.judgement = Some(Judgement { counters });
        seen.net = [(CACHE.to_owned(), grown)].into();
        seen.net_unmounted = [(CACHE.to_owned(), unmounted)].into();
        seen
    }

    /// Returns the same where the cache leaks an object in each unit.
    fn leaking(options: &Options, units: i64, unmounted: i64) -> Observations {
        let leak = vec![counter(CACHE, 0.9, 1.1, CounterVerdict::Leak)];
        seen(options, units as u64, [units, unmounted], leak)
    }

    /// Returns the same where nothing grows.
    fn at_rest(units: u64) -> Observations {
        seen(&options(), units, [0, 0], vec![counter(CACHE, -0.1, 0.1, CounterVerdict::Clean)])
    }

    fn judged(seen: Observations) -> (Verdict, String) {
        let record = seen.into_judged_record();
        (record.verdict, record.reason)
    }

    fn is_undecided(seen: Observations, why: &str) {
        let (verdict, reason) = judged(seen);
        assert!(verdict == Verdict::Undecided && reason.contains(why), "{verdict:?}: {reason}");
    }

    #[test]
    fn growth_is_a_leak_once_it_is_past_what_a_cache_holds() {
        assert_eq!(judged(leaking(&options(), 5010, 5010)).0, Verdict::Leak);
        is_undecided(
            leaking(&options(), 5009, 5009),
            "kmalloc-256 has grown by 5009 in 5009 listings, 1.00 kmalloc-256 objects per listing (0.90 to 1.10), not yet told \
             from a cache of more than 5009",
        );
        is_undecided(leaking(&options(), 5009, 0), "more than 5009; unmounting frees it");
    }

    #[test]
    fn run_that_is_cut_off_says_what_had_grown() {
        let said = |seen: Observations| seen.with_growth("it was late".into());
        assert_eq!(
            said(leaking(&options(), 64, 0)),
            "it was late; until then kmalloc-256 had grown by 64 in 64 listings"
        );
        assert_eq!(said(at_rest(64)), "it was late");
        let nothing = Observations::new(RunRecord::begin("quick", KernelRecord::default(), 1), &options());
        assert_eq!(said(nothing), "it was late", "not even the warm-up was over");
    }

    #[test]
    fn growth_survives_unmount_if_half_of_it_does() {
        assert_eq!(judged(leaking(&options(), 6000, 3000)).0, Verdict::Leak);
        is_undecided(leaking(&options(), 6000, 2999), "stay as long as it is mounted, without a bound (6000 so far)");
    }

    #[test]
    fn growth_until_unmount_is_what_the_user_wants_it_to_be() {
        is_undecided(leaking(&options(), 6000, 0), "--strict calls that a leak, --allow-until-unmount clean");
        let strict = Options { strict: true, ..options() };
        assert_eq!(judged(leaking(&strict, 6000, 0)).0, Verdict::Leak);
        let allowed = Options { allow_until_unmount: true, ..options() };
        assert_eq!(judged(leaking(&allowed, 6000, 0)).0, Verdict::Clean);
        assert_eq!(judged(leaking(&allowed, 6000, 6000)).0, Verdict::Leak, "unmounting frees nothing");
    }

    #[test]
    fn growth_that_stopped_or_is_gone_is_no_finding() {
        let mut stopped = leaking(&options(), 6000, 6000);
        stopped.stopped.insert(CACHE.into());
        assert_eq!(stopped.findings(), []);
        is_undecided(stopped, "has grown by 6000 in 6000 listings and then stopped, which may be a cache or a leak");
        let mut gone = leaking(&options(), 6000, 6000);
        gone.net.insert(CACHE.into(), 2999);
        assert_eq!(gone.findings(), []);
        gone.net.insert(CACHE.into(), 3000);
        assert_eq!(gone.findings().len(), 1);
    }

    #[test]
    fn finding_has_its_rate_per_call_per_entry_and_in_bytes() {
        let mut seen = leaking(&options(), 6000, 6000);
        seen.record.rpcs = [("READDIR".to_owned(), 6000), ("READDIRPLUS".to_owned(), 12_000)].into();
        seen.object_bytes.insert(CACHE.into(), 256);
        let sites = ["nfs_opendir", "other", "nfs_opendir"].map(|f| (f, [f.to_owned(), "vfs_open".to_owned()]));
        let sites = sites.into_iter().zip([4000, 2000, 2000]);
        let site = |((function, stack), objects): ((&str, [String; 2]), i64)| Site {
            function: function.into(),
            stack: stack.into(),
            objects,
        };
        seen.sites.insert(CACHE.into(), sites.map(site).collect());
        let found = seen.findings().remove(0);
        assert_eq!(
            (found.net_objects, found.excluded_cache_objects, found.bytes_per_listing),
            (6000, Some(5990), 256.0)
        );
        assert!((found.objects_per_rpc.unwrap().estimate - 1.0 / 3.0).abs() < 1e-9, "{found:?}");
        assert!((found.objects_per_entry.unwrap().estimate - 1.0 / 150.0).abs() < 1e-9, "{found:?}");
        let shares: Vec<_> = found.call_sites.iter().map(|site| (site.function.as_str(), site.share)).collect();
        assert_eq!(shares, [("nfs_opendir", 0.75), ("other", 0.25)]);
        assert_eq!((seen.object_bytes("pages"), seen.object_bytes("kmalloc-8")), (4096, 0));
    }

    #[test]
    fn kernel_at_rest_is_clean_after_enough_units() {
        assert_eq!(judged(at_rest(100)).0, Verdict::Clean);
        is_undecided(
            at_rest(8),
            "8 listings are too few to say that nothing leaks now and then; --listings 11 makes enough",
        );
        let mut one = at_rest(8);
        one.readings[1].sample.objects.insert(CACHE.into(), 1001);
        one.readings[2].sample.objects.insert(CACHE.into(), 1001);
        one.readings[3].sample.objects.insert(CACHE.into(), 1001);
        one.net.insert(CACHE.into(), 1);
        is_undecided(one, "kmalloc-256 has grown by 1 in 8 listings, which may be a cache or a leak");
    }

    #[test]
    fn run_whose_controls_were_missed_is_neither_a_leak_nor_clean() {
        let missed =
            |source, name: &str| SourceControl { source, name: name.into(), held: 584, seen: 0, left: 0, noise: 0 };
        let mut blind = leaking(&options(), 6000, 6000);
        blind.record.controls.sources = vec![missed(CounterKind::Slab, "filp")];
        is_undecided(blind, "the control of slab failed");
        // Another source that was missed takes nothing from a leak of objects, but from a clean verdict.
        let pages = || vec![missed(CounterKind::Pages, "pages")];
        let mut leak = leaking(&options(), 6000, 6000);
        leak.record.controls.sources = pages();
        assert_eq!(judged(leak).0, Verdict::Leak);
        let mut clean = at_rest(100);
        clean.record.controls.sources = pages();
        is_undecided(clean, "the control of pages failed");
    }

    #[test]
    fn run_whose_names_were_not_seen_may_be_a_leak_but_is_not_clean() {
        let mut leak = leaking(&options(), 6000, 6000);
        leak.record.controls.names_removed = 149;
        assert_eq!(judged(leak).0, Verdict::Leak);
        let mut clean = at_rest(100);
        clean.record.controls.names_removed = 149;
        is_undecided(clean, "of 150 names the probe saw 150 at their call site, of which dropping the caches took 149");
    }

    #[test]
    fn listing_that_was_wrong_outweighs_everything() {
        let mut broken = leaking(&options(), 6000, 6000);
        broken.broken = Some("a name came twice".into());
        assert_eq!(judged(broken), (Verdict::Broken, "a name came twice".into()));
    }

    #[test]
    fn counter_that_is_open_is_named_the_most_restless_first() {
        let open = |name, low, high| counter(name, low, high, CounterVerdict::Undecided);
        let counters = |others_first: bool| {
            let mut counters = vec![open(CACHE, -5.0, 3.0), open("filp", 0.0, 4.0)];
            if others_first {
                counters.reverse();
            }
            counters.push(counter("dentry", -0.1, 0.1, CounterVerdict::Clean));
            counters
        };
        let noisy =
            "2 counters are too noisy to judge, most of all kmalloc-256, which grows by -5.00 to 3.00 per listing";
        is_undecided(seen(&options(), 100, [0, 0], counters(true)), noisy);
        let mut unsettled = seen(&options(), 100, [0, 0], counters(false));
        unsettled.unsettled = 2;
        is_undecided(unsettled, &format!("{noisy}; 2 readings never came to rest"));
        is_undecided(seen(&options(), 100, [0, 0], Vec::new()), "no counter was read");
    }

    #[test]
    fn memory_that_ran_out_is_the_leak_that_was_seen_before() {
        let ended = |seen: Observations, kind: &str| {
            let record = seen.into_crash_record(kind, "the guest ran out of memory.".into());
            (record.verdict, record.findings.len(), record.reason)
        };
        let (verdict, findings, reason) = ended(leaking(&options(), 6000, 6000), "out of memory");
        assert_eq!((verdict, findings), (Verdict::Leak, 1));
        assert!(reason.ends_with(". Then the guest ran out of memory."), "{reason}");
        let is_crash = |seen, kind: &str| {
            assert_eq!(ended(seen, kind), (Verdict::Crash, 0, "the guest ran out of memory.".into()), "{kind}");
        };
        is_crash(leaking(&options(), 6000, 6000), "panic");
        is_crash(at_rest(100), "out of memory");
        let mut warm = leaking(&options(), 6000, 6000);
        warm.record.cold_listings = 5999;
        is_crash(warm, "out of memory");
        let mut blind = leaking(&options(), 6000, 6000);
        let (source, name) = (CounterKind::Slab, "filp".to_owned());
        blind.record.controls.sources = vec![SourceControl { source, name, held: 584, seen: 0, left: 0, noise: 0 }];
        is_crash(blind, "out of memory");
    }

    #[test]
    fn run_ended_for_nothing_if_what_grew_is_gone_and_others_are_open() {
        let open = || counter("filp", -3.0, 3.0, CounterVerdict::Undecided);
        let gone = || {
            let leak = counter(CACHE, 0.9, 1.1, CounterVerdict::Leak);
            let mut seen = seen(&options(), 6000, [6000, 6000], vec![leak, open()]);
            seen.net.insert(CACHE.into(), 10);
            seen
        };
        assert!(gone().ended_for_nothing());
        let mut stays = gone();
        stays.net.insert(CACHE.into(), 6000);
        assert!(!stays.ended_for_nothing());
        let mut broken = gone();
        broken.broken = Some("a name came twice".into());
        assert!(!broken.ended_for_nothing());
        let mut all_known = gone();
        all_known.judgement.as_mut().unwrap().counters.pop();
        assert!(!all_known.ended_for_nothing());
        assert!(!seen(&options(), 100, [0, 0], vec![open()]).ended_for_nothing());
    }
}
