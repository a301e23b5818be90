//! Knows how kernels and modules are compressed, by their first bytes, and the programs that undo it.

use crate::error::{Context, Error, Result};
use crate::kernel::external::toolchain;
use crate::os::process;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::process::Command;

/// What compressed data begins with, and the program that decompresses it: all take the same options.
const FORMATS: [(&[u8], &str); 4] = [
    (b"\x1f\x8b", GZIP),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    // The legacy format, the only one that the kernel knows.
    (b"\x02\x21\x4c\x18", "lz4"),
];

/// The one whose data ends with its length.
pub const GZIP: &str = "gzip";

/// Returns the program that decompresses what begins like `data`; `None` if it is not compressed in a way that is known.
pub fn program(data: &[u8]) -> Option<&'static str> {
    FORMATS.iter().find(|(magic, _)| data.starts_with(magic)).map(|(_, program)| *program)
}

/// Decompresses `data` with `program`, to `most` bytes. Damaged data is the kernel's fault (125), a missing program the machine's.
pub fn decompress(data: &[u8], program: &str, what: &str, most: u64) -> Result<Vec<u8>> {
    toolchain::require(program, &format!("unpacking {what}"))?;
    let failed = || "cannot write a temporary file".to_owned();
    // A file and not a pipe, which somebody would have to fill meanwhile.
    let mut input = tempfile::tempfile().machine(failed)?;
    input.write_all(data).and_then(|()| input.rewind()).machine(failed)?;
    let finished = process::finish_bounded(Command::new(program).arg("-dc"), input.into(), most)?;
    if finished.output.len() as u64 > most {
        return Err(too_large(what, most));
    }
    if finished.status.success() {
        return Ok(finished.output);
    }
    Err(Error::kernel(format!("{what} cannot be unpacked: {program}: {}", finished.complaint())))
}

/// Reads a file that has `most` bytes: one from a package may say to have any number.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path).machine(failed)?.take(most + 1).read_to_end(&mut bytes).machine(failed)?;
    if bytes.len() as u64 > most { Err(too_large(&path.display().to_string(), most)) } else { Ok(bytes) }
}

fn too_large(what: &str, most: u64) -> Error {
    Error::kernel(format!("{what} has more than {} MiB in it, which no kernel needs", most >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    const MOST: u64 = 1 << 20;

    fn compressed(command: &str, data: &[u8]) -> Vec<u8> {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(data).and_then(|()| input.rewind()).unwrap();
        process::finish(Command::new("sh").args(["-c", command]), input.into()).unwrap().output
    }

    #[test]
    fn data_of_every_format_comes_back_as_it_was() {
        let data = b"kernel".repeat(10_000);
        for command in ["gzip -c", "xz -c --check=crc32", "zstd -c", "lz4 -lc"] {
            let packed = compressed(command, &data);
            // vm/setup installs all of them.
            let program = program(&packed).unwrap_or_else(|| panic!("`{command}` packed nothing that is known"));
            assert_eq!(decompress(&packed, program, "x", MOST).unwrap(), data, "{command}");
        }
    }

    #[test]
    fn damaged_data_are_the_fault_of_the_kernel() {
        let mut packed = compressed("gzip -c", b"kernel");
        packed.truncate(8);
        let error = decompress(&packed, GZIP, "nfs.ko.gz", MOST).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotJudge);
        assert!(error.to_string().starts_with("nfs.ko.gz cannot be unpacked: gzip: "), "{error}");
        assert_eq!(program(b"\x7fELF"), None);
    }

    #[test]
    fn data_that_unpack_without_end_are_cut_off() {
        let packed = compressed("head -c 64M /dev/zero | gzip -1 -c", b"");
        let error = decompress(&packed, GZIP, "nfs.ko.gz", MOST).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotJudge);
        assert!(error.to_string().starts_with("nfs.ko.gz has more than 1 MiB in it"), "{error}");
        let whole = compressed("head -c 1M /dev/zero | gzip -1 -c", b"");
        assert_eq!(decompress(&whole, GZIP, "x", MOST).unwrap().len() as u64, MOST);
    }

    #[test]
    fn file_with_holes_is_not_read_into_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        assert!(read(file.path(), MOST).unwrap_err().to_string().contains("has more than 1 MiB in it"));
        file.as_file().set_len(MOST).unwrap();
        assert_eq!(read(file.path(), MOST).unwrap().len() as u64, MOST);
    }
}
