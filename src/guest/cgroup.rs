//! The cgroup (version 2) that the workload has to itself: what was charged to it, and what taking it away frees.

use crate::error::{Context, Error, Result};
use crate::protocol::message::CgroupUsage;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "/sys/fs/cgroup/workload";

/// This process in a cgroup of its own.
pub struct Workload;

impl Workload {
    /// Makes the cgroup and moves this process into it. Kernel threads, those of knfsd among them, stay outside.
    pub fn enter(memory_high_mib: Option<u32>) -> Result<Self> {
        if !Path::new(ROOT).join("cgroup.controllers").exists() {
            mount(Some("cgroup2"), ROOT, Some("cgroup2"), MsFlags::empty(), None::<&str>)
                .map_err(|e| Error::kernel(format!("cannot mount cgroup2 on {ROOT}: {e}; is CONFIG_CGROUPS set?")))?;
        }
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory").map_err(|e| {
            Error::kernel(format!("this kernel cannot charge memory to cgroups ({e}); is CONFIG_MEMCG set?"))
        })?;
        fs::create_dir_all(OURS).machine(|| format!("cannot make {OURS}"))?;
        let high = memory_high_mib.map_or("max".to_owned(), |mib| (u64::from(mib) << 20).to_string());
        write("memory.high", &high)?;
        write("cgroup.procs", "0")?;
        Ok(Self)
    }

    /// Returns what is charged to the cgroup now.
    pub fn usage(&self) -> Result<CgroupUsage> {
        let read =
            |file: &str| fs::read_to_string(Path::new(OURS).join(file)).machine(|| format!("cannot read {file}"));
        let stat = read("memory.stat")?;
        let field = |key: &str| {
            let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        let bytes = read("memory.current")?;
        // Linux before 5.19 has none.
        let peak_bytes = read("memory.peak").ok().and_then(|peak| peak.trim().parse().ok());
        Ok(CgroupUsage {
            bytes: bytes.trim().parse().unwrap_or(0),
            peak_bytes,
            slab_bytes: field("slab"),
            file_bytes: field("file"),
            anonymous_bytes: field("anon"),
        })
    }

    /// Moves this process out and takes the cgroup away.
    pub fn take_away(self) -> Result<()> {
        leave()?;
        fs::remove_dir(OURS).machine(|| format!("cannot take {OURS} away"))
    }
}

/// Returns a file of the workload's cgroup.
pub fn file(name: &str) -> PathBuf {
    Path::new(OURS).join(name)
}

fn write(file: &str, value: &str) -> Result<()> {
    fs::write(Path::new(OURS).join(file), value).machine(|| format!("cannot write {value} to {OURS}/{file}"))
}

fn leave() -> Result<()> {
    fs::write(Path::new(ROOT).join("cgroup.procs"), "0").machine(|| "cannot leave the workload's cgroup".into())
}
