//! Making a million empty files in one directory: each way that the kernel offers, by one thread and two, against other programs.

#[path = "support/mod.rs"]
mod support;
#[path = "making/uring.rs"]
mod uring;

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dirleak::internals::workload::populate;
use nfs_fault_server::dirtree::names::NameMaker;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, mknodat};
use nix::unistd::linkat;
use std::ffi::{CStr, CString, OsStr};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{empty, entries, places, program, usual_names};

const MODE: Mode = Mode::from_bits_truncate(0o644);
/// ext4 lets a file have 65,000 names.
const LINKS: u64 = 60_000;

/// Makes one file; `number` says how many were made before by the same thread.
type Make = fn(dir: &OwnedFd, name: &CStr, number: u64, seed: &CStr);

const WAYS: [(&str, Make); 3] = [
    ("openat and close", |dir, name, _, _| {
        drop(openat(dir, name, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY, MODE).expect("a file is made"));
    }),
    ("mknodat", |dir, name, _, _| mknodat(dir, name, SFlag::S_IFREG, MODE, 0).expect("a file is made")),
    ("linkat to one file", |dir, name, number, seed| {
        if number % LINKS == 0 {
            let _ = nix::unistd::unlink(seed);
            mknodat(AT_FDCWD, seed, SFlag::S_IFREG, MODE, 0).expect("a file is made");
        }
        linkat(AT_FDCWD, seed, dir, name, AtFlags::empty()).expect("a link is made");
    }),
];

/// Makes `count` files by `threads` threads, each of which takes every so-manieth name.
fn by_threads(dir: &Path, names: &NameMaker, count: u64, threads: u64, make: Make) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let fd = opened(dir);
                let seed = c_string(&dir.with_extension(format!("seed-{thread}")));
                let mut name = Vec::new();
                for number in (thread..count).step_by(threads as usize) {
                    let name = terminated(names, number, &mut name);
                    make(&fd, name, number / threads, &seed);
                }
                let _ = nix::unistd::unlink(&*seed);
            });
        }
    });
}

fn opened(dir: &Path) -> OwnedFd {
    open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).expect("it is there")
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("temporary files have no NUL in their names")
}

/// The name of a number, as the kernel takes it.
fn terminated<'a>(names: &NameMaker, number: u64, name: &'a mut Vec<u8>) -> &'a CStr {
    name.clear();
    names.write(number, name);
    name.push(0);
    CStr::from_bytes_with_nul(name).expect("names have no NUL")
}

fn plain_loop(dir: &Path, names: &NameMaker, count: u64) {
    for number in 0..count {
        File::create(dir.join(OsStr::from_bytes(&names.name(number)))).expect("a file is made");
    }
}

/// `touch`, which gets as many names at once as a command line holds.
fn touch(dir: &Path, list: &Path) {
    let names = File::open(list).expect("the list of names is there");
    let status = Command::new("xargs").args(["-0", "touch"]).current_dir(dir).stdin(names).status();
    assert!(status.expect("xargs runs").success());
}

/// fs_mark makes empty files with names as long as ours, and syncs nothing.
fn fs_mark(program: &Path, dir: &Path, count: u64) {
    let mut command = Command::new(program);
    command.arg("-d").arg(dir).args([
        "-n",
        &count.to_string(),
        "-s",
        "0",
        "-S",
        "0",
        "-k",
        "-p",
        "24",
        "-r",
        "14",
        "-l",
    ]);
    command.arg(dir.with_extension("log")).stdout(Stdio::null());
    assert!(command.status().expect("fs_mark runs").success());
    let _ = fs::remove_file(dir.with_extension("log"));
}

/// One way of making a directory full; its removal is not measured.
fn measure(group: &mut BenchmarkGroup<WallTime>, place: &Path, name: &str, fill: impl Fn(&Path)) {
    let fill = |dir: tempfile::TempDir| {
        fill(dir.path());
        dir
    };
    group.bench_function(name, |bencher| bencher.iter_batched(|| empty(place), fill, BatchSize::PerIteration));
}

fn making(criterion: &mut Criterion) {
    let (count, names) = (entries(), NameMaker::new(&usual_names(), entries(), 42));
    let tree = Tree::new(&Directory::flat(count, usual_names()), 42);
    let list = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    let all: Vec<u8> = (0..count).flat_map(|number| [names.name(number), vec![0]].concat()).collect();
    fs::write(list.path(), all).expect("there is room for a list of names");
    let fs_mark_program = program("fs_mark", "fsmark");
    for (file_system, place) in places() {
        let mut group = criterion.benchmark_group(format!("make {count} files on {file_system}"));
        group.throughput(Throughput::Elements(count)).sample_size(10);
        let group = &mut group;
        measure(group, &place, "dirleak", |dir| populate::tree(dir, &tree).expect("there is room for files"));
        for (way, make) in WAYS {
            for threads in [1, 2] {
                let name = format!("{way}, threads: {threads}");
                measure(group, &place, &name, |dir| by_threads(dir, &names, count, threads, make));
            }
        }
        match uring::ring() {
            Ok(_) => measure(group, &place, "io_uring linkat", |dir| uring::link(dir, &names, count)),
            Err(e) => eprintln!("not compared with io_uring, which this kernel refuses: {e}"),
        }
        measure(group, &place, "std::fs::File::create", |dir| plain_loop(dir, &names, count));
        measure(group, &place, "xargs touch", |dir| touch(dir, list.path()));
        if let Some(program) = &fs_mark_program {
            measure(group, &place, "fs_mark", |dir| fs_mark(program, dir, count));
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(1)).measurement_time(Duration::from_millis(1));
    targets = making
}
criterion_main!(benches);
