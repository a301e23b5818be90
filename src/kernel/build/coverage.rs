//! Kernels whose NFS code counts what is executed of it: what make is told for it, and the notes of the compiler that are kept beside the image.

use super::config;
use crate::error::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// What asks for the counters.
const COUNTERS: &str = "CONFIG_GCOV_KERNEL=y";
/// The directories whose code counts, with all that is below them. They are those of Linux 6.1; one that a kernel lacks counts nothing.
const DIRECTORIES: [&str; 5] = ["fs/nfs", "fs/nfsd", "fs/nfs_common", "fs/lockd", "net/sunrpc"];
/// In a kernel's directory of the cache.
const NOTES: &str = "gcno";

/// Returns whether a file of source is below one of these directories.
pub fn is_counted(file: &str) -> bool {
    DIRECTORIES.iter().any(|directory| Path::new(file).starts_with(directory))
}

/// Returns whether a kernel that is configured so counts what is executed.
pub fn is_counting(fragment: &str) -> bool {
    config::requested_lines(fragment).any(|line| line == COUNTERS)
}

/// Returns the argument of make that has the files of these directories counted and no others. `GCOV_PROFILE` is what a directory's own Makefile
/// would say (scripts/Makefile.lib, seen in 6.1): make expands it anew for each directory, which is `$(obj)` then.
pub fn argument() -> String {
    let patterns: Vec<String> = DIRECTORIES.iter().map(|directory| format!("{directory} {directory}/%")).collect();
    format!("GCOV_PROFILE=$(if $(filter {},$(obj)),y)", patterns.join(" "))
}

/// Returns where the notes of the compiler are that go with the image, each at its place below the source tree; `None` if it has none.
pub fn notes(image: &Path) -> Option<PathBuf> {
    Some(image.parent()?.join(NOTES)).filter(|notes| notes.is_dir())
}

/// Copies the notes that the compiler wrote into `tree` to the directory of a kernel.
pub fn keep_notes(tree: &Path, kernel: &Path) -> Result<()> {
    DIRECTORIES.iter().try_for_each(|directory| copy_notes(tree, Path::new(directory), &kernel.join(NOTES)))
}

fn copy_notes(tree: &Path, directory: &Path, into: &Path) -> Result<()> {
    let (from, to) = (tree.join(directory), into.join(directory));
    for entry in fs::read_dir(&from).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copy_notes(tree, &directory.join(&name), into)?;
        } else if path.extension().is_some_and(|extension| extension == "gcno") {
            let failed = || format!("cannot write {}", to.display());
            fs::create_dir_all(&to).machine(failed)?;
            fs::copy(&path, to.join(&name)).machine(failed)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_counts_if_its_fragment_says_so() {
        assert!(is_counting("CONFIG_SMP=y\nCONFIG_GCOV_KERNEL=y\n"));
        assert!(!is_counting("# CONFIG_GCOV_KERNEL is not set\n# CONFIG_GCOV_KERNEL=y\n"));
    }

    #[test]
    fn make_counts_in_the_directories_of_nfs_and_below_them_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let makefile = scratch.path().join("Makefile");
        // As a kernel's Makefile does: a make for each directory, which finds the argument in its environment.
        let text = "all:\n\t@for d in fs/nfs fs/nfsd/x fs/nfsx net net/sunrpc; do $(MAKE) -s obj=$$d one; done\n\
                    one:\n\t@echo $(obj)=$(GCOV_PROFILE)\n";
        fs::write(&makefile, text).unwrap();
        let mut make = std::process::Command::new("make");
        let output = make.arg("-sC").arg(scratch.path()).arg("--no-print-directory").arg(argument()).output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told, "fs/nfs=y\nfs/nfsd/x=y\nfs/nfsx=\nnet=\nnet/sunrpc=y\n");
    }

    #[test]
    fn notes_are_kept_at_their_places_and_nothing_else_is() {
        let scratch = tempfile::tempdir().unwrap();
        let (tree, kernel) = (scratch.path().join("tree"), scratch.path().join("kernel"));
        for (directory, file) in
            [("fs/nfs", "dir.gcno"), ("fs/nfs", "dir.o"), ("net/sunrpc/x", "a.gcno"), ("mm", "b.gcno")]
        {
            fs::create_dir_all(tree.join(directory)).unwrap();
            fs::write(tree.join(directory).join(file), file).unwrap();
        }
        fs::create_dir(&kernel).unwrap();
        assert_eq!(notes(&kernel.join("vmlinux")), None);
        keep_notes(&tree, &kernel).unwrap();
        let notes = notes(&kernel.join("vmlinux")).unwrap();
        assert_eq!(fs::read_to_string(notes.join("fs/nfs/dir.gcno")).unwrap(), "dir.gcno");
        assert!(notes.join("net/sunrpc/x/a.gcno").exists());
        assert!(!notes.join("fs/nfs/dir.o").exists() && !notes.join("mm").exists());
    }
}
