//! What a run has seen so far.

use super::options::Options;
use super::unmount::UnmountLeftovers;
use crate::kernel::bootable::Kernel;
use crate::kernel::distribution::patched;
use crate::probe::clock;
use crate::probe::page_allocator::who_asked;
use crate::probe::site_text::without_offset;
use crate::protocol::message::RoundStats;
use crate::result::finding::AllocationSite;
use crate::result::parts::{
    Bounds, Controls, CounterBound, FaultRecord, NetBound, Round, RoundKind, Setup, SourceControl, Timing,
};
use crate::result::record::{KernelRecord, RunRecord};
use crate::result::sweep::FailingRecord;
use crate::sample::{CounterKind, Growth, Sample, Site};
use crate::scenario::Scenario;
use crate::stats::estimate::CONFIDENCE;
use crate::stats::net_growth::{NetGrowth, rarest};
use crate::verdict::judge::{Counter, Judgement};
use crate::vm::console::Complaints;
use crate::vm::qemu::{Accelerator, PROGRAM};
use crate::vm::sandbox::Sandbox;
use nfs_fault_server::FaultCount;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Bounds that a record keeps of counters that do not leak.
const KEPT_BOUNDS: usize = 5;

/// One reading at rest and what was done before it.
pub struct Reading {
    pub kind: RoundKind,
    pub dose: u64,
    pub sample: Sample,
    pub settled_seconds: Option<f64>,
    /// By the clock of who read it.
    pub clock_seconds: f64,
}

/// Begins the record of a scenario in a guest, before anything is seen.
pub fn begin(scenario: &Scenario, kernel: &Kernel, accelerator: Accelerator, options: &Options) -> RunRecord {
    let stock = options.is_stock(scenario, kernel);
    let mut record = RunRecord::begin(&scenario.name, kernel_record(kernel), options.boot.seed);
    record.accelerator = accelerator.as_str().into();
    record.entries = scenario.directory.entries;
    record.unit = scenario.unit.name.clone();
    record.programs = scenario.unit.programs().next().map(|_| 0);
    record.failing = scenario.unit.fail_nth().map(|fail| FailingRecord::new(&fail.to_string()));
    record.operations = scenario.unit.file_steps().next().map(|_| 0);
    record.signals = scenario.unit.passes().any(|pass| pass.signals_every_us > 0).then_some(0);
    let sandbox = Sandbox::detect();
    record.setup = Some(Setup { sandbox: sandbox.names(), ..setup(scenario, stock) });
    let missing = sandbox.missing().join(" and ");
    if !missing.is_empty() {
        record.notes.push(format!("{PROGRAM} has no fence of {missing} here and ran without, see dirleak doctor"));
    }
    record
}

/// Returns what is told of a kernel, as far as it is known before the boot.
pub fn kernel_record(kernel: &Kernel) -> KernelRecord {
    KernelRecord {
        spec: kernel.spec.clone(),
        release: kernel.release.clone(),
        image_sha256: kernel.image_sha256.clone(),
        patches: kernel.patches.clone(),
        source_version: kernel.source_version.clone(),
        rebuilt_modules: kernel.patched_modules.as_deref().map(patched::digests).unwrap_or_default(),
    }
}

/// Everything that one run has seen.
pub struct Observations {
    pub record: RunRecord,
    pub judgement: Option<Judgement>,
    /// Processes that programs left behind.
    left_processes: u64,
    /// Operations that could not be done in the local directory.
    left_out: BTreeSet<String>,
    /// For how long units were made on the mount.
    working_seconds: f64,
    /// What was wrong with the first listing that was wrong.
    pub broken: Option<String>,
    pub object_bytes: BTreeMap<String, u64>,
    /// The other names of each slab cache that the kernel has merged.
    pub shared_names: BTreeMap<String, Vec<String>>,
    /// Growth by call site over all blocks but the first, by cache.
    pub sites: BTreeMap<String, Vec<Site>>,
    /// What the kernel says of its lines of source.
    pub allocation_sites: Vec<AllocationSite>,
    /// Growth from the first reading that counts to the last before unmount.
    pub net: Growth,
    /// The same, to the reading after unmount.
    pub net_unmounted: Growth,
    pub complaints: Complaints,
    /// Counters that grew less in a further round than their rate promises: they came to an end.
    pub stopped: BTreeSet<String>,
    /// What unmounting left behind.
    pub left: UnmountLeftovers,
    pub(super) readings: Vec<Reading>,
    /// Readings that never came to rest.
    pub(super) unsettled: u64,
    /// When, by the clock of the machine that is measured: at first when that of a guest began, which is the boot, or now.
    last_reading: f64,
    last_dose: Option<f64>,
    pub(super) min_rate: f64,
    pub(super) strict: bool,
    pub(super) allow_until_unmount: bool,
    pub(super) largest_cache: u64,
}

impl Observations {
    /// Begins the observations of a run whose record has begun.
    pub fn new(record: RunRecord, options: &Options) -> Self {
        let last_reading = if record.unmounted() { 0.0 } else { clock::seconds() };
        Self {
            record,
            judgement: None,
            left_processes: 0,
            left_out: BTreeSet::new(),
            working_seconds: 0.0,
            broken: None,
            object_bytes: BTreeMap::new(),
            shared_names: BTreeMap::new(),
            sites: BTreeMap::new(),
            allocation_sites: Vec::new(),
            net: Growth::new(),
            net_unmounted: Growth::new(),
            complaints: Complaints::default(),
            stopped: BTreeSet::new(),
            left: UnmountLeftovers::default(),
            readings: Vec::new(),
            unsettled: 0,
            last_reading,
            last_dose: None,
            min_rate: options.min_rate,
            strict: options.strict,
            allow_until_unmount: options.allow_until_unmount,
            largest_cache: options.largest_cache,
        }
    }

    /// Notes that a phase ended that began at `begin`.
    pub fn time(&mut self, phase: &str, begin: Instant) {
        self.time_of(phase, begin.elapsed().as_secs_f64());
    }

    /// Notes that a phase took this long.
    pub fn time_of(&mut self, phase: &str, seconds: f64) {
        self.record.timings.push(Timing { phase: phase.into(), seconds });
    }

    /// Counts the work of a round.
    pub fn worked(&mut self, worked: &RoundStats) {
        let record = &mut self.record;
        record.listings += worked.listings;
        record.cold_listings += worked.cold_listings;
        record.complete_listings += worked.complete_listings;
        record.refused_mounts += worked.refused_mounts;
        record.signals = record.signals.map(|signals| signals + worked.signals);
        record.programs = record.programs.map(|programs| programs + worked.programs);
        record.operations = record.operations.map(|operations| operations + worked.operations);
        self.left_processes += worked.left_processes;
        if let Some(failing) = &mut record.failing {
            count_failures(failing, worked);
        }
        self.left_out.extend(worked.left_out.iter().cloned());
        self.working_seconds += worked.listing_seconds;
        for (name, calls) in &worked.failed_rpcs {
            *record.failed_rpcs.entry(name.clone()).or_default() += calls;
        }
        if !worked.faults.is_empty() {
            // Counted since the server was started.
            let record_of = |f: &FaultCount| FaultRecord { fault: f.fault, armed: f.armed, happened: f.happened };
            record.faults = worked.faults.iter().map(record_of).collect();
        }
        for (name, calls) in &worked.rpcs {
            *record.rpcs.entry(name.clone()).or_default() += calls;
        }
        if worked.listings > 0 {
            self.last_dose = Some(worked.clock_seconds);
        }
        if self.broken.is_none() {
            self.broken = worked.broken.clone();
        }
    }

    /// Notes a reading at rest.
    pub fn reading(&mut self, reading: Reading) {
        let seconds = (reading.clock_seconds - self.last_reading).max(0.0);
        self.last_reading = reading.clock_seconds;
        self.unsettled += u64::from(reading.settled_seconds.is_none());
        if matches!(reading.kind, RoundKind::Dose | RoundKind::Control | RoundKind::Proof) {
            self.waited(reading.clock_seconds);
        }
        let (kind, dose) = (reading.kind, reading.dose);
        self.record.rounds.push(Round { dose, samples: BTreeMap::new(), kind, seconds });
        self.readings.push(reading);
    }

    /// Notes the positive controls: what was held of each source, the open files first, and names at their call site
    /// before and after rest.
    pub fn controls(&mut self, sources: Vec<SourceControl>, names_cached: i64, names_removed: i64) {
        let SourceControl { held, seen, left, .. } = sources[0];
        self.record.controls = Controls { held, seen, left, names_cached, names_removed, sources };
    }

    /// Returns whether something has been found to grow.
    pub fn grows(&self) -> bool {
        self.judgement.as_ref().is_some_and(|j| !j.leaks().is_empty())
    }

    /// Notes that late frees were waited for until then, by the clock of who waited.
    pub fn waited(&mut self, clock_seconds: f64) {
        if let Some(dose) = self.last_dose {
            self.record.settled_seconds = (clock_seconds - dose).max(0.0);
        }
    }

    /// Returns what is excluded. A counter that came to an end has no rate, and is told by what it grew by.
    fn bounds(&self, judgement: &Judgement) -> Bounds {
        let bound = |c: &Counter| CounterBound {
            source: CounterKind::from_counter(&c.name),
            name: c.name.clone(),
            objects_per_listing: c.fit,
        };
        let net_bound = |net: NetGrowth| NetBound {
            source: CounterKind::from_counter(&net.name),
            net_objects: net.grown.round() as i64,
            lump_objects: net.lump.round() as i64,
            high: net.high,
            name: net.name,
        };
        let going_on = judgement.counters.iter().filter(|c| !self.stopped.contains(&c.name));
        let units = self.net_rounds().iter().map(|round| round.units).sum();
        Bounds {
            highest: going_on.take(KEPT_BOUNDS).map(bound).collect(),
            highest_net: self.nets().into_iter().take(KEPT_BOUNDS).map(net_bound).collect(),
            rarest_listings: Some(rarest(units) as u64),
            largest_cache_objects: Some(self.largest_cache),
            ..Bounds::begin(CONFIDENCE, self.min_rate, judgement.counters.len() as u64)
        }
    }

    /// Fills in what a record holds whatever the verdict.
    pub(super) fn fill(&mut self) {
        let first = self.readings.first().map(|r| r.sample.clone()).unwrap_or_default();
        let moved = |name: &String| {
            let before = first.objects.get(name);
            self.readings.iter().any(|r| r.sample.objects.get(name) != before)
        };
        for (round, reading) in self.record.rounds.iter_mut().zip(&self.readings) {
            let samples = reading.sample.objects.iter().filter(|(name, _)| moved(name));
            round.samples = samples.map(|(name, n)| (name.clone(), *n)).collect();
        }
        if self.left_processes > 0 {
            let left = self.left_processes;
            self.record.notes.push(format!(
                "{left} processes that the programs left behind on the mount were ended after their unit"
            ));
        }
        if let Some(operations) = self.record.operations.filter(|_| self.working_seconds > 0.0) {
            self.record.operations_per_second = Some(operations as f64 / self.working_seconds);
        }
        if !self.left_out.is_empty() {
            let operations = self.left_out.iter().map(|op| format!("`{op}`")).collect::<Vec<_>>().join(", ");
            self.record
                .notes
                .push(format!("control rounds did without {operations}, which the local file system cannot do"));
        }
        self.record.console_lines.extend(self.complaints.lines.iter().cloned());
        self.record.bounds = self.judgement.as_ref().map(|judgement| self.bounds(judgement));
    }
}

fn count_failures(failing: &mut FailingRecord, worked: &RoundStats) {
    failing.failed += worked.failures.units;
    for (errno, times) in &worked.failures.errors {
        *failing.errors.entry(errno.clone()).or_default() += times;
    }
    if failing.stack.is_empty() {
        set_stack(failing, &worked.failures.stack);
    }
}

/// Has a record tell who asked, given the stack with offsets from there outwards.
pub(super) fn set_stack(failing: &mut FailingRecord, stack: &[String]) {
    failing.stack = functions(stack);
    failing.function = who_asked(&failing.stack);
}

/// Returns the functions of a stack.
pub(super) fn functions(stack: &[String]) -> Vec<String> {
    stack.iter().map(|frame| without_offset(frame)).collect()
}

fn setup(scenario: &Scenario, stock: bool) -> Setup {
    Setup {
        server: scenario.server.as_str().into(),
        nfs_version: scenario.mount.version.to_string(),
        mount_options: scenario.mount.options.clone(),
        rsize_bytes: u64::from(scenario.mount.rsize_bytes),
        getdents_buffer_bytes: scenario.listing.getdents_buffer_bytes as u64,
        memory_mib: u64::from(scenario.guest.memory_mib),
        cpus: u64::from(scenario.guest.cpus),
        stock,
        sandbox: Vec::new(),
        caches_dropped: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::record::KernelRecord;
    use crate::scenario::load;
    use crate::stats::estimate::Estimate;
    use crate::verdict::judge::CounterVerdict;
    use nfs_fault_server::{Fault, FaultAction};

    fn seen() -> Observations {
        Observations::new(RunRecord::begin("quick", KernelRecord::default(), 1), &Options::default())
    }

    fn sample(objects: &[(&str, i64)]) -> Sample {
        Sample { objects: objects.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect() }
    }

    fn read(seen: &mut Observations, kind: RoundKind, dose: u64, objects: &[(&str, i64)]) {
        seen.reading(Reading { kind, dose, sample: sample(objects), settled_seconds: Some(0.1), clock_seconds: 0.0 });
    }

    fn kernel() -> Kernel {
        Kernel {
            spec: "6.1".into(),
            image: "vmlinux".into(),
            release: "6.1.0".into(),
            image_sha256: "ab".into(),
            modules: None,
            patches: vec!["spare-pages".into()],
            series: None,
            source_version: None,
            is_package: false,
            patched_modules: None,
            effort: crate::kernel::bootable::Effort::default(),
        }
    }

    #[test]
    fn record_begins_with_the_stage() {
        let begun = |scenario: &str| begin(&load(scenario).unwrap(), &kernel(), Accelerator::Tcg, &Options::default());
        let (plain, signalled) = (begun("quick"), begun("signals"));
        assert_eq!((plain.signals, signalled.signals), (None, Some(0)));
        assert_eq!(
            (plain.kernel.spec.as_str(), plain.kernel.patches.as_slice()),
            ("6.1", &["spare-pages".to_owned()][..])
        );
        let sandbox = Sandbox::detect();
        assert_eq!(plain.setup.as_ref().unwrap().sandbox, sandbox.names());
        assert_eq!(plain.notes.is_empty(), sandbox.missing().is_empty(), "{:?}", plain.notes);
    }

    #[test]
    fn work_of_all_rounds_is_added_up() {
        let mut seen = seen();
        seen.record.signals = Some(1);
        let fault = |happened| FaultCount { fault: Fault::next(FaultAction::NoHandles), armed: 9, happened };
        let worked = |n: u64, broken: Option<&str>| RoundStats {
            listings: n,
            cold_listings: n - 1,
            complete_listings: n - 2,
            refused_mounts: n - 3,
            signals: n,
            rpcs: [("READDIR".to_owned(), n), ("OTHER".to_owned(), 1)].into(),
            broken: broken.map(str::to_owned),
            faults: vec![fault(n)],
            ..RoundStats::default()
        };
        seen.worked(&worked(5, None));
        seen.worked(&worked(7, Some("first")));
        seen.worked(&worked(8, Some("second")));
        let record = &seen.record;
        let counted = (record.listings, record.cold_listings, record.complete_listings, record.refused_mounts);
        assert_eq!((counted, record.signals), ((20, 17, 14, 11), Some(21)));
        assert_eq!((record.rpcs["READDIR"], record.rpcs["OTHER"], record.rpcs["READDIRPLUS"]), (20, 3, 0));
        // The server counts since it was started.
        assert_eq!((record.faults.len(), record.faults[0].armed, record.faults[0].happened), (1, 9, 8));
        assert_eq!(seen.broken.as_deref(), Some("first"));
        seen.worked(&RoundStats::default());
        assert_eq!(seen.record.faults.len(), 1, "a round without faults takes none back");
    }

    #[test]
    fn time_since_the_last_unit_is_what_was_waited_for_late_frees() {
        let read_at = |seen: &mut Observations, kind, clock_seconds| {
            seen.reading(Reading { kind, dose: 0, sample: sample(&[]), settled_seconds: Some(0.1), clock_seconds });
        };
        let mut idle = seen();
        idle.worked(&RoundStats::default());
        read_at(&mut idle, RoundKind::Control, 5.0);
        assert_eq!(idle.record.settled_seconds, 0.0, "no unit was made");
        let mut seen = seen();
        seen.worked(&RoundStats { listings: 1, clock_seconds: 7.0, ..RoundStats::default() });
        read_at(&mut seen, RoundKind::Warmup, 7.5);
        assert_eq!(seen.record.settled_seconds, 0.0);
        read_at(&mut seen, RoundKind::Proof, 9.0);
        assert_eq!(seen.record.settled_seconds, 2.0);
        let seconds: Vec<f64> = seen.record.rounds.iter().map(|round| round.seconds).collect();
        assert_eq!(seconds, [7.5, 1.5], "since the guest booted, and since the reading before");
    }

    #[test]
    fn record_has_each_reading_with_the_counters_that_moved() {
        let mut seen = seen();
        read(&mut seen, RoundKind::Warmup, 2, &[("filp", 7), ("dentry", 10)]);
        read(&mut seen, RoundKind::Dose, 4, &[("filp", 7), ("dentry", 12)]);
        seen.reading(Reading {
            kind: RoundKind::Control,
            dose: 0,
            sample: sample(&[("filp", 7), ("dentry", 10)]),
            settled_seconds: None,
            clock_seconds: 0.0,
        });
        assert_eq!(seen.unsettled, 1);
        seen.complaints.lines = vec!["BUG: Dentry still in use".into()];
        seen.time_of("rounds", 1.5);
        seen.time("controls", Instant::now());
        seen.fill();
        let rounds: Vec<_> = seen.record.rounds.iter().map(|r| (r.kind, r.dose, r.samples.clone())).collect();
        let of = |n| std::collections::BTreeMap::from([("dentry".to_owned(), n)]);
        let expected = [(RoundKind::Warmup, 2, of(10)), (RoundKind::Dose, 4, of(12)), (RoundKind::Control, 0, of(10))];
        assert_eq!(rounds, expected);
        assert_eq!(seen.record.console_lines, ["BUG: Dentry still in use"]);
        let timings: Vec<_> = seen.record.timings.iter().map(|timing| timing.phase.as_str()).collect();
        assert_eq!((timings, seen.record.timings[0].seconds), (vec!["rounds", "controls"], 1.5));
        assert_eq!(seen.record.bounds, None, "nothing was judged");
    }

    #[test]
    fn bounds_are_of_the_highest_that_go_on() {
        let mut seen = seen();
        assert!(!seen.grows());
        let counter = |n: u32| Counter {
            name: format!("cache-{n}"),
            fit: Estimate { estimate: 0.0, low: 0.0, high: f64::from(10 - n) },
            says: CounterVerdict::Clean,
        };
        seen.judgement = Some(Judgement { counters: (0..8).map(counter).collect() });
        assert!(!seen.grows());
        seen.stopped.insert("cache-1".into());
        read(&mut seen, RoundKind::Warmup, 0, &[("cache-1", 0)]);
        read(&mut seen, RoundKind::Dose, 106, &[("cache-1", 3)]);
        read(&mut seen, RoundKind::Control, 0, &[("cache-1", 3)]);
        seen.net.insert("cache-1".into(), 3);
        seen.fill();
        let bounds = seen.record.bounds.as_ref().unwrap();
        let names: Vec<_> = bounds.highest.iter().map(|bound| bound.name.as_str()).collect();
        assert_eq!(names, ["cache-0", "cache-2", "cache-3", "cache-4", "cache-5"]);
        let net = &bounds.highest_net[0];
        assert_eq!((net.name.as_str(), net.net_objects, net.lump_objects), ("cache-1", 3, 3));
        assert_eq!((bounds.counters, bounds.rarest_listings, bounds.largest_cache_objects), (8, Some(20), Some(5000)));
        seen.judgement.as_mut().unwrap().counters[0].says = CounterVerdict::Leak;
        assert!(seen.grows());
    }
}
