//! What a measurement belongs to: the machine, QEMU, and this very program, which is in the guest.

use crate::error::{Context, Error, Result};
use crate::kernel::image::identify::sha256;
use crate::os::assets::OURSELVES;
use crate::probe::{memory, procfs};
use crate::result::bench::Machine;
use crate::vm::qemu;
use std::fs;
use std::path::Path;
use std::process::Command;

impl Machine {
    /// Describes the machine that this runs on.
    pub fn this() -> Result<Self> {
        let processors = fs::read_to_string("/proc/cpuinfo").machine(|| "cannot read /proc/cpuinfo".into())?;
        Ok(Self {
            processor: field(&processors, "model name").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(0, |n| n.get() as u64),
            memory_mib: memory::kib("MemTotal").unwrap_or(0) / 1024,
            host_release: procfs::release()?,
            qemu: qemu_version()?,
            program_sha256: sha256(Path::new(OURSELVES))?,
        })
    }
}

/// Returns the value of the first line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| line.strip_prefix(name)?.trim_start().strip_prefix(':').map(|v| v.trim().to_owned());
    text.lines().find_map(value)
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
        assert_eq!(field(text, "MemTotal").as_deref(), Some("24576000 kB"));
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field(text, "flags"), None);
    }
}
