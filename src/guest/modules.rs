//! Knows how to load the kernel modules that the host put into the initramfs.

use super::protocol::ModuleFile;
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use std::fs::{self, File};

/// Loads one after the other and removes their files, whose memory the workload may need.
pub fn load(modules: &[ModuleFile]) -> Result<()> {
    for module in modules {
        let file = File::open(&module.path).machine(|| format!("cannot open {}", module.path))?;
        match finit_module(&file, c"", ModuleInitFlags::empty()) {
            // Another module may have asked for it by a name that is built in.
            Ok(()) | Err(Errno::EEXIST) => {}
            // For a processor that this one is not, for instance.
            Err(_) if !module.required => {}
            Err(e) => return Err(failed(&module.name, e)),
        }
        let _ = fs::remove_file(&module.path);
    }
    Ok(())
}

fn failed(name: &str, errno: Errno) -> Error {
    let why = match errno {
        Errno::ENOEXEC | Errno::ENOENT | Errno::EINVAL => "; is it a module of another kernel?",
        Errno::ENOMEM => "; raise guest.memory_mib in the scenario",
        _ => "",
    };
    Error::kernel(format!("cannot load the kernel module {name}: {errno}{why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_cannot_be_loaded_is_named() {
        let error = failed("nfsd", Errno::ENOEXEC);
        assert_eq!(error.exit(), crate::exit::Exit::CannotJudge);
        assert!(error.to_string().starts_with("cannot load the kernel module nfsd: ENOEXEC"), "{error}");
        assert!(error.to_string().ends_with("is it a module of another kernel?"), "{error}");
    }
}
