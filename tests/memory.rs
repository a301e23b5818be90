//! What dirleak itself holds while it goes on for a thousand rounds: the course of real runs, whose orders a made-up machine obeys, with
//! as many counters as a kernel has, of which as many move. `cargo test --test memory -- --nocapture` tells the figures.

use dirleak::internals::boot::job::BootOptions;
use dirleak::internals::os::progress::Ui;
use dirleak::internals::probe::control_allocs::ControlAllocs;
use dirleak::internals::probe::counters::SiteSource;
use dirleak::internals::protocol::agent::{Agent, AgentError};
use dirleak::internals::protocol::message::{Ready, Request, Response, RoundStats};
use dirleak::internals::run::live::{self, Live};
use dirleak::internals::run::options::Options;
use dirleak::internals::sample::{Sample, Site, SourceLine};
use dirleak::result::file::ResultFile;
use dirleak::result::record::{KernelRecord, RunRecord, Verdict};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counters that 6.1 has, and those that moved in a run of `quick`.
const COUNTERS: usize = 126;
const MOVING: usize = 28;
/// What a result may hold of a round, where nothing leaks and where something does, which is told with its call sites.
const MOST_BYTES_PER_ROUND: [usize; 2] = [3072, 4096];
/// What is held on purpose, where.
const HELD_ON_PURPOSE: [(&str, i64); 2] = [("filp", 584), ("pages", 512)];
/// Call sites of each counter of a kernel that leaks, functions in the stack of each, and lines of source that allocated something.
const SITES: usize = 40;
const FRAMES: usize = 12;
const LINES: u32 = 30;
/// Runs that differ, which come again and again: what they need differs with the number of their rounds.
const SEEDS: u64 = 4;
/// How much more a late run may need than the early ones of the same seeds.
const MOST_GROWTH: f64 = 1.02;

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(held, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One run at a time: what is counted is what all hold.
static ALONE: Mutex<()> = Mutex::new(());

/// Obeys at once, and its counters wander by lot.
struct Machine {
    lot: ChaCha8Rng,
    sample: Sample,
    /// Whether a counter at rest keeps an object of each listing.
    leaks: bool,
    leaked: i64,
    holds: bool,
}

impl Machine {
    fn new(seed: u64, leaks: bool) -> Self {
        let caches = (0..COUNTERS).map(cache).chain(HELD_ON_PURPOSE.map(|(name, _)| name.to_owned()));
        let sample = Sample { objects: caches.map(|name| (name, 1000)).collect() };
        Self { lot: ChaCha8Rng::seed_from_u64(seed), sample, leaks, leaked: 0, holds: false }
    }

    fn ready(&self) -> Ready {
        Ready {
            object_bytes: self.sample.objects.keys().map(|name| (name.clone(), 256)).collect(),
            shared_names: BTreeMap::new(),
            name_allocations: vec![(32, 150)],
            missing_sources: Vec::new(),
            before_mount: self.sample.clone(),
            sites_before_mount: BTreeMap::new(),
            site_source: if self.leaks { SiteSource::Kept } else { SiteSource::None },
            untraceable: None,
        }
    }

    fn read(&mut self) -> Response {
        for objects in self.sample.objects.values_mut().take(MOVING) {
            *objects += self.lot.random_range(-20..=20);
        }
        let mut sample = self.sample.clone();
        // One that sorts behind those that wander.
        *sample.objects.entry(cache(COUNTERS - 1)).or_default() += self.leaked;
        for (name, objects) in HELD_ON_PURPOSE.iter().filter(|_| self.holds) {
            *sample.objects.entry((*name).to_owned()).or_default() += objects;
        }
        Response::Sample { sample, settled_seconds: Some(0.1), clock_seconds: 0.0 }
    }

    /// Many functions hold something of each cache, one of them what leaks.
    fn sites(&self) -> Vec<Site> {
        let site = |number: usize| Site {
            function: format!("nfs_function_number_{number}"),
            stack: (0..FRAMES).map(|frame| format!("nfs_caller_{frame}_of_{number}")).collect(),
            objects: if number == 0 { 1000 + self.leaked } else { 5 },
        };
        (0..SITES).map(site).collect()
    }

    fn lines(&self) -> Vec<SourceLine> {
        let line = |number: u32| SourceLine {
            file: format!("fs/nfs/file-{number}.c"),
            line: 100 + number,
            module: None,
            function: format!("nfs_function_number_{number}"),
            calls: if number == 0 { self.leaked } else { 1 },
            bytes: if number == 0 { 256 * self.leaked } else { 64 },
        };
        (0..LINES).map(line).collect()
    }
}

fn cache(number: usize) -> String {
    format!("cache-with-a-name-{number:03}")
}

impl Agent for Machine {
    fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
        Ok(match *order {
            Request::Hold => {
                self.holds = true;
                let [(_, files), (_, pages)] = HELD_ON_PURPOSE;
                Response::Held(ControlAllocs { files, eventfds: 512, pages, ..ControlAllocs::default() })
            }
            Request::Release => {
                self.holds = false;
                Response::Done
            }
            Request::Work { listings, .. } => {
                self.leaked += if self.leaks { listings as i64 } else { 0 };
                Response::Worked(RoundStats {
                    listings,
                    cold_listings: listings,
                    complete_listings: listings,
                    rpcs: [("READDIRPLUS".to_owned(), listings)].into(),
                    listing_seconds: 1e-3 * listings as f64,
                    seconds: 1e-2,
                    ..RoundStats::default()
                })
            }
            Request::ListPlainly => Response::Worked(RoundStats::default()),
            Request::Sites { ref caches } if self.leaks => {
                Response::Sites { sites: caches.iter().map(|cache| (cache.clone(), self.sites())).collect() }
            }
            Request::Sites { .. } => Response::Sites { sites: BTreeMap::new() },
            Request::AllocinfoBegin => Response::Allocinfo { lines: self.leaks.then(Vec::new) },
            Request::AllocinfoEnd => Response::Allocinfo { lines: self.leaks.then(|| self.lines()) },
            Request::Glance | Request::Settle => self.read(),
            _ => Response::Done,
        })
    }
}

/// One run; how much it needed beside what its record holds.
fn run(seed: u64, leaks: bool) -> (RunRecord, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut machine = Machine::new(seed, leaks);
    let live = Live {
        ready: machine.ready(),
        worker: &mut machine,
        record: RunRecord::begin("made-up", KernelRecord::default(), seed),
        options: &Options { boot: BootOptions { seed, ..BootOptions::default() }, ..Options::default() },
        budget: Duration::from_secs(3600),
        task: &Ui::silent().task("made up"),
    };
    let record = live::run(live).expect("the machine obeys");
    (record, PEAK.load(Ordering::Relaxed) - before)
}

#[test]
fn rounds_by_the_thousand_hold_no_more_than_their_results() {
    hold_no_more_than_their_results(false);
}

#[test]
fn rounds_of_a_kernel_that_leaks_hold_no_more_than_their_results_with_call_sites_and_lines_of_source() {
    hold_no_more_than_their_results(true);
}

fn hold_no_more_than_their_results(leaks: bool) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let most_bytes_per_round = MOST_BYTES_PER_ROUND[usize::from(leaks)];
    // What is made once.
    let (record, _) = run(0, leaks);
    assert_eq!(
        (record.verdict == Verdict::Leak, record.findings.len()),
        (leaks, usize::from(leaks)),
        "{}",
        record.reason
    );
    assert!(record.findings.iter().all(|finding| !finding.call_sites.is_empty()));
    assert_eq!(record.allocation_sites.is_empty(), !leaks);
    drop(record);
    let begin = HELD.load(Ordering::Relaxed);
    let mut file = ResultFile::new();
    let (mut rounds, mut early, mut late) = (0, 0, 0);
    for limit in [10, 100, 1000] {
        while rounds < limit {
            let (record, needed) = run(file.results.len() as u64 % SEEDS, leaks);
            rounds += record.rounds.len();
            file.results.push(record);
            if limit < 1000 {
                early = early.max(needed);
            } else {
                late = late.max(needed);
            }
        }
        let held = HELD.load(Ordering::Relaxed) - begin;
        let written = serde_json::to_vec_pretty(&file).expect("a result is JSON").len();
        println!("{rounds} rounds in {} runs: {held} bytes held, {written} bytes written", file.results.len());
        assert!(held < rounds * most_bytes_per_round, "{held} bytes are held after {rounds} rounds");
        assert!(written < rounds * most_bytes_per_round, "{written} bytes are written of {rounds} rounds");
    }
    println!("a run needs {early} bytes in the first hundred rounds, {late} afterwards");
    assert!((late as f64) < MOST_GROWTH * early as f64, "a run needs {early} bytes at first, {late} later");
}
