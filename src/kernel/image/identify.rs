//! What a file is to QEMU: a kernel image that it can boot, or something else.

use crate::error::{Context, Error, Result};
use crate::kernel::external::git;
use elf::ElfStream;
use elf::abi::{EM_X86_64, PT_LOAD, PT_NOTE};
use elf::endian::AnyEndian;
use elf::note::Note;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What a path on the command line leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A kernel that can be booted as it is; `uname -r`, as far as the file says it.
    Image { release: String },
    /// A Debian or RPM package, or an archive: the packages of Arch and Alpine, and what `make tarzst-pkg` makes.
    Package,
    /// A directory with the sources of a kernel, or a git repository that may have them in a commit.
    Tree,
}

/// The note that tells where a PVH guest starts, `XEN_ELFNOTE_PHYS32_ENTRY`.
const PVH_NOTE: u64 = 0x12;

/// What `struct new_utsname` has room for.
const MOST_RELEASE_BYTES: usize = 64;

/// The first kilobyte tells what a file is; the rest of it is only read when needed.
pub(crate) const HEAD_BYTES: usize = 0x400;

/// Looks at `path`, which exists.
pub fn kind(path: &Path) -> Result<Kind> {
    let shown = path.display();
    if path.is_dir() {
        let is_tree = git::is_repository(path) || (path.join("Kconfig").is_file() && path.join("arch/x86").is_dir());
        let no_tree = || Error::usage(format!("{shown} is a directory, but not one with the sources of a kernel"));
        return is_tree.then_some(Kind::Tree).ok_or_else(no_tree);
    }
    let mut file = File::open(path).map_err(|e| Error::usage(format!("cannot read {shown}: {e}")))?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).machine(|| format!("cannot read {shown}"))?;
    file_kind(&head, file).map_err(|why| Error::usage(format!("{shown} {why}")))
}

/// Identifies a file that begins with `head`; the error says what is wrong with it.
pub(crate) fn file_kind(head: &[u8], file: impl Read + Seek) -> std::result::Result<Kind, String> {
    if is_package(head) {
        return Ok(Kind::Package);
    }
    let release = if head.starts_with(b"\x7fELF") { vmlinux_release(file)? } else { bzimage_release(head, file)? };
    if !is_release(&release) {
        return Err("tells a release that no kernel has".into());
    }
    Ok(Kind::Image { release })
}

/// Tells packages and compressed or plain archives by how they begin. A bzImage that begins so has no boot sector.
fn is_package(head: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 7] = [
        b"!<arch>\ndebian-binary",
        // RPM; gzip (Alpine's are several streams of it); zstd; xz; bzip2; lz4.
        b"\xed\xab\xee\xdb",
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
        b"BZh",
        b"\x04\x22\x4d\x18",
    ];
    // A skippable frame of zstd, with which pzstd begins.
    let is_skippable = head.first().is_some_and(|b| b & 0xf0 == 0x50) && head.get(1..4) == Some(b"\x2a\x4d\x18");
    let is_tar = head.get(257..262) == Some(b"ustar");
    BEGINNINGS.iter().any(|beginning| head.starts_with(beginning)) || is_skippable || is_tar
}

/// Tells what `uname -r` may say from what leads elsewhere when it is taken for a directory's name.
fn is_release(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_graphic() && c != '/';
    (1..=MOST_RELEASE_BYTES).contains(&text.len()) && !text.starts_with('.') && text.chars().all(is_part)
}

/// Returns the release of an uncompressed vmlinux, or why it cannot be booted.
fn vmlinux_release(file: impl Read + Seek) -> std::result::Result<String, String> {
    let broken = |e: elf::ParseError| format!("is a damaged ELF file: {e}");
    let mut elf: ElfStream<AnyEndian, _> = ElfStream::open_stream(file).map_err(broken)?;
    if elf.ehdr.e_machine != EM_X86_64 {
        return Err("is an ELF file, but not for x86-64".into());
    }
    let segments = elf.segments().clone();
    let mut release = None;
    for load in segments.iter().filter(|s| s.p_type == PT_LOAD) {
        release = release.or(banner(elf.segment_data(load).map_err(broken)?));
    }
    let release = release.ok_or("is an ELF file, but no kernel")?;
    for notes in segments.iter().filter(|s| s.p_type == PT_NOTE) {
        let mut all = elf.segment_data_as_notes(notes).map_err(broken)?;
        if all.any(|n| matches!(n, Note::Unknown(n) if n.n_type == PVH_NOTE && matches!(n.name_str(), Ok("Xen")))) {
            return Ok(release);
        }
    }
    Err("is a vmlinux without a PVH note, which QEMU cannot start; build it with CONFIG_PVH=y or name its bzImage"
        .into())
}

/// Returns the release in `Linux version 6.1.192 (...`.
fn banner(data: &[u8]) -> Option<String> {
    const START: &[u8] = b"Linux version ";
    let mut found = data.windows(START.len()).enumerate().filter(|(_, w)| *w == START);
    found.find_map(|(at, _)| {
        let word = data[at + START.len()..].split(|&b| b == b' ').next()?;
        let release = std::str::from_utf8(word).ok()?;
        release.starts_with(|c: char| c.is_ascii_digit()).then(|| release.to_owned())
    })
}

/// Returns the release of a bzImage by its boot protocol header, or why it cannot be booted.
fn bzimage_release(head: &[u8], mut file: impl Read + Seek) -> std::result::Result<String, String> {
    let u16_at = |at: usize| head.get(at..at + 2).map_or(0, |b| u16::from_le_bytes([b[0], b[1]]));
    if u16_at(0x1fe) != 0xaa55 || head.get(0x202..0x206) != Some(b"HdrS") {
        return Err("is no kernel: neither an uncompressed vmlinux nor a bzImage".into());
    }
    // Bit 0 of xloadflags: the kernel has a 64-bit entry point.
    if u16_at(0x206) < 0x020c || u16_at(0x236) & 1 == 0 {
        return Err("is a bzImage, but not for x86-64".into());
    }
    let mut text = [0; 256];
    let at = u64::from(u16_at(0x20e)) + 0x200;
    let length =
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read(&mut text)).map_err(|e| format!("ends early: {e}"))?;
    let text = text[..length].split(|&b| b == 0 || b == b' ').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

/// Returns the SHA-256 of a file, in hexadecimal.
pub fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).machine(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).machine(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&hasher.finalize()))
}

/// Returns the bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::error::Exit;
    use std::fs;

    fn look_at(content: &[u8]) -> Result<Kind> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        kind(file.path())
    }

    fn refused(content: &[u8]) -> String {
        let error = look_at(content).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        error.to_string()
    }

    /// Makes the header of a bzImage, as Documentation/x86/boot.rst has it.
    pub fn bzimage(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x300];
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x0080_u16.to_le_bytes());
        image[0x236] = 1;
        image[0x280..0x280 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    /// Makes an x86-64 ELF file with one loaded segment and one of notes.
    fn vmlinux(data: &[u8], note_name: &[u8; 4], note_type: u32) -> Vec<u8> {
        let mut notes = Vec::new();
        for word in [4_u32, 4, note_type] {
            notes.extend(word.to_le_bytes());
        }
        notes.extend(note_name);
        notes.extend([0; 4]);
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        for half in [2_u16, EM_X86_64] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1_u32.to_le_bytes());
        for word in [0_u64, 64, 0] {
            file.extend(word.to_le_bytes());
        }
        file.extend(0_u32.to_le_bytes());
        for half in [64_u16, 56, 2, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let start = 64 + 2 * 56;
        for (kind, at, length) in [(PT_LOAD, start, data.len()), (PT_NOTE, start + data.len(), notes.len())] {
            file.extend(kind.to_le_bytes());
            file.extend(4_u32.to_le_bytes());
            for word in [at as u64, 0, 0, length as u64, length as u64, 4] {
                file.extend(word.to_le_bytes());
            }
        }
        [file, data.to_vec(), notes].concat()
    }

    const BANNER: &[u8] = b"junk Linux version %s Linux version 6.1.192 (gcc) ";

    #[test]
    fn vmlinux_with_a_pvh_note_is_an_image() {
        let kind = look_at(&vmlinux(BANNER, b"Xen\0", 0x12)).unwrap();
        assert_eq!(kind, Kind::Image { release: "6.1.192".into() });
    }

    #[test]
    fn vmlinux_that_qemu_cannot_start_says_how_to_get_one() {
        for file in [vmlinux(BANNER, b"GNU\0", 0x12), vmlinux(BANNER, b"Xen\0", 0x11)] {
            assert!(refused(&file).contains("CONFIG_PVH=y"), "{}", refused(&file));
        }
    }

    #[test]
    fn bzimage_tells_its_release() {
        let kind = look_at(&bzimage("6.1.0-18-amd64 (debian-kernel) #1")).unwrap();
        assert_eq!(kind, Kind::Image { release: "6.1.0-18-amd64".into() });
        let mut old = bzimage("2.4.0");
        old[0x236] = 0;
        assert!(refused(&old).contains("not for x86-64"));
    }

    #[test]
    fn file_that_is_no_kernel_is_named() {
        assert!(refused(b"").contains("is no kernel"));
        assert!(refused(b"#!/bin/sh\n").contains("is no kernel"));
        assert!(refused(&vmlinux(b"no banner", b"Xen\0", 0x12)).contains("is an ELF file, but no kernel"));
        assert!(refused(b"\x7fELF").contains("damaged ELF file"), "{}", refused(b"\x7fELF"));
        let shell = kind(Path::new("/bin/sh")).unwrap_err().to_string();
        assert!(shell.contains("no kernel"), "{shell}");
        let directory = kind(Path::new("/")).unwrap_err();
        assert!(directory.to_string().contains("not one with the sources"), "{directory}");
    }

    #[test]
    fn release_that_leads_elsewhere_is_refused() {
        let long = "6".repeat(65);
        for release in ["/tmp", "../..", "..", "6.1/../../tmp", "6.1\n", "6.1\u{1b}[2J", &long, ""] {
            let said = refused(&bzimage(release));
            assert!(said.ends_with("tells a release that no kernel has"), "{release:?}: {said}");
        }
        let banner = b"Linux version 6.1/../../../tmp (gcc) ";
        assert!(refused(&vmlinux(banner, b"Xen\0", 0x12)).contains("tells a release that no kernel has"));
    }

    #[test]
    fn packages_are_known_by_their_first_bytes() {
        assert_eq!(look_at(b"!<arch>\ndebian-binary   1").unwrap(), Kind::Package);
        assert_eq!(look_at(b"\xed\xab\xee\xdb\x03\0").unwrap(), Kind::Package);
        for archive in [&b"\x1f\x8b\x08"[..], b"\x28\xb5\x2f\xfd\0", b"\xfd7zXZ\0\0", b"BZh9", b"\x50\x2a\x4d\x18\x04"]
        {
            assert_eq!(look_at(archive).unwrap(), Kind::Package, "{archive:?}");
        }
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(look_at(&tar).unwrap(), Kind::Package);
    }

    #[test]
    fn digest_of_abc_is_that_of_the_standard() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), abc);
    }
}
