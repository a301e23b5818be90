//! Knows how to get the vmlinux out of a bzImage: it boots seconds faster than one that unpacks itself in the guest.

use super::compression::{self, GZIP};
use super::identify::{self, Kind};
use crate::error::{Context, Exit, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// In the directory of an image: what was extracted, or why nothing was.
const VMLINUX: &str = "vmlinux";
const WHY_NOT: &str = "why-not";
/// The SHA-256 of what was extracted: what is no longer that is extracted anew.
const DIGEST: &str = "sha256";
/// No kernel that is booted for this has more.
const MOST_BYTES: u64 = 1 << 30;

/// Returns the form of `image` that boots fastest, made once and then found in the cache: the vmlinux inside it, or `image`
/// itself where it is none that holds one which can be started.
pub fn fastest(image: &Path, sha256: &str, cache: &Cache, ui: &Ui) -> Result<PathBuf> {
    let home = cache.dir("images")?.join(&sha256[..16]);
    if let Some(found) = find(image, &home) {
        return Ok(found);
    }
    let mut head = [0; 4];
    // Too short for a kernel, and for this.
    let _ = fs::File::open(image).and_then(|mut file| file.read_exact(&mut head));
    if head.starts_with(b"\x7fELF") {
        return Ok(image.to_owned());
    }
    let content = compression::read(image, MOST_BYTES)?;
    let _lock = cache.lock("images", ui)?;
    if let Some(found) = find(image, &home) {
        return Ok(found);
    }
    let shown = image.file_name().unwrap_or_default().to_string_lossy();
    let task = ui.task(format!("extracting the vmlinux of {shown}"));
    let why_not = install_atomically(&home, |new| make(&content, new, &image.display().to_string()))?;
    task.done(why_not.as_deref().unwrap_or("done"));
    Ok(find(image, &home).unwrap_or_else(|| image.to_owned()))
}

/// Returns what was found out about `image` before.
fn find(image: &Path, home: &Path) -> Option<PathBuf> {
    let vmlinux = home.join(VMLINUX);
    if let Ok(digest) = fs::read_to_string(home.join(DIGEST)) {
        return identify::sha256(&vmlinux).is_ok_and(|now| now == digest).then_some(vmlinux);
    }
    home.join(WHY_NOT).is_file().then(|| image.to_owned())
}

/// Makes the directory `home`; gives the reason if there is no vmlinux in it.
fn make(content: &[u8], home: &Path, shown: &str) -> Result<Option<String>> {
    let failed = || format!("cannot write {}", home.display());
    fs::create_dir(home).machine(failed)?;
    let vmlinux = home.join(VMLINUX);
    let why_not = match unpacked(content, shown) {
        Ok(Ok(bytes)) => {
            fs::write(&vmlinux, bytes).machine(failed)?;
            match identify::kind(&vmlinux) {
                Ok(Kind::Image { .. }) => {
                    fs::write(home.join(DIGEST), identify::sha256(&vmlinux)?).machine(failed)?;
                    return Ok(None);
                }
                Ok(_) => "booted as it is: what is in it is no kernel".to_owned(),
                Err(_) => "booted as it is: what is in it has no PVH note".to_owned(),
            }
        }
        Ok(Err(why)) => format!("booted as it is: {why}"),
        Err(e) if e.exit() == Exit::CannotJudge => format!("booted as it is: {e}"),
        Err(e) => return Err(e),
    };
    let _ = fs::remove_file(&vmlinux);
    fs::write(home.join(WHY_NOT), &why_not).machine(failed)?;
    Ok(Some(why_not))
}

/// Decompresses the payload, or tells why that cannot be.
fn unpacked(bzimage: &[u8], shown: &str) -> Result<std::result::Result<Vec<u8>, String>> {
    let Some(payload) = payload(bzimage) else { return Ok(Err("it does not tell where its payload is".into())) };
    let Some(program) = compression::program(payload) else {
        return Ok(Err("it is compressed in a way that is not known".into()));
    };
    // But for gzip, whose data ends so by itself, the kernel's makefile appends the length (scripts/Makefile.lib).
    let end = if program == GZIP { payload.len() } else { payload.len().saturating_sub(4) };
    compression::decompress(&payload[..end], program, shown, MOST_BYTES).map(Ok)
}

/// Returns the compressed part, by the header that Documentation/x86/boot.rst describes.
pub(crate) fn payload(bzimage: &[u8]) -> Option<&[u8]> {
    let u32_at = |at: usize| bzimage.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize);
    let version = bzimage.get(0x206..0x208).map(|b| u16::from_le_bytes([b[0], b[1]]))?;
    if bzimage.get(0x202..0x206) != Some(b"HdrS") || version < 0x208 {
        return None;
    }
    let setup_sectors = match *bzimage.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = ((setup_sectors + 1) * 512).checked_add(u32_at(0x248)?)?;
    bzimage.get(start..start.checked_add(u32_at(0x24c)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process;
    use std::io::{Seek, Write};
    use std::process::Command;

    /// Makes a bzImage with one setup sector and this payload 16 bytes into what follows it.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend(payload);
        // A signature may follow.
        image.extend(b"signature");
        image
    }

    fn packed(program: &str) -> Vec<u8> {
        let mut input = tempfile::tempfile().unwrap();
        input.write_all(b"kernel").and_then(|()| input.rewind()).unwrap();
        process::finish(Command::new(program).arg("-c"), input.into()).unwrap().output
    }

    #[test]
    fn payload_is_unpacked_with_and_without_an_appended_length() {
        assert_eq!(unpacked(&bzimage(&packed("gzip")), "x").unwrap().unwrap(), b"kernel");
        let xz = [packed("xz"), 6_u32.to_le_bytes().to_vec()].concat();
        assert_eq!(unpacked(&bzimage(&xz), "x").unwrap().unwrap(), b"kernel");
    }

    #[test]
    fn image_that_cannot_be_extracted_is_booted_as_it_is_and_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let image = dir.path().join("bzImage");
        for (number, content) in [bzimage(b"odd"), bzimage(&packed("gzip")), b"short".to_vec()].iter().enumerate() {
            fs::write(&image, content).unwrap();
            let key = format!("{number:064}").chars().rev().collect::<String>();
            assert_eq!(fastest(&image, &key, &cache, &Ui::new()).unwrap(), image);
            let home = cache.root().join("images").join(&key[..16]);
            assert!(home.join(WHY_NOT).is_file() && !home.join(VMLINUX).exists());
            fs::remove_file(&image).unwrap();
            assert_eq!(fastest(&image, &key, &cache, &Ui::new()).unwrap(), image);
        }
    }

    #[test]
    fn vmlinux_is_left_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let image = dir.path().join("vmlinux");
        fs::write(&image, b"\x7fELF").unwrap();
        assert_eq!(fastest(&image, &"0".repeat(64), &cache, &Ui::new()).unwrap(), image);
    }
}
