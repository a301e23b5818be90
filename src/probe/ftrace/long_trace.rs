//! Which call sites of NFS allocate objects that stay, over hours: allocations and frees of a sample of addresses are traced all the while,
//! read in slices, and paired.
//!
//! A slice is taken up to the time at which reading it began, as what one processor allocated another one frees: what is younger waits
//! for the next.

use super::decode::{self, CACHE_ALLOC, KMALLOC, Kind, OBJECT_FREE, class_of};
use super::nfs_code::NfsCode;
use super::ring;
use super::survivors::{AddressSample, Survived, SurvivorSite, Survivors};
use super::symbols::{self, KEPT_BACK};
use super::tracefs::{self, Enabled, TraceBuffer};
use super::wanted::TraceTargets;
use crate::error::{Context, Result};
use crate::probe::memory;
use crate::probe::slab::Layout;
use nix::time::{ClockId, clock_gettime};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read};

/// Events that may come in a second before fewer addresses are looked at.
const MOST_EVENTS_PER_SECOND: f64 = 4000.0;
/// How often that is passed, one slice after the other, before it is no burst.
const SLICES_ABOVE: u32 = 3;
/// One address of two to this power is looked at until it is known how much there is to see, and for how long.
const FIRST_SAMPLE: u32 = 6;
const FIRST_SECONDS: f64 = 2.0;
/// What the buffers of all processors take, in KiB, and no less for each.
const BUFFERS_KIB: u64 = 4096;
const LEAST_KIB: u64 = 64;
/// Nor more than one part in this of the memory.
const MEMORY_PART: u64 = 64;
/// Events that wait for the next slice; more are lost.
const MOST_WAITING: usize = 1 << 18;

/// An event that was not taken yet.
#[derive(Clone, Copy, Debug)]
struct Event {
    time_ns: u64,
    address: u64,
    /// `None` of a free.
    allocated: Option<Allocated>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Allocated {
    caller: u64,
    slot_bytes: u64,
    /// Its place among the counters.
    counter: Option<u16>,
}

/// Tracing that goes on until it is dropped.
pub struct LongTrace {
    buffer: TraceBuffer,
    enabled: Enabled,
    /// Of each processor, what is read from it.
    pipes: Vec<File>,
    kinds: HashMap<u16, Kind>,
    /// All counters.
    wanted: TraceTargets,
    code: NfsCode,
    /// The number of each site that was seen; `None` of those that nobody asks about.
    sites: HashMap<Allocated, Option<u16>>,
    survivors: Survivors,
    waiting: Vec<Event>,
    /// Events that did not find room here.
    lost_here: u64,
    /// Those and what the kernel has lost, up to the last slice.
    lost: u64,
    events: u64,
    last_ns: u64,
    /// Slices in a row in which there was too much.
    above: u32,
    is_sized: bool,
}

impl LongTrace {
    /// Begins, into a buffer of its own; where that cannot be, says why in a part of a sentence.
    pub fn begin(into: &TraceBuffer, caches: &BTreeMap<String, Layout>) -> std::result::Result<Self, String> {
        let files = into.kernel_files();
        if symbols::are_kept_back(files) {
            return Err(KEPT_BACK.into());
        }
        let formats = tracefs::formats(files);
        let kinds: HashMap<u16, Kind> = [&KMALLOC[..], &CACHE_ALLOC, &OBJECT_FREE]
            .concat()
            .iter()
            .filter_map(|name| formats.get(name).and_then(|format| Some((format.id, decode::kind(name, format)?))))
            .collect();
        let has = |f: fn(&Kind) -> bool| kinds.values().any(f);
        // Objects whose frees go by unseen would all seem to stay.
        let frees_are_seen = OBJECT_FREE.iter().all(|name| formats.contains_key(name));
        if !has(|k| matches!(k, Kind::Kmalloc { .. })) || !frees_are_seen {
            return Err(
                "this kernel has no tracepoints that tell of objects (CONFIG_TRACEPOINTS, events/kmem in tracefs)"
                    .into(),
            );
        }
        let code = NfsCode::read(files).map_err(|e| e.to_string())?;
        let sample = AddressSample::new(FIRST_SAMPLE);
        let kib = buffer_kib(into);
        let enabled = Enabled::of_objects(into, &sample.filter(), kib)
            .filter(|enabled| enabled.filter(&sample.filter()).is_some())
            .ok_or("the kernel does not take the filter by which a sample of objects is traced")?;
        let (pipes, now_ns) = (into.open(), now_ns());
        if pipes.is_empty() || !enabled.start() {
            return Err("the kernel's trace buffers cannot be opened".into());
        }
        let names: Vec<String> = caches.keys().cloned().collect();
        Ok(Self {
            buffer: into.clone(),
            enabled,
            pipes,
            kinds,
            wanted: TraceTargets::new(&names, caches),
            code,
            sites: HashMap::new(),
            survivors: Survivors::new(sample, now_ns),
            waiting: Vec::new(),
            lost_here: 0,
            lost: 0,
            events: 0,
            last_ns: now_ns,
            above: 0,
            is_sized: false,
        })
    }

    /// Takes what has happened since the slice before; to be called every second or so, as the kernel's buffers are small.
    pub fn read(&mut self) -> Result<()> {
        self.read_until(now_ns())
    }

    fn read_until(&mut self, now_ns: u64) -> Result<()> {
        if self.code.is_outdated(self.buffer.kernel_files()) {
            self.code = NfsCode::read(self.buffer.kernel_files())?;
            self.sites.clear();
        }
        let before = self.events;
        self.drain()?;
        let seconds = now_ns.saturating_sub(self.last_ns) as f64 / 1e9;
        self.last_ns = now_ns;
        self.take(now_ns);
        self.keep_within_bounds((self.events - before) as f64 / seconds.max(1e-3), now_ns);
        Ok(())
    }

    /// Reads what the kernel has, of each processor in turn.
    fn drain(&mut self) -> Result<()> {
        let mut page = [0; ring::PAGE_BYTES];
        for pipe in &mut self.pipes {
            // Ends even if events come faster than they are read.
            for _ in 0..MOST_WAITING {
                match pipe.read(&mut page) {
                    Ok(0) => break,
                    Ok(length) => ring::records(&page[..length], |time_ns, record| {
                        let Some(event) = event(&self.kinds, &self.wanted, time_ns, record) else { return };
                        self.events += 1;
                        if self.waiting.len() < MOST_WAITING {
                            self.waiting.push(event);
                        } else {
                            self.lost_here += 1;
                        }
                    }),
                    Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                    result => drop(result.machine(|| "cannot read the kernel's trace".into())?),
                }
            }
        }
        Ok(())
    }

    /// Pairs what happened until then, in the order in which it did.
    fn take(&mut self, now_ns: u64) {
        self.waiting.sort_by_key(|event| event.time_ns);
        let later = self.waiting.partition_point(|event| event.time_ns <= now_ns);
        let rest = self.waiting.split_off(later);
        for Event { time_ns, address, allocated } in std::mem::replace(&mut self.waiting, rest) {
            match allocated {
                Some(allocated) => {
                    let site = self.site(allocated);
                    self.survivors.allocated(time_ns, address, site);
                }
                None => self.survivors.freed(address),
            }
        }
    }

    fn site(&mut self, allocated: Allocated) -> Option<u16> {
        if let Some(site) = self.sites.get(&allocated) {
            return *site;
        }
        let function = self.code.function(allocated.caller).map(str::to_owned);
        let counter = allocated.counter.map(|index| self.wanted.counters[usize::from(index)].name.clone());
        let site = function.and_then(|function| {
            self.survivors.number(SurvivorSite { function, counter, slot_bytes: allocated.slot_bytes })
        });
        self.sites.insert(allocated, site);
        site
    }

    /// Looks at fewer addresses where there is too much to see, and begins anew where events were lost: of what was allocated before nobody
    /// knows what was freed.
    fn keep_within_bounds(&mut self, events_per_second: f64, now_ns: u64) {
        // A kernel that does not tell may have lost some.
        let lost = self.buffer.losses().map_or(self.lost + 1, |lost| lost + self.lost_here);
        let has_lost = self.lost != lost;
        self.lost = lost;
        let sample = self.survivors.sample();
        if !self.is_sized && self.survivors.seconds(now_ns) >= FIRST_SECONDS {
            self.is_sized = true;
            let all = events_per_second * sample.one_in() as f64;
            return self
                .begin_anew(AddressSample::for_excess(all / MOST_EVENTS_PER_SECOND).max(least(has_lost)), now_ns);
        }
        self.above = if events_per_second > MOST_EVENTS_PER_SECOND { self.above + 1 } else { 0 };
        let coarser = sample.coarser().unwrap_or(sample);
        if has_lost {
            return self.begin_anew(coarser, now_ns);
        }
        if self.above >= SLICES_ABOVE || self.survivors.are_too_many() {
            self.above = 0;
            self.enabled.filter(&coarser.filter());
            self.survivors.coarsen(coarser);
        }
    }

    fn begin_anew(&mut self, sample: AddressSample, now_ns: u64) {
        self.above = 0;
        self.enabled.filter(&sample.filter());
        self.waiting.clear();
        self.survivors.forget(sample, now_ns);
    }

    /// Returns what was allocated longer than `age_seconds` ago and not freed, by site, most bytes first.
    pub fn older_than(&self, age_seconds: f64) -> Vec<Survived> {
        self.survivors.older_than(age_seconds, self.last_ns)
    }

    /// Returns for how many seconds all frees were seen, up to the last slice.
    pub fn seconds(&self) -> f64 {
        self.survivors.seconds(self.last_ns)
    }

    /// Returns from when on all frees were seen, by CLOCK_MONOTONIC: later when it was begun anew.
    pub fn since_ns(&self) -> u64 {
        self.survivors.since_ns()
    }

    /// Tells how few addresses are looked at: one in so many.
    pub fn one_in(&self) -> u64 {
        self.survivors.sample().one_in()
    }

    /// Returns how many events were read, and how many were lost.
    pub fn events(&self) -> [u64; 2] {
        [self.events, self.lost]
    }
}

/// Returns the sample to begin with where events were lost before it was known how many there are.
fn least(has_lost: bool) -> AddressSample {
    AddressSample::new(if has_lost { FIRST_SAMPLE + 1 } else { 0 })
}

/// Returns how much the buffer of each processor is to hold.
fn buffer_kib(buffer: &TraceBuffer) -> u64 {
    let processors = buffer.processors().len().max(1) as u64;
    let memory = memory::kib_of(buffer.kernel_files(), "MemTotal").unwrap_or(0) / MEMORY_PART;
    (BUFFERS_KIB.min(memory) / processors).max(LEAST_KIB)
}

fn event(kinds: &HashMap<u16, Kind>, wanted: &TraceTargets, time_ns: u64, record: &[u8]) -> Option<Event> {
    let id = u16::from_le_bytes(record.get(..2)?.try_into().ok()?);
    let (address, allocated) = match *kinds.get(&id)? {
        Kind::Kmalloc { caller, pointer, slot_bytes, flags, bits } => {
            let slot_bytes = slot_bytes.number(record)?;
            let counter = wanted.index_of_kmalloc(slot_bytes, class_of(flags.number(record)?, &bits));
            (pointer.number(record)?, Some(Allocated { caller: caller.number(record)?, slot_bytes, counter }))
        }
        Kind::CacheAlloc { caller, pointer, object_bytes, slot_bytes } => {
            let slot_bytes = slot_bytes.number(record)?;
            let counter = wanted.index_of_cache(object_bytes.number(record)?, slot_bytes);
            (pointer.number(record)?, Some(Allocated { caller: caller.number(record)?, slot_bytes, counter }))
        }
        Kind::ObjectFree { pointer, .. } => (pointer.number(record)?, None),
        _ => return None,
    };
    // An allocation that failed has no address.
    (address != 0).then_some(Event { time_ns, address, allocated })
}

/// Returns what the clock of the trace says now.
fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::{KALLSYMS, MadeFiles, NOTHING_LOST, TRACING};
    use std::fs;

    const CODE: u64 = 0xffff_ffff_8100_0000;
    const SECOND: u64 = 1_000_000_000;

    fn machine() -> MadeFiles {
        let made = MadeFiles::machine();
        made.tracepoints();
        assert!(KALLSYMS.contains("ffffffff81002000 T nfs_opendir\nffffffff81003000 T kstrdup"));
        made
    }

    fn begun(made: &MadeFiles) -> std::result::Result<LongTrace, String> {
        let caches = [("kmalloc-256".to_owned(), Layout { object_bytes: 256, slot_bytes: 256 })].into();
        LongTrace::begin(&TraceBuffer::of_the_machine(&made.files), &caches)
    }

    /// Has a processor's buffer have these records, each of a time in seconds since `begin`; what was there was read.
    fn happens(made: &MadeFiles, processor: u32, begin: u64, records: &[(u64, &[u64])]) {
        let mut bytes = Vec::new();
        for (second, record) in records {
            // A page for each, which tells the time whole.
            let mut page = (begin + second * SECOND).to_le_bytes().to_vec();
            page.extend((record.len() as u64 * 8 + 4).to_le_bytes());
            page.extend((record.len() as u32 * 2).to_le_bytes());
            record.iter().for_each(|word| page.extend(word.to_le_bytes()));
            page.resize(ring::PAGE_BYTES, 0);
            bytes.extend(page);
        }
        // Behind what was read already, as the file is open.
        let file = made.files.path(&format!("{TRACING}/per_cpu/cpu{processor}/trace_pipe_raw"));
        let mut all = fs::read(&file).unwrap();
        all.extend(bytes);
        fs::write(file, all).unwrap();
    }

    fn kmalloc(object: u64, by: u64) -> [u64; 6] {
        [10, CODE + by, object, 250, 256, 0]
    }

    fn kfree(object: u64) -> [u64; 3] {
        [12, CODE, object]
    }

    #[test]
    fn what_nfs_allocates_and_nobody_frees_is_told() {
        let made = machine();
        let mut trace = begun(&made).unwrap();
        assert_eq!(
            (made.tracing("events/kmem/kfree/filter"), made.tracing("trace_clock")),
            ("!(ptr & 0x3f000)".into(), "mono".into())
        );
        let begin = trace.last_ns;
        trace.read_until(begin + 3 * SECOND).unwrap();
        assert_eq!(
            (made.tracing("events/kmem/kfree/filter"), trace.one_in()),
            ("0".into(), 1),
            "hardly anything happens"
        );
        let (first, second, third) = (kmalloc(0xa000, 0x2010), kmalloc(0xb000, 0x2010), kmalloc(0xc000, 0x3010));
        happens(&made, 0, begin, &[(4, &first), (5, &second), (6, &third), (9, &kmalloc(0xd000, 0x2010))]);
        happens(&made, 1, begin, &[(7, &kfree(0xb000))]);
        trace.read_until(begin + 8 * SECOND).unwrap();
        assert_eq!(trace.waiting.len(), 1, "what came while it was read waits");
        happens(&made, 1, begin, &[(8, &kfree(0xe000)), (10, &kfree(0xd000))]);
        trace.read_until(begin + 20 * SECOND).unwrap();
        let told = trace.older_than(1.0);
        let [one] = &told[..] else { panic!("{told:?}") };
        let site =
            SurvivorSite { function: "nfs_opendir".into(), counter: Some("kmalloc-256".into()), slot_bytes: 256 };
        assert_eq!((&one.site, one.objects, one.oldest_seconds), (&site, 1, 16.0));
        assert_eq!((trace.events(), trace.seconds()), ([7, 0], 17.0));
        drop(trace);
        assert_eq!((made.tracing("events/kmem/kfree/enable"), made.tracing("tracing_on")), ("0".into(), "0".into()));
    }

    #[test]
    fn events_that_are_lost_have_it_begin_anew_with_fewer_addresses() {
        let made = machine();
        let mut trace = begun(&made).unwrap();
        let begin = trace.last_ns;
        trace.read_until(begin + 3 * SECOND).unwrap();
        happens(&made, 0, begin, &[(4, &kmalloc(0x10_0000, 0x2010))]);
        trace.read_until(begin + 10 * SECOND).unwrap();
        assert_eq!(trace.older_than(1.0).len(), 1);
        made.write(&format!("{TRACING}/per_cpu/cpu1/stats"), NOTHING_LOST.replace("overrun: 0\nc", "overrun: 7\nc"));
        trace.read_until(begin + 20 * SECOND).unwrap();
        assert_eq!((trace.older_than(1.0).len(), trace.events(), trace.one_in(), trace.seconds()), (0, [1, 7], 2, 0.0));
        trace.read_until(begin + 30 * SECOND).unwrap();
        assert_eq!((trace.one_in(), trace.seconds()), (2, 10.0), "no more were lost");
    }

    #[test]
    fn more_events_than_are_to_come_have_fewer_addresses_looked_at() {
        let made = machine();
        let mut trace = begun(&made).unwrap();
        let begin = trace.last_ns;
        trace.keep_within_bounds(MOST_EVENTS_PER_SECOND / 64.0 * 3.0, begin + 3 * SECOND);
        assert_eq!(trace.one_in(), 4);
        for second in 4..10 {
            trace.keep_within_bounds(MOST_EVENTS_PER_SECOND + 1.0, begin + second * SECOND);
        }
        assert_eq!((trace.one_in(), trace.survivors.seconds(begin + 9 * SECOND)), (16, 6.0), "what was seen is kept");
        assert_eq!(made.tracing("events/kmem/kmalloc/filter"), "!(ptr & 0xf000)");
    }

    #[test]
    fn kernel_that_cannot_tell_is_told_from_one_that_can() {
        let why = |change: fn(&MadeFiles)| {
            let made = machine();
            change(&made);
            begun(&made).err().unwrap_or_default()
        };
        assert_eq!(why(|_| {}), "");
        assert!(why(|made| made.write("/proc/kallsyms", "0000000000000000 T _text\n")).contains("kptr_restrict"));
        assert!(why(|made| made.remove(&format!("{TRACING}/events/kmem/kfree/format"))).contains("no tracepoints"));
        assert!(
            why(|made| fs::remove_dir_all(made.files.path(&format!("{TRACING}/per_cpu"))).unwrap()).contains("opened")
        );
    }

    #[test]
    fn functions_are_looked_up_anew_when_a_module_comes() {
        let made = machine();
        let mut trace = begun(&made).unwrap();
        let begin = trace.last_ns;
        trace.read_until(begin + 3 * SECOND).unwrap();
        made.write("/proc/modules", "nfsd 700416 5 - Live 0xffffffffa0000000\n");
        made.write("/proc/kallsyms", format!("{KALLSYMS}ffffffffa0000000 t nfsd4_open\t[nfsd]\n"));
        happens(&made, 0, begin, &[(4, &[10, 0xffff_ffff_a000_0010, 0xa000, 250, 256, 0])]);
        trace.read_until(begin + 20 * SECOND).unwrap();
        assert_eq!(trace.older_than(1.0)[0].site.function, "nfsd4_open");
    }
}
