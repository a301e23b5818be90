//! Listings inside a virtual machine, driven by criterion: its baselines and statistics are then of listings by a kernel that is
//! not the host's. The guest tells how long each took, by its own clock; under TCG that counts instructions.
//!
//! `DIRLEAK_BENCH_KERNEL` names the kernel, 6.1 if it is not set. Nothing is built: where the kernel is not in the cache a sentence says
//! so. This program is its own guest, as dirleak is.

use criterion::{Criterion, SamplingMode, Throughput};
use dirleak::internals::bench::eligible;
use dirleak::internals::bench::guest::Guest;
use dirleak::internals::boot::job::{BootOptions, Job};
use dirleak::internals::error::Result;
use dirleak::internals::kernel;
use dirleak::internals::kernel::bootable::Kernel;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use dirleak::internals::protocol::timing::CacheState;
use dirleak::internals::scenario::{Scenario, load};
use dirleak::internals::vm::accelerator;
use dirleak::internals::vm::console::MOST_LOG_BYTES;
use dirleak::internals::vm::machine::Limits;
use std::time::Duration;

/// The kernel that lists.
const KERNEL: &str = "DIRLEAK_BENCH_KERNEL";
const SCENARIOS: [&str; 2] = ["huge-flat", "many-pages"];
/// A guest serves a benchmark of many samples.
const LIMITS: Limits =
    Limits { whole: Some(Duration::from_secs(3600)), silence: Duration::from_secs(120), log_bytes: MOST_LOG_BYTES };

fn main() {
    if std::process::id() == 1 {
        dirleak::internals::guest::main();
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let spec = std::env::var(KERNEL).unwrap_or("6.1".into());
    match benchmarks(&mut criterion, &spec) {
        Ok(true) => criterion.final_summary(),
        Ok(false) => {
            eprintln!("no listing in a guest is measured: {spec} is not built; `dirleak kernel build {spec}` does it")
        }
        Err(error) => eprintln!("no listing in a guest is measured: {error}"),
    }
}

/// All scenarios; `false` if there is no kernel to boot.
fn benchmarks(criterion: &mut Criterion, spec: &str) -> Result<bool> {
    let (cache, ui) = (Cache::open()?, Ui::plain());
    let Some(kernel) = kernel::cached(spec, &kernel::build::ingredients::Options::default(), &cache)? else {
        return Ok(false);
    };
    for name in SCENARIOS {
        listings(criterion, &kernel, &eligible::make_eligible(&load(name)?, None)?, &cache, &ui)?;
    }
    Ok(true)
}

/// One scenario in one guest, in each state of the cache.
fn listings(criterion: &mut Criterion, kernel: &Kernel, scenario: &Scenario, cache: &Cache, ui: &Ui) -> Result<()> {
    let accelerator = accelerator::choose(&kernel.image, cache, ui)?;
    let options = BootOptions { limits: LIMITS, ..BootOptions::default() };
    let mut guest = Guest::start(&Job { scenario, kernel, accelerator, options: &options, cache, ui })?;
    guest.wait(&ui.task(format!("{} on {}", scenario.name, kernel.spec)))?;
    // Without the kernel's name, so that one kernel's baseline is another's.
    let mut group = criterion.benchmark_group(&scenario.name);
    // The guest's clock is not the host's: a sample is one listing, however short it seems.
    group
        .sampling_mode(SamplingMode::Flat)
        .warm_up_time(Duration::from_nanos(1))
        .measurement_time(Duration::from_nanos(1));
    group.throughput(Throughput::Elements(scenario.directory.entries));
    for state in CacheState::ALL {
        group.bench_function(state.as_str(), |bencher| {
            bencher.iter_custom(|listings| (0..listings).map(|_| time(&mut guest, state)).sum());
        });
    }
    group.finish();
    guest.finish()
}

fn time(guest: &mut Guest, state: CacheState) -> Duration {
    let measured = guest.time(&[state]).unwrap_or_else(|error| panic!("{error}"));
    Duration::from_secs_f64(measured[0].listing.seconds)
}
