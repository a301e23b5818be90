//! The evidence for a bug mail in one file: a gzipped tar.
//!
//! It names the directory, the mount and its server, but no file in the directory, and none is ever read.

use super::mount::Mount;
use crate::error::{Context, Result};
use crate::os::output_file::OutputFile;
use crate::result::file::ResultFile;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};
use tar::{Builder, Header};

/// The directory that it unpacks to.
const ROOT: &str = "dirleak-evidence";
/// Of the kernel: name in the bundle, and where it is read.
const FROM_PROC: [(&str, &str); 4] = [
    ("kernel-version", "/proc/version"),
    ("kernel-command-line", "/proc/cmdline"),
    ("slabinfo", "/proc/slabinfo"),
    ("meminfo", "/proc/meminfo"),
];

/// What is in it, for those who read it before they send it.
const README: &str = "\
What dirleak found on this machine, for a bug report.

result.json          the record: every reading, rates and bounds, call sites
report.txt           the same as text
mountstats           what the kernel counts of the NFS mount: server, options, calls
slabinfo, meminfo    memory of the whole machine, by cache, when it was packed
kernel-version
kernel-command-line

It has the paths of the directory and of the mount, the name of the server, and the kernel's command line. It has no name of a file in the
directory, and no content of any file.
";

/// Packs it and puts it in its place whole.
pub fn write(target: &OutputFile, file: &ResultFile, report: &str, mount: &Mount) -> Result<()> {
    let result = serde_json::to_vec_pretty(file).machine(|| "a bug of dirleak: the result is no JSON".into())?;
    let mut parts = vec![
        ("README", README.as_bytes().to_vec()),
        ("result.json", result),
        ("report.txt", report.as_bytes().to_vec()),
        ("mountstats", crate::probe::mountstats::MountStats::own()?.section(mount.path())?.into_bytes()),
    ];
    // A kernel that lacks one of them is told by its absence.
    parts.extend(FROM_PROC.iter().filter_map(|(name, path)| Some((*name, fs::read(path).ok()?))));
    target.write_bytes(&pack(&parts).machine(|| "cannot pack the bundle".into())?)
}

fn pack(parts: &[(&str, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in parts {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("{ROOT}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tar_unpacks_what_was_packed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.tar.gz");
        let large = vec![b'x'; 100_000];
        fs::write(&path, pack(&[("README", b"text\n".to_vec()), ("slabinfo", large.clone())]).unwrap()).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 5000, "it is not compressed");
        let unpacked = Command::new("tar").arg("-xzf").arg(&path).current_dir(dir.path()).status().unwrap();
        assert!(unpacked.success());
        assert_eq!(fs::read(dir.path().join(ROOT).join("README")).unwrap(), b"text\n");
        assert_eq!(fs::read(dir.path().join(ROOT).join("slabinfo")).unwrap(), large);
    }

    #[test]
    fn bundle_has_the_result_the_report_and_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bundle.tar.gz");
        let mut file = ResultFile::new();
        file.results.push(crate::result::example::leak());
        let mount = Mount { point: "/mnt".into(), source: "server:/export".into(), options: "rw".into() };
        write(&OutputFile::check(&path).unwrap(), &file, "it leaks\n", &mount).unwrap();
        assert!(Command::new("tar").arg("-xzf").arg(&path).current_dir(dir.path()).status().unwrap().success());
        let root = dir.path().join(ROOT);
        assert_eq!(crate::result::read::read(&root.join("result.json")).unwrap(), file);
        assert_eq!(fs::read_to_string(root.join("report.txt")).unwrap(), "it leaks\n");
        for name in ["README", "mountstats", "meminfo", "kernel-version"] {
            assert!(root.join(name).exists(), "{name}");
        }
    }
}
