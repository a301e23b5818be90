//! Knows how kernels and modules are compressed, by their first bytes, and the programs that undo it.

use crate::error::{Context, Error, Result};
use crate::kernel::external::toolchain;
use crate::os::process;
use std::io::{Seek, Write};
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

/// The program that decompresses what begins like `data`; `None` if it is not compressed in a way that is known.
pub fn program(data: &[u8]) -> Option<&'static str> {
    FORMATS.iter().find(|(magic, _)| data.starts_with(magic)).map(|(_, program)| *program)
}

/// Decompresses `data` with `program`. Damaged data is the kernel's fault (125), a missing program the machine's.
pub fn decompress(data: &[u8], program: &str, what: &str) -> Result<Vec<u8>> {
    toolchain::require(program, &format!("unpacking {what}"))?;
    let failed = || "cannot write a temporary file".to_owned();
    // A file and not a pipe, which somebody would have to fill meanwhile.
    let mut input = tempfile::tempfile().machine(failed)?;
    input.write_all(data).and_then(|()| input.rewind()).machine(failed)?;
    let finished = process::finish(Command::new(program).arg("-dc"), input.into())?;
    if finished.status.success() {
        return Ok(finished.output);
    }
    Err(Error::kernel(format!("{what} cannot be unpacked: {program}: {}", finished.complaint())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn compressed(command: &str, data: &[u8]) -> Vec<u8> {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(data).and_then(|()| input.rewind()).unwrap();
        process::finish(Command::new("sh").args(["-c", command]), input.into()).unwrap().output
    }

    #[test]
    fn all_formats_come_back_as_they_were() {
        let data = b"kernel".repeat(10_000);
        for command in ["gzip -c", "xz -c --check=crc32", "zstd -c", "lz4 -lc"] {
            let packed = compressed(command, &data);
            // Who tests on a machine without one of them has nothing to decompress.
            let Some(program) = program(&packed) else { continue };
            assert_eq!(decompress(&packed, program, "x").unwrap(), data, "{command}");
        }
    }

    #[test]
    fn what_is_damaged_is_the_kernels_fault() {
        let mut packed = compressed("gzip -c", b"kernel");
        packed.truncate(8);
        let error = decompress(&packed, GZIP, "nfs.ko.gz").unwrap_err();
        assert_eq!(error.exit(), Exit::CannotJudge);
        assert!(error.to_string().starts_with("nfs.ko.gz cannot be unpacked: gzip: "), "{error}");
        assert_eq!(program(b"\x7fELF"), None);
    }
}
