//! Knows what an ELF file asks of the dynamic linker.

use elf::ElfBytes;
use elf::abi::{DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_STRTAB, PT_INTERP, PT_LOAD};
use elf::endian::AnyEndian;
use elf::file::Class;
use elf::string_table::StringTable;
use std::path::PathBuf;

/// The parts of a program or library that decide which other files it needs.
#[derive(Debug)]
pub struct Object {
    /// Word size and processor: a library must have the same as its user.
    pub kind: (Class, u16),
    pub interpreter: Option<PathBuf>,
    pub needed: Vec<String>,
    /// Directories to look in, as written: `$ORIGIN` is not replaced.
    pub rpath: Vec<String>,
    pub runpath: Vec<String>,
}

impl Object {
    /// Reads an ELF file; the error says what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = ElfBytes::<AnyEndian>::minimal_parse(bytes).map_err(|e| e.to_string())?;
        let mut object = Self {
            kind: (file.ehdr.class, file.ehdr.e_machine),
            interpreter: interpreter(&file),
            needed: Vec::new(),
            rpath: Vec::new(),
            runpath: Vec::new(),
        };
        let Some(dynamic) = file.dynamic().map_err(|e| e.to_string())? else { return Ok(object) };
        let strings = dynamic.iter().find(|d| d.d_tag == DT_STRTAB).and_then(|d| strings_at(&file, bytes, d.d_ptr()));
        let strings = strings.ok_or("it has no table of strings")?;
        for entry in dynamic.iter() {
            let text = || strings.get(entry.d_val() as usize).map(str::to_owned).map_err(|e| e.to_string());
            let dirs = || text().map(|t| t.split(':').filter(|d| !d.is_empty()).map(str::to_owned).collect::<Vec<_>>());
            match entry.d_tag {
                DT_NEEDED => object.needed.push(text()?),
                DT_RPATH => object.rpath = dirs()?,
                DT_RUNPATH => object.runpath = dirs()?,
                _ => {}
            }
        }
        Ok(object)
    }
}

fn interpreter(file: &ElfBytes<AnyEndian>) -> Option<PathBuf> {
    let header = file.segments()?.iter().find(|s| s.p_type == PT_INTERP)?;
    let text = file.segment_data(&header).ok()?;
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    Some(PathBuf::from(std::str::from_utf8(text).ok()?))
}

/// Finds the strings at an address: the dynamic section names addresses in memory; the loadable segments say where in
/// the file those are.
fn strings_at<'a>(file: &ElfBytes<AnyEndian>, bytes: &'a [u8], address: u64) -> Option<StringTable<'a>> {
    let segment = file
        .segments()?
        .iter()
        .find(|s| s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)?;
    let start = usize::try_from(segment.p_offset.checked_add(address - segment.p_vaddr)?).ok()?;
    let end = usize::try_from(segment.p_offset.checked_add(segment.p_filesz)?).ok()?;
    bytes.get(start..end).map(StringTable::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_of_this_test_is_understood() {
        let object = Object::parse(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(object.interpreter.is_some(), object.needed.iter().any(|n| n.starts_with("libc.so")));
    }

    #[test]
    fn file_that_is_no_elf_or_only_half_of_one_is_an_error() {
        assert!(Object::parse(b"#!/bin/sh\n").is_err());
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(Object::parse(&whole[..100]).is_err());
    }
}
