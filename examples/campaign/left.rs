//! What a run leaves behind: processes, temporary files, and files of the cache.

use dirleak::internals::kernel::image::identify;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What was killed is gone at once; the machine may be busy.
const GONE_LIMIT: Duration = Duration::from_secs(20);
/// Console logs, and what QEMU said, that dirleak keeps: src/boot/guest_image.rs, and those of the last run.
const MOST_LOGS: usize = 200 + 8;
/// Directories of the cache in which files come and go: logs are counted, the others hold what builds make.
const NOT_LISTED: [&str; 4] = ["logs", "locks", "kernels", "build"];

pub struct Left {
    cache: PathBuf,
    /// `TMPDIR` of the runs.
    temporary: tempfile::TempDir,
    /// Files that are no leftovers.
    known: BTreeSet<PathBuf>,
}

impl Left {
    pub fn begin(cache: &Path) -> Result<Self> {
        let cache = cache.to_owned();
        let mut left = Self { cache, temporary: tempfile::tempdir()?, known: BTreeSet::new() };
        left.known = left.files()?;
        Ok(left)
    }

    /// Has a run use the cache, by which its processes are known, too.
    pub fn mark(&self, command: &mut Command) {
        command.env("XDG_CACHE_HOME", &self.cache).env("TMPDIR", self.temporary.path());
    }

    /// Waits until all processes of a run are gone: how many seconds that took, and those that are still there.
    pub fn wait_for_processes(&self) -> (f64, Vec<String>) {
        let begin = Instant::now();
        loop {
            let there = self.processes();
            if there.is_empty() || begin.elapsed() > GONE_LIMIT {
                return (begin.elapsed().as_secs_f64(), there);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Processes that have the cache in their environment, each with its number and command line.
    fn processes(&self) -> Vec<String> {
        let marker = format!("XDG_CACHE_HOME={}\0", self.cache.display());
        let is_ours = |dir: &Path| {
            let environment = fs::read(dir.join("environ")).unwrap_or_default();
            environment.windows(marker.len()).any(|part| part == marker.as_bytes())
        };
        let dirs = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let line = |dir: PathBuf| {
            let line = fs::read(dir.join("cmdline")).unwrap_or_default();
            format!("{} {}", dir.display(), String::from_utf8_lossy(&line).replace('\0', " "))
        };
        dirs.filter(|dir| is_ours(dir)).map(line).collect()
    }

    /// What must not be there. A run that was killed outright may leave what it was making to the next.
    pub fn faults(&self, killed_outright: bool) -> Result<Vec<String>> {
        let mut left: Vec<PathBuf> = self.files()?.difference(&self.known).cloned().collect();
        if killed_outright {
            left.retain(|path| !path.strip_prefix(&self.cache).is_ok_and(in_scratch));
        }
        let mut faults: Vec<String> = left.iter().map(|path| format!("it left {}", path.display())).collect();
        let logs = fs::read_dir(self.cache.join("dirleak/logs")).into_iter().flatten().count();
        if logs > MOST_LOGS {
            faults.push(format!("there are {logs} logs"));
        }
        Ok(faults)
    }

    /// Removes the kernel without a patch and has it built again, in the tree in which builds were killed.
    pub fn build_again(&self, program: &Path) -> Result<bool> {
        for dir in self.kernels()?.into_keys() {
            let noted: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("meta.json"))?)?;
            if noted["patches"].as_array().is_some_and(Vec::is_empty) {
                fs::remove_dir_all(dir)?;
            }
        }
        let mut command = Command::new(program);
        self.mark(&mut command);
        Ok(command.args(["kernel", "build", "6.1"]).status()?.success())
    }

    /// All temporary files, and files of the cache that no build makes.
    fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        list(self.temporary.path(), &mut files)?;
        let home = self.cache.join("dirleak");
        for entry in fs::read_dir(&home)? {
            let entry = entry?;
            if !NOT_LISTED.contains(&entry.file_name().to_string_lossy().as_ref()) {
                list(&entry.path(), &mut files)?;
            }
        }
        for parent in ["kernels", "build"] {
            let dirs = fs::read_dir(home.join(parent)).into_iter().flatten().flatten().map(|entry| entry.path());
            let inner = |dir: &PathBuf| fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
            files.extend(
                dirs.flat_map(|dir| inner(&dir).chain([dir]).collect::<Vec<_>>()).filter(|path| in_scratch(path)),
            );
        }
        Ok(files)
    }

    /// The kernels of the cache that are of this campaign's making or older, with the hash of each image as it is now and as it was noted.
    pub fn kernels(&self) -> Result<BTreeMap<PathBuf, String>> {
        let mut kernels = BTreeMap::new();
        for entry in fs::read_dir(self.cache.join("dirleak/kernels"))? {
            let dir = entry?.path();
            let noted: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("meta.json"))?)?;
            let hash = identify::sha256(&dir.join("vmlinux")).map_err(Error::other)?;
            if noted["image_sha256"] != hash.as_str() {
                return Err(Error::other(format!("the kernel in {} is not the one that was built", dir.display())));
            }
            let is_ours = noted["patches"].as_array().is_some_and(|p| p.iter().any(|name| name == "change.patch"));
            if !is_ours {
                kernels.insert(dir, hash);
            }
        }
        Ok(kernels)
    }
}

/// Whether a path is in one of the directories in which dirleak makes what it then puts in place.
fn in_scratch(path: &Path) -> bool {
    path.iter().any(|part| part.to_string_lossy().starts_with(".new-"))
}

/// All that is below a directory.
fn list(dir: &Path, into: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), into)?;
        }
        into.insert(entry.path());
    }
    Ok(())
}
