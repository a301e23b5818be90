//! What dirleak itself does at every reading, measured on the host: reading call sites and slabinfo, judging. None of it may be what a
//! run's time goes to. Making and listing directories are in make.rs and list.rs.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dirleak::internals::probe::{site_text, slabinfo};
use dirleak::internals::sample::Growth;
use dirleak::internals::verdict::block::Block;
use dirleak::internals::verdict::judge::{MIN_RATE, Phase, judge};
use std::hint::black_box;
use std::time::Duration;

/// Slab caches of the kernel that dirleak builds.
const COUNTERS: usize = 120;

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
    let before = site_text::parse(&text);
    let mut after = before.clone();
    after.iter_mut().for_each(|site| site.objects += 25);
    let mut group = criterion.benchmark_group("call sites");
    group.throughput(Throughput::Elements(before.len() as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| site_text::parse(black_box(&text))));
    group.bench_function("difference", |bencher| {
        bencher.iter(|| dirleak::internals::sample::since(black_box(&before), &after))
    });
    group.finish();
}

/// As many lines as there are caches.
fn reading_slabinfo(criterion: &mut Criterion) {
    let line = |cache: usize| {
        format!(
            "cache-{cache:<12} {:>6} {:>6}    256   16    1 : tunables    0    0    0 : slabdata {cache:>6}\n",
            7 * cache,
            8 * cache
        )
    };
    let text = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> ...\n".to_owned()
        + &(0..COUNTERS).map(line).collect::<String>();
    let mut group = criterion.benchmark_group("slabinfo");
    group.throughput(Throughput::Elements(COUNTERS as u64));
    group.bench_function("parse", |bencher| bencher.iter(|| slabinfo::parse(black_box(&text))));
    group.finish();
}

/// The most that is ever judged: all blocks, one counter that grows by 25 per listing, others within their noise.
fn blocks() -> (Vec<Block>, Growth) {
    let mut net = Growth::new();
    let block = |number: usize| {
        let dose = if number % 2 == 0 { 8 } else { 24 };
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
        bencher.iter(|| judge(Phase::Full, black_box(&blocks), &net, total_dose, MIN_RATE).verdict());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = call_sites, reading_slabinfo, judging
}
criterion_main!(benches);
