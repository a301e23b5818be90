//! What a run has seen so far, and the record that it becomes.

use super::Options;
use super::explained;
use super::left::Left;
use super::prove::Proof;
use crate::guest::protocol::{FaultCount, Worked};
use crate::kernel::Kernel;
use crate::probe::Sample;
use crate::probe::mountstats::readdirs;
use crate::probe::traces::Site;
use crate::report::record::{
    Bounds, CallSite, Controls, CounterBound, FaultRecord, Finding, KernelRecord, Rate, Round, RoundKind, RunRecord,
    Setup, Source, SourceControl, Timing, Verdict,
};
use crate::report::sentence;
use crate::scenario::Scenario;
use crate::verdict::Growth;
use crate::verdict::judge::{CONFIDENCE, Counter, Judgement, Says, stays};
use crate::vm::console::Complaints;
use crate::vm::qemu::{Accelerator, PROGRAM};
use crate::vm::sandbox::Sandbox;
use std::collections::BTreeMap;
use std::time::Instant;

const PAGE_BYTES: u64 = 4096;
/// Share of what its rate promises that a leak must have grown by in a further round.
const GOES_ON: f64 = 0.8;
/// Bounds that a record keeps of counters that do not leak.
const KEPT_BOUNDS: usize = 5;

/// One reading at rest and what was done before it.
pub struct Reading {
    pub kind: RoundKind,
    pub dose: u64,
    pub sample: Sample,
    pub settled_seconds: Option<f64>,
}

/// The record of a scenario in a guest, before anything is seen.
pub fn begin(scenario: &Scenario, kernel: &Kernel, accelerator: Accelerator, options: &Options) -> RunRecord {
    let stock = options.is_stock(scenario, kernel);
    let kernel = KernelRecord {
        spec: kernel.spec.clone(),
        release: kernel.release.clone(),
        image_sha256: kernel.image_sha256.clone(),
        patches: kernel.patches.clone(),
        source_version: kernel.source_version.clone(),
    };
    let mut record = RunRecord::begin(&scenario.name, kernel, options.seed);
    record.accelerator = accelerator.name().into();
    record.entries = scenario.directory.entries;
    record.unit = scenario.unit.name.clone();
    record.signals = scenario.unit.passes().any(|pass| pass.signals_every_us > 0).then_some(0);
    let sandbox = Sandbox::of_this_machine();
    record.setup = Some(Setup { sandbox: sandbox.words(), ..setup(scenario, stock) });
    if !sandbox.seccomp {
        record.notes.push(format!("{PROGRAM} has no seccomp sandbox here and ran without, see dirleak doctor"));
    }
    record
}

/// Everything that one run has seen.
pub struct Outcome {
    pub record: RunRecord,
    pub judgement: Option<Judgement>,
    /// What was wrong with the first listing that was wrong.
    pub broken: Option<String>,
    pub object_bytes: BTreeMap<String, u64>,
    /// Growth by call site over all blocks but the first, by cache.
    pub sites: BTreeMap<String, Vec<Site>>,
    /// Growth from the first reading that counts to the last before unmount.
    pub net: Growth,
    /// The same, to the reading after unmount.
    pub net_unmounted: Growth,
    pub complaints: Complaints,
    /// What a further round showed, if one was made.
    pub proof: Option<Proof>,
    /// What unmounting left behind.
    pub left: Left,
    readings: Vec<Reading>,
    unsettled: u64,
    begin: Instant,
    last_reading: Option<Instant>,
    last_dose: Option<Instant>,
    min_rate: f64,
    strict: bool,
}

impl Outcome {
    /// Of a run whose record has begun.
    pub fn new(record: RunRecord, options: &Options) -> Self {
        Self {
            record,
            judgement: None,
            broken: None,
            object_bytes: BTreeMap::new(),
            sites: BTreeMap::new(),
            net: Growth::new(),
            net_unmounted: Growth::new(),
            complaints: Complaints::default(),
            proof: None,
            left: Left::default(),
            readings: Vec::new(),
            unsettled: 0,
            begin: Instant::now(),
            last_reading: None,
            last_dose: None,
            min_rate: options.min_rate,
            strict: options.strict,
        }
    }

    /// A phase ended that began at `begin`.
    pub fn time(&mut self, phase: &str, begin: Instant) {
        self.time_of(phase, begin.elapsed().as_secs_f64());
    }

    /// A phase took this long.
    pub fn time_of(&mut self, phase: &str, seconds: f64) {
        self.record.timings.push(Timing { phase: phase.into(), seconds });
    }

    /// A round's work is done.
    pub fn worked(&mut self, worked: &Worked) {
        let record = &mut self.record;
        record.listings += worked.listings;
        record.cold_listings += worked.cold_listings;
        record.complete_listings += worked.complete_listings;
        record.refused_mounts += worked.refused_mounts;
        record.signals = record.signals.map(|signals| signals + worked.signals);
        if !worked.faults.is_empty() {
            // Counted since the server was started.
            let record_of = |f: &FaultCount| FaultRecord { fault: f.fault, armed: f.armed, happened: f.happened };
            record.faults = worked.faults.iter().map(record_of).collect();
        }
        for (name, calls) in &worked.rpcs {
            *record.rpcs.entry(name.clone()).or_default() += calls;
        }
        if worked.listings > 0 {
            self.last_dose = Some(Instant::now());
        }
        if self.broken.is_none() {
            self.broken = worked.broken.clone();
        }
    }

    /// A reading at rest came in.
    pub fn reading(&mut self, reading: Reading) {
        let seconds = self.last_reading.unwrap_or(self.begin).elapsed().as_secs_f64();
        self.last_reading = Some(Instant::now());
        self.unsettled += u64::from(reading.settled_seconds.is_none());
        if matches!(reading.kind, RoundKind::Dose | RoundKind::Control | RoundKind::Proof) {
            self.waited();
        }
        let (kind, dose) = (reading.kind, reading.dose);
        self.record.rounds.push(Round { dose, samples: BTreeMap::new(), kind, seconds });
        self.readings.push(reading);
    }

    /// The positive controls: what was held of each source, the open files first, and names at their call site before and
    /// after rest.
    pub fn controls(&mut self, sources: Vec<SourceControl>, names_cached: i64, names_removed: i64) {
        let SourceControl { held, seen, left, .. } = sources[0];
        self.record.controls = Controls { held, seen, left, names_cached, names_removed, sources };
    }

    /// Whether something has been found to grow.
    pub fn grows(&self) -> bool {
        self.judgement.as_ref().is_some_and(|j| !j.leaks().is_empty())
    }

    /// The record of a run that could not be judged, and why.
    pub fn ended(mut self, verdict: Verdict, reason: String) -> RunRecord {
        self.fill();
        self.record.verdict = verdict;
        self.record.reason = reason;
        self.record
    }

    /// The record of a crash; memory that ran out after rounds which already decide is the leak itself.
    pub fn crashed(mut self, kind: &str, sentence: String) -> RunRecord {
        let findings = self.findings();
        let trusted = findings.iter().any(|f| self.record.controls.trust(f.source));
        if kind == "out of memory" && self.grows() && trusted && self.record.controls_seen().is_ok() {
            self.fill();
            self.record.findings = findings;
            self.record.verdict = Verdict::Leak;
            let leak = sentence::of(&self.record);
            self.record.reason = format!("{} Then {sentence}", leak);
            return self.record;
        }
        self.ended(Verdict::Crash, sentence)
    }

    /// The record of a run that came to its end.
    pub fn judged(mut self) -> RunRecord {
        self.fill();
        self.record.findings = self.findings();
        let (verdict, reason) = self.verdict();
        self.record.verdict = verdict;
        self.record.reason = match reason {
            Some(reason) => reason,
            None => sentence::of(&self.record),
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
        match self.judgement.as_ref().map(Judgement::says) {
            Some(Says::Clean) => (Verdict::Clean, None),
            // Nothing survives unmount, and nothing else is open.
            Some(Says::Leak) if self.nothing_open() => (Verdict::Clean, None),
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

    /// Late frees were waited for until now.
    pub fn waited(&mut self) {
        if let Some(dose) = self.last_dose {
            self.record.settled_seconds = dose.elapsed().as_secs_f64();
        }
    }

    fn open_question(&self) -> String {
        let open = self.judgement.iter().flat_map(|j| &j.counters).filter(|c| c.says == Says::Undecided);
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
            let rate = Rate::from(&counter.fit);
            let net = self.net.get(&counter.name).copied().unwrap_or(0);
            let unmounted = self.net_unmounted.get(&counter.name).copied().unwrap_or(0);
            let rpcs = readdirs(&self.record.rpcs) as f64 / self.record.listings.max(1) as f64;
            Finding {
                source: Source::of_counter(&counter.name),
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
        match Source::of_counter(counter) {
            Source::Pages => PAGE_BYTES,
            _ => self.object_bytes.get(counter).copied().unwrap_or(0),
        }
    }

    /// What a record holds whatever the verdict.
    fn fill(&mut self) {
        let first = self.readings.first().map(|r| r.sample.clone()).unwrap_or_default();
        let moved = |name: &String| {
            let before = first.objects.get(name);
            self.readings.iter().any(|r| r.sample.objects.get(name) != before)
        };
        for (round, reading) in self.record.rounds.iter_mut().zip(&self.readings) {
            let samples = reading.sample.objects.iter().filter(|(name, _)| moved(name));
            round.samples = samples.map(|(name, n)| (name.clone(), *n)).collect();
        }
        self.record.console_lines.extend(self.complaints.lines.iter().cloned());
        self.record.bounds = self.judgement.as_ref().map(|judgement| Bounds {
            confidence: CONFIDENCE,
            min_rate: self.min_rate,
            counters: judgement.counters.len() as u64,
            highest: judgement
                .counters
                .iter()
                .take(KEPT_BOUNDS)
                .map(|c| CounterBound {
                    source: Source::of_counter(&c.name),
                    name: c.name.clone(),
                    objects_per_listing: Rate::from(&c.fit),
                })
                .collect(),
        });
    }
}

fn setup(scenario: &Scenario, stock: bool) -> Setup {
    Setup {
        server: scenario.server.name().into(),
        nfs_version: scenario.mount.version.clone(),
        mount_options: scenario.mount.options.clone(),
        rsize_bytes: u64::from(scenario.mount.rsize_bytes),
        getdents_buffer_bytes: scenario.listing.getdents_buffer_bytes as u64,
        memory_mib: u64::from(scenario.guest.memory_mib),
        cpus: u64::from(scenario.guest.cpus),
        stock,
        sandbox: Vec::new(),
    }
}

/// Call sites by function, largest share first, each with its most frequent stack.
pub(super) fn call_sites(sites: &[Site]) -> Vec<CallSite> {
    let total: i64 = sites.iter().map(|s| s.objects).sum();
    let mut functions: Vec<CallSite> = Vec::new();
    // Sites come most first, so the first stack of a function is its most frequent one.
    for site in sites {
        let share = site.objects as f64 / total as f64;
        match functions.iter_mut().find(|f| f.function == site.function) {
            Some(function) => function.share += share,
            None => functions.push(CallSite { function: site.function.clone(), share, stack: site.stack.clone() }),
        }
    }
    functions.sort_by(|a, b| b.share.total_cmp(&a.share));
    functions
}
