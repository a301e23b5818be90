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
use dirleak::internals::sample::Sample;
use dirleak::result::file::ResultFile;
use dirleak::result::record::{KernelRecord, RunRecord};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Counters that 6.1 has, and those that moved in a run of `quick`.
const COUNTERS: usize = 126;
const MOVING: usize = 28;
/// What a result may hold of a round.
const MOST_BYTES_PER_ROUND: usize = 3072;
/// How much more a late run may need than the early ones: they take different numbers of rounds.
const MOST_GROWTH: f64 = 1.2;

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

/// Obeys at once, and its counters wander by lot.
struct Machine {
    lot: ChaCha8Rng,
    sample: Sample,
}

impl Machine {
    fn new(seed: u64) -> Self {
        let objects = (0..COUNTERS).map(|number| (format!("cache-with-a-name-{number}"), 1000)).collect();
        Self { lot: ChaCha8Rng::seed_from_u64(seed), sample: Sample { objects } }
    }

    fn ready(&self) -> Ready {
        Ready {
            object_bytes: self.sample.objects.keys().map(|name| (name.clone(), 256)).collect(),
            shared_names: BTreeMap::new(),
            name_allocations: vec![(32, 150)],
            missing_sources: Vec::new(),
            before_mount: self.sample.clone(),
            sites_before_mount: BTreeMap::new(),
            site_source: SiteSource::None,
            untraceable: None,
        }
    }

    fn read(&mut self) -> Response {
        for objects in self.sample.objects.values_mut().take(MOVING) {
            *objects += self.lot.random_range(-20..=20);
        }
        Response::Sample { sample: self.sample.clone(), settled_seconds: Some(0.1), clock_seconds: 0.0 }
    }
}

impl Agent for Machine {
    fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
        Ok(match *order {
            Request::Hold => {
                Response::Held(ControlAllocs { files: 584, eventfds: 512, pages: 512, ..ControlAllocs::default() })
            }
            Request::Work { listings, .. } => Response::Worked(RoundStats {
                listings,
                cold_listings: listings,
                complete_listings: listings,
                rpcs: [("READDIRPLUS".to_owned(), listings)].into(),
                listing_seconds: 1e-3 * listings as f64,
                seconds: 1e-2,
                ..RoundStats::default()
            }),
            Request::ListPlainly => Response::Worked(RoundStats::default()),
            Request::Sites { .. } => Response::Sites { sites: BTreeMap::new() },
            Request::AllocinfoBegin | Request::AllocinfoEnd => Response::Allocinfo { lines: None },
            Request::Glance | Request::Settle => self.read(),
            _ => Response::Done,
        })
    }
}

/// One run; how much it needed beside what its record holds.
fn run(seed: u64) -> (RunRecord, usize) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut machine = Machine::new(seed);
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
    // What is made once.
    run(0);
    let begin = HELD.load(Ordering::Relaxed);
    let mut file = ResultFile::new();
    let (mut rounds, mut early, mut late) = (0, 0, 0);
    for limit in [10, 100, 1000] {
        while rounds < limit {
            let (record, needed) = run(1 + file.results.len() as u64);
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
        assert!(held < rounds * MOST_BYTES_PER_ROUND, "{held} bytes are held after {rounds} rounds");
        assert!(written < rounds * MOST_BYTES_PER_ROUND, "{written} bytes are written of {rounds} rounds");
    }
    println!("a run needs {early} bytes in the first hundred rounds, {late} afterwards");
    assert!((late as f64) < MOST_GROWTH * early as f64, "a run needs {early} bytes at first, {late} later");
}
