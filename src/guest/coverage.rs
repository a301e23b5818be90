//! Counters of what the kernel's code executed, as gcov has them (Documentation/dev-tools/gcov.rst; kernel/gcov/fs.c, seen in 6.1): a file
//! `.gcda` for each file of source, at the path where it was compiled.

use crate::coverage::counters::FileCounters;
use crate::coverage::gcda::ObjectCounters;
use crate::error::{Context, Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

const COUNTERS: &str = "/sys/kernel/debug/gcov";

/// Sets all counters to zero.
pub fn reset() -> Result<()> {
    let file = Path::new(COUNTERS).join("reset");
    if !file.exists() {
        return Err(missing());
    }
    fs::write(&file, "1").machine(|| format!("cannot write {}", file.display()))
}

/// Returns the counters of each file of which some are not zero.
pub fn read() -> Result<Vec<FileCounters>> {
    read_below(Path::new(COUNTERS))
}

fn read_below(directory: &Path) -> Result<Vec<FileCounters>> {
    let mut files = Vec::new();
    find(directory, &mut files)?;
    let (Some(first), Some(last)) = (files.first(), files.last()) else { return Err(missing()) };
    // Files of more than one of its directories count, so what all paths begin with is the source tree.
    let common = first.components().zip(last.components()).take_while(|(one, other)| one == other);
    let tree: PathBuf = common.map(|(component, _)| component).collect();
    let mut counted = Vec::new();
    for path in &files {
        let shown = || format!("cannot read {}", path.display());
        let bytes = fs::read(path).machine(shown)?;
        let unknown = || Error::kernel(format!("{} is not as gcov of GCC 12 and newer ones has it", path.display()));
        let ObjectCounters { header, counters } = ObjectCounters::read(&bytes).ok_or_else(unknown)?;
        let name = path.strip_prefix(&tree).unwrap_or(path).with_extension("");
        let counters = counters.into_iter().map(|counter| counter.min(u32::MAX.into()));
        counted.push(FileCounters::pack(name.to_string_lossy().into_owned(), header.stamp, counters));
    }
    counted.retain(|file| !file.counts.is_empty());
    Ok(counted)
}

/// Adds all files with counters below a directory, in the order of their paths.
fn find(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = || format!("cannot read {}", directory.display());
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(missing()),
        entries => entries.machine(failed)?,
    };
    let mut paths = entries.map(|entry| Ok(entry.machine(failed)?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        // There are links, too, to where the compiler's notes were.
        if path.symlink_metadata().machine(failed)?.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "gcda") {
            files.push(path);
        }
    }
    Ok(())
}

fn missing() -> Error {
    Error::kernel(format!(
        "this kernel does not count what is executed: it has no {COUNTERS}; it needs CONFIG_GCOV_KERNEL (vm/coverage.config), as kernels have that \
         dirleak coverage builds from a series or a tree"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::gcda;
    use crate::coverage::gcno::{Arc, FunctionNotes, ObjectNotes};
    use crate::coverage::words_of_gcc;

    #[test]
    fn files_are_named_by_their_places_in_the_source_tree() {
        let dir = tempfile::tempdir().unwrap();
        let arc = Arc { from: 0, to: 1, is_counted: true };
        let function = FunctionNotes { blocks: 2, arcs: vec![arc; 3], ..FunctionNotes::default() };
        let notes = ObjectNotes { header: words_of_gcc(7), functions: vec![function] };
        for (file, counters) in
            [("root/t/fs/nfs/dir", [0, 1, u64::MAX]), ("root/t/fs/x", [0; 3]), ("root/t/net/a", [1; 3])]
        {
            let path = dir.path().join(file).with_extension("gcda");
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, gcda::write(&notes, &counters)).unwrap();
        }
        let read = read_below(dir.path()).unwrap();
        let told: Vec<_> = read.iter().map(|file| (file.file.as_str(), file.stamp, file.unpack())).collect();
        assert_eq!(told, [("fs/nfs/dir", 7, vec![0, 1, u64::from(u32::MAX)]), ("net/a", 7, vec![1; 3])]);
    }

    #[test]
    fn kernel_without_counters_and_counters_of_another_form_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |path: &Path| read_below(path).unwrap_err().to_string();
        assert!(told(&dir.path().join("none")).contains("CONFIG_GCOV_KERNEL"));
        fs::write(dir.path().join("a.gcda"), "adcg").unwrap();
        assert!(told(dir.path()).ends_with("a.gcda is not as gcov of GCC 12 and newer ones has it"));
    }
}
