//! Listing a directory of a million entries, against other programs, and what checking costs over the bare system calls.

#[path = "support/mod.rs"]
mod support;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dirleak::internals::workload::check::{Check, Inodes};
use dirleak::internals::workload::listing::Lister;
use dirleak::internals::workload::listing::entry::{Call, ReadMethod, Stat};
use dirleak::internals::workload::listing::getdents::Buffer;
use dirleak::internals::workload::populate;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::{Directory, Kinds};
use nfs_fault_server::dirtree::tree::{Dir, Tree};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::hint::black_box;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{empty, entries, measuring, places, program, usual_names};
use tempfile::TempDir;

/// As `ls` and the C library have it.
const USUAL_BYTES: usize = 32 << 10;
/// How often the two sides of a comparison take turns.
const ROUNDS: usize = 15;

/// A directory with entries in it.
fn full(place: &Path, names: Names, kinds: Kinds) -> (TempDir, Tree) {
    let directory = Directory { kinds, ..Directory::flat(entries(), names) };
    let (dir, tree) = (empty(place), Tree::new(&directory, 42));
    populate::tree(dir.path(), &tree).expect("there is room for the files");
    (dir, tree)
}

/// Our own loop in C, compiled; nothing without a compiler.
fn plain_c(into: &Path) -> Option<PathBuf> {
    let cc = program("cc", "gcc")?;
    let (source, out) = (concat!(env!("CARGO_MANIFEST_DIR"), "/benches/listing/plain.c"), into.join("plain"));
    let status = Command::new(cc).args(["-O2", "-o"]).arg(&out).arg(source).status();
    assert!(status.expect("cc runs").success());
    Some(out)
}

fn run(command: &mut Command) {
    assert!(command.stdout(Stdio::null()).status().expect("the program runs").success());
}

fn read_dir(dir: &Path) -> usize {
    std::fs::read_dir(dir)
        .expect("it can be listed")
        .map(|entry| entry.expect("it is an entry").file_name().len())
        .sum()
}

/// Nothing but the system calls.
fn bare(dir: &Path, buffer: &mut Buffer) {
    let fd = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).expect("it can be opened");
    while !buffer.fill(fd.as_fd()).expect("it can be listed").is_empty() {}
}

/// A listing that is checked, by a check that was made before.
fn checked(dir: &Path, lister: &mut Lister, check: &mut Check) {
    check.begin(Dir::Node(0));
    lister.list(dir, |record| _ = check.see(record)).expect("it can be listed");
    check.end().expect("it is complete");
}

/// A check that knows inode numbers, too.
fn check_of(dir: &TempDir, tree: Tree) -> Check {
    let inodes = Inodes::listed(&mut Lister::new(ReadMethod::getdents(USUAL_BYTES)), dir.path(), &tree);
    Check::new(Arc::new(tree), Arc::new(inodes.expect("it can be listed")))
}

fn ours(group: &mut BenchmarkGroup<WallTime>, dir: &TempDir, tree: Tree) {
    let mut check = check_of(dir, tree);
    for bytes in [4 << 10, USUAL_BYTES, 256 << 10, 1 << 20] {
        let mut lister = Lister::new(ReadMethod::getdents(bytes));
        group.bench_function(format!("dirleak, checked, {bytes} bytes"), |bencher| {
            bencher.iter(|| checked(dir.path(), &mut lister, &mut check));
        });
    }
    let mut buffer = Buffer::new(USUAL_BYTES);
    group.bench_function("system calls alone", |bencher| bencher.iter(|| bare(dir.path(), &mut buffer)));
    let mut lister = Lister::new(ReadMethod::getdents(USUAL_BYTES));
    group.bench_function("dirleak, not checked", |bencher| {
        bencher.iter(|| lister.list(dir.path(), |record| _ = black_box(record.name)).expect("it can be listed"));
    });
    let mut lister = Lister::new(ReadMethod { call: Call::Readdir, stat: Stat::Nothing });
    group.bench_function("dirleak, checked, readdir(3)", |bencher| {
        bencher.iter(|| checked(dir.path(), &mut lister, &mut check));
    });
}

fn others(group: &mut BenchmarkGroup<WallTime>, dir: &Path) {
    let compiled = empty(&std::env::temp_dir());
    if let Some(plain) = plain_c(compiled.path()) {
        group.bench_function("plain C", |bencher| {
            bencher.iter(|| run(Command::new(&plain).arg(dir).arg(USUAL_BYTES.to_string())));
        });
    }
    group.bench_function("std::fs::read_dir", |bencher| bencher.iter(|| read_dir(dir)));
    for (name, package, arguments) in [
        ("ls", "coreutils", &["-U"][..]),
        ("find", "findutils", &[]),
        ("fdfind", "fd-find", &["--unrestricted", "--threads=1", ".", "--search-path"]),
        ("fdfind", "fd-find", &["--unrestricted", ".", "--search-path"]),
    ] {
        if let Some(program) = program(name, package) {
            let all = [&[name], arguments].concat().join(" ");
            group.bench_function(all, |bencher| bencher.iter(|| run(Command::new(&program).args(arguments).arg(dir))));
        }
    }
}

fn listing(criterion: &mut Criterion) {
    for (file_system, place) in places() {
        let (dir, tree) = full(&place, usual_names(), Kinds::default());
        let mut group = criterion.benchmark_group(format!("list {} entries on {file_system}", entries()));
        group.throughput(Throughput::Elements(entries())).sample_size(10);
        ours(&mut group, &dir, tree);
        others(&mut group, dir.path());
    }
}

/// How many times as long one side takes as the other, and what the other takes in seconds. They take turns, so that whatever
/// else the machine does happens to both; medians of all turns.
fn compare(mut one: impl FnMut(), mut other: impl FnMut()) -> (f64, f64) {
    let seconds = |work: &mut dyn FnMut()| {
        let begin = Instant::now();
        work();
        begin.elapsed().as_secs_f64()
    };
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let rounds = if measuring() { ROUNDS } else { 1 };
    let turns = (0..rounds).map(|_| (seconds(&mut one), seconds(&mut other)));
    let (ratios, others) = turns.map(|(one, other)| (one / other, other)).unzip();
    (median(ratios), median(others))
}

/// What taking records apart and checking them costs over the system calls alone.
fn cost_of_checking(_: &mut Criterion) {
    let mixed = Kinds { files: 7, directories: 1, symlinks: 1, hard_links: 1 };
    for (what, names, kinds) in [
        ("names of 24 bytes", usual_names(), Kinds::default()),
        ("names of 5 to 255 bytes", Names::random(5, 255), Kinds::default()),
        ("names of 255 bytes", Names::random(255, 255), Kinds::default()),
        ("names of a pattern", Names::pattern("{n}_0123456789abcdef"), Kinds::default()),
        ("all kinds, names of 24 bytes", usual_names(), mixed),
    ] {
        for (file_system, place) in places() {
            let (dir, tree) = full(&place, names.clone(), kinds);
            let mut check = check_of(&dir, tree);
            for bytes in [USUAL_BYTES, 1 << 20] {
                let (mut lister, mut buffer) = (Lister::new(ReadMethod::getdents(bytes)), Buffer::new(bytes));
                let (ratio, seconds) =
                    compare(|| checked(dir.path(), &mut lister, &mut check), || bare(dir.path(), &mut buffer));
                let nanoseconds = 1e9 * seconds / entries() as f64;
                println!(
                    "{what}, {file_system}, buffer of {bytes} bytes: checked {ratio:.3} times the system calls alone, \
                     {nanoseconds:.0} ns an entry"
                );
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(5));
    targets = cost_of_checking, listing
}
criterion_main!(benches);
