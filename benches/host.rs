//! What dirleak itself does at every listing and reading, measured on the host: making files, listing and checking them,
//! reading call sites, judging. None of it may be what a run's time goes to.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use dirleak::probe::traces;
use dirleak::scenario::Names;
use dirleak::verdict::judge::{MIN_RATE, Phase, judge};
use dirleak::verdict::{Block, Growth};
use dirleak::workload::check::Expected;
use dirleak::workload::listing::Lister;
use dirleak::workload::names::NameMaker;
use dirleak::workload::populate;
use std::hint::black_box;
use std::time::Duration;
use tempfile::TempDir;

const FILES: u64 = 10_000;
/// As `ls` has it.
const GETDENTS_BYTES: usize = 32 << 10;
/// Slab caches of the kernel that dirleak builds.
const COUNTERS: usize = 120;

fn names() -> NameMaker {
    NameMaker::new(&Names::random(24, 24), FILES, 42)
}

/// In memory where the machine has such a place, so that no disk is measured.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("there is room for files")
}

fn populating(criterion: &mut Criterion) {
    let names = names();
    let mut group = criterion.benchmark_group("populate");
    group.throughput(Throughput::Elements(FILES)).sample_size(10);
    group.bench_function("10,000 files", |bencher| {
        // The directories are removed after the clock has stopped.
        let make = |dir: TempDir| {
            populate::files(dir.path(), &names, FILES).expect("there is room for files");
            dir
        };
        bencher.iter_batched(directory, make, BatchSize::PerIteration);
    });
    group.finish();
}

fn listing(criterion: &mut Criterion) {
    let (names, dir) = (names(), directory());
    populate::files(dir.path(), &names, FILES).expect("there is room for files");
    let mut lister = Lister::new(GETDENTS_BYTES);
    let mut expected = Expected::new(&names, FILES);
    let mut group = criterion.benchmark_group("list");
    group.throughput(Throughput::Elements(FILES));
    group.bench_function("10,000 files", |bencher| {
        let look = |name: &[u8]| {
            black_box(name);
        };
        bencher.iter(|| lister.list(dir.path(), look).expect("it can be listed"));
    });
    group.bench_function("10,000 files, checked", |bencher| {
        bencher.iter(|| {
            expected.begin();
            lister.list(dir.path(), |name| expected.see(name)).expect("it can be listed");
            expected.end().expect("it is complete")
        });
    });
    group.finish();
}

/// As long as the `alloc_traces` of a busy cache: 200 places with stacks of twelve functions.
fn alloc_traces() -> String {
    let record = |place: usize| {
        let head = format!("{place:>7} caller_{place}+0x2c/0x110 age=3/5/9 pid=1 cpus=0-1\n");
        let frames = (0..12).map(|depth| format!("\tfunction_{place}_{depth}+0x1e/0x50\n"));
        head + &frames.collect::<String>() + "\n"
    };
    (1..=200).map(record).collect()
}

fn call_sites(criterion: &mut Criterion) {
    let text = alloc_traces();
    let before = traces::parse(&text);
    let mut after = before.clone();
    after.iter_mut().for_each(|site| site.objects += 25);
    let mut group = criterion.benchmark_group("call sites");
    group.throughput(Throughput::Elements(before.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| traces::parse(black_box(&text))));
    group.bench_function("difference", |bencher| bencher.iter(|| traces::since(black_box(&before), &after)));
    group.finish();
}

/// The most that is ever judged: all blocks, one counter that grows by 25 per listing, others within their noise.
fn blocks() -> (Vec<Block>, Growth) {
    let mut net = Growth::new();
    let block = |number: usize| {
        let dose = if number.is_multiple_of(2) { 8 } else { 24 };
        let grown = |counter: usize| match counter {
            0 => 25 * dose as i64,
            _ => ((number * 7 + counter) % 3) as i64 - 1,
        };
        let growth: Growth = (0..COUNTERS).map(|counter| (format!("cache-{counter}"), grown(counter))).collect();
        growth.iter().for_each(|(name, grown)| *net.entry(name.clone()).or_default() += grown);
        let control = growth.keys().map(|name| (name.clone(), 0)).collect();
        Block { dose, growth, control }
    };
    let most = Phase::Full.looks().iter().max().copied().unwrap_or_default();
    let blocks = (0..most).map(block).collect();
    (blocks, net)
}

fn judging(criterion: &mut Criterion) {
    let (blocks, net) = blocks();
    let total_dose = blocks.iter().map(|block| block.dose).sum();
    criterion.bench_function("judge 120 counters", |bencher| {
        bencher.iter(|| judge(Phase::Full, black_box(&blocks), &net, total_dose, MIN_RATE).says());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = populating, listing, call_sites, judging
}
criterion_main!(benches);
