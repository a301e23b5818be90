//! What a measurement belongs to: the machine, QEMU, and this very program, which is in the guest.

use crate::assets::OURSELVES;
use crate::error::{Context, Error, Result};
use crate::vm::qemu;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::process::Command;

/// A machine and what runs guests on it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Machine {
    /// "model name" of `/proc/cpuinfo`.
    pub processor: String,
    pub processors: u64,
    pub memory_mib: u64,
    /// `uname -r` of the host.
    pub host_release: String,
    /// The first line of `qemu-system-x86_64 --version`.
    pub qemu: String,
    /// SHA-256 of this program, which is part of every guest.
    pub program_sha256: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).machine(|| format!("cannot read {path}"));
        let program = fs::read(OURSELVES).machine(|| "cannot read this program's own file".into())?;
        Ok(Self {
            processor: field(&read("/proc/cpuinfo")?, "model name").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
            memory_mib: field(&read("/proc/meminfo")?, "MemTotal").map_or(0, |text| kib(&text) / 1024),
            host_release: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            qemu: qemu_version()?,
            program_sha256: Sha256::digest(program).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

/// The value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|v| v.trim().to_owned());
    text.lines().find_map(value)
}

fn kib(text: &str) -> u64 {
    text.trim_end_matches(" kB").trim().parse().unwrap_or(0)
}

fn qemu_version() -> Result<String> {
    let program = qemu::PROGRAM;
    let missing = |e| Error::machine(format!("cannot start {program}: {e}; run vm/setup to install what is missing"));
    let output = Command::new(program).arg("--version").output().map_err(missing)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotal2: 1 kB\nMemTotal:       24576000 kB\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "MemTotal").map(|text| kib(&text)), Some(24_576_000));
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "flags"), None);
    }
}
