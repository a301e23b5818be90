//! Knows how to load the kernel modules that the host put into the initramfs.

use crate::error::{Context, Error, Result};
use crate::protocol::message::ModuleFile;
use elf::ElfBytes;
use elf::endian::AnyEndian;
use nix::errno::Errno;
use nix::kmod::init_module;
use std::fs;

/// Where a module keeps numbers for the names of enumerations that its trace events print. Putting them into the texts of all
/// events takes 2 s for the modules of NFSv4, and as with the kernel's own (`KERNEL_COMMAND_LINE`), nobody here reads them.
const EVAL_MAP: &str = "_ftrace_eval_map";

/// What a signed module ends with (include/linux/module_signature.h).
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// Bytes of the description before that; the last four are the signature's length, the highest first.
const DESCRIPTION_BYTES: usize = 12;

/// Loads one after the other and removes their files, whose memory the workload may need.
pub fn load(modules: &[ModuleFile]) -> Result<()> {
    for module in modules {
        let bytes = fs::read(&module.path).machine(|| format!("cannot read {}", module.path))?;
        match load_one(&bytes) {
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

/// Loads a module without that table, or as it is where the kernel insists on the signature, which then is no longer right.
fn load_one(bytes: &[u8]) -> nix::Result<()> {
    let Some(at) = eval_map_name(bytes) else { return init_module(bytes, c"") };
    let mut changed = unsigned(bytes).to_vec();
    // Under another name the kernel does not find it.
    changed[at] = b'x';
    match init_module(&changed, c"") {
        Err(Errno::EKEYREJECTED | Errno::EPERM) => init_module(bytes, c""),
        result => result,
    }
}

/// Returns where the name of that section begins in the file.
fn eval_map_name(bytes: &[u8]) -> Option<usize> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).ok()?;
    let sections = file.section_headers()?;
    let names = sections.get(usize::from(file.ehdr.e_shstrndx)).ok()?;
    let name = file.section_header_by_name(EVAL_MAP).ok()??.sh_name;
    let at = usize::try_from(names.sh_offset.checked_add(name.into())?).ok()?;
    bytes.get(at..)?.starts_with(EVAL_MAP.as_bytes()).then_some(at)
}

/// Returns the module without the signature that may be appended to it.
fn unsigned(bytes: &[u8]) -> &[u8] {
    let without = || {
        let rest = bytes.strip_suffix(SIGNED)?;
        let (rest, description) = rest.split_at_checked(rest.len().checked_sub(DESCRIPTION_BYTES)?)?;
        let length = u32::from_be_bytes(description[DESCRIPTION_BYTES - 4..].try_into().ok()?) as usize;
        rest.get(..rest.len().checked_sub(length)?)
    };
    without().unwrap_or(bytes)
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
    use crate::kernel::image::modules::file_with_section;

    #[test]
    fn module_that_cannot_be_loaded_is_named() {
        let error = failed("nfsd", Errno::ENOEXEC);
        assert_eq!(error.exit(), crate::error::Exit::CannotJudge);
        assert!(error.to_string().starts_with("cannot load the kernel module nfsd: ENOEXEC"), "{error}");
        assert!(error.to_string().ends_with("is it a module of another kernel?"), "{error}");
    }

    #[test]
    fn signature_is_cut_off_and_nothing_else() {
        let signed = [&b"module"[..], b"signature", &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 9], SIGNED].concat();
        assert_eq!(unsigned(&signed), b"module");
        let absurd = [&b"module"[..], &[0xff; 12], SIGNED].concat();
        for whole in [b"module".to_vec(), SIGNED.to_vec(), absurd] {
            assert_eq!(unsigned(&whole), whole);
        }
    }

    #[test]
    fn name_of_the_table_is_found_where_there_is_one() {
        assert_eq!(eval_map_name(b"no module"), None);
        assert_eq!(eval_map_name(&file_with_section(".modinfo", b"x")), None);
        let module = file_with_section(EVAL_MAP, b"x");
        let at = eval_map_name(&module).unwrap();
        assert_eq!(&module[at..at + EVAL_MAP.len()], EVAL_MAP.as_bytes());
    }
}
