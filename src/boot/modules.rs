//! Knows which kernel modules the guest of a scenario needs, and puts them into its file system.

use crate::error::Result;
use crate::kernel::bootable::Kernel;
use crate::kernel::image::modules::Modules;
use crate::protocol::message::ModuleFile;
use crate::scenario::{FileSystem, Scenario, ServerKind};
use crate::vm::initramfs::Archive;

/// What the kernel asks modprobe for by another name than a module's, which a guest does not have: hashes that nfsd and
/// NFSv4 take by name, and the sockets of rpcbind.
const ASKED_FOR: [&str; 5] = ["md5", "sha256", "sha256_generic", "crc32c_generic", "unix"];

/// Adds what `scenario` needs of the kernel's modules to `archive`; gives them in the order of loading.
pub fn add(kernel: &Kernel, scenario: &Scenario, archive: &mut Archive) -> Result<Vec<ModuleFile>> {
    let Some(dir) = &kernel.modules else { return Ok(Vec::new()) };
    let all = Modules::open(dir)?;
    let all = match &kernel.patched_modules {
        Some(patched) => all.replaced_by(patched)?,
        None => all,
    };
    let needed = all.needed(&wanted(scenario), &ASKED_FOR, &kernel.release)?;
    let mut files = Vec::new();
    for module in needed {
        let path = format!("/modules/{}.ko", module.name);
        archive.file(&path, 0o644, module.bytes);
        files.push(ModuleFile { name: module.name, path, required: module.required });
    }
    Ok(files)
}

fn wanted(scenario: &Scenario) -> Vec<&'static str> {
    let is_4 = scenario.mount.version.is_4();
    let mut wanted = vec!["nfs", if is_4 { "nfsv4" } else { "nfsv3" }];
    if scenario.server == ServerKind::Knfsd {
        wanted.push("nfsd");
    }
    match scenario.export.file_system {
        FileSystem::Tmpfs => {}
        disk => wanted.extend(["loop", disk.as_str()]),
    }
    wanted
}
