//! What benchmarks of directories share: how large, where, and which other programs there are to compare with.

use dirleak::dirtree::name_spec::Names;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How many entries, if not as many as below.
const ENTRIES: &str = "DIRLEAK_BENCH_ENTRIES";
/// Where besides memory; the directory for temporary files if it is not set.
const PLACE: &str = "DIRLEAK_BENCH_DIR";

/// Whether time is measured: `cargo test` only goes through each benchmark once.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// Entries of a directory.
pub fn entries() -> u64 {
    let usual = if measuring() { 1_000_000 } else { 500 };
    std::env::var(ENTRIES)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{ENTRIES} is no number: {text}")))
}

/// Names that need no quoting, of a length that is usual.
pub fn usual_names() -> Names {
    Names::random(24, 24)
}

/// The file systems to measure on, with what they are called: memory, and where temporary files are.
pub fn places() -> Vec<(&'static str, PathBuf)> {
    let other = std::env::var_os(PLACE).map_or_else(std::env::temp_dir, PathBuf::from);
    let all = [("tmpfs", PathBuf::from("/dev/shm")), ("disk", other)];
    all.into_iter().filter(|(_, place)| place.is_dir()).collect()
}

/// An empty directory that is removed afterwards.
pub fn empty(place: &Path) -> TempDir {
    tempfile::tempdir_in(place).expect("a temporary directory can be made")
}

/// Where a program is; if it is not there a sentence says how to get it, and it is not compared with.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| fs::metadata(file).is_ok());
    if found.is_none() {
        eprintln!("not compared with {name}, which is not installed: apt-get install {package}");
    }
    found
}
