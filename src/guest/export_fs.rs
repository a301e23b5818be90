//! The file system that knfsd exports: a tmpfs, or another one in a file of a tmpfs.

use super::init;
use crate::error::{Context, Error, Result};
use crate::protocol::guest_paths::MKFS;
use crate::scenario::{FileSystem, Scenario};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

const TARGET: &str = "/export";
/// The file that holds it, and the loop device that makes a disk of the file.
const IMAGE: &str = "/run/export.image";
const DEVICE: &str = "/dev/loop0";
/// LOOP_MAJOR and LOOP_SET_FD of linux/major.h and linux/loop.h.
const LOOP_MAJOR: u64 = 7;
const LOOP_SET_FD: libc::c_ulong = 0x4C00;
/// xfs wants 300 MiB and btrfs 109 at least; what is not written to takes no memory.
const SMALLEST_BYTES: u64 = 512 << 20;
/// An entry's inode (256 bytes on ext4) and what names it, with as much to spare.
const BYTES_AN_ENTRY: u64 = 2048;

/// Mounts the scenario's file system where knfsd will export it.
pub fn make(scenario: &Scenario) -> Result<()> {
    let kind = scenario.export.file_system;
    if kind == FileSystem::Tmpfs {
        return Ok(());
    }
    init::require_file_system(
        kind.as_str(),
        "its option; kernels that dirleak builds get ext4 with --config vm/file-systems.config",
    )?;
    let entries = scenario.directory.entries + scenario.directory.shape.directories();
    let image = File::options().read(true).write(true).create_new(true).open(IMAGE).machine(cannot)?;
    image.set_len(SMALLEST_BYTES + entries * BYTES_AN_ENTRY).machine(cannot)?;
    make_file_system(kind, entries)?;
    attach(&image)?;
    mount(Some(DEVICE), TARGET, Some(kind.as_str()), MsFlags::empty(), None::<&str>)
        .map_err(|e| Error::kernel(format!("cannot mount {} on {TARGET}: {e}", kind.as_str())))?;
    // mkfs.ext4 makes it, and nobody asked for it.
    match std::fs::remove_dir(Path::new(TARGET).join("lost+found")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).machine(cannot),
        _ => Ok(()),
    }
}

fn cannot() -> String {
    format!("cannot make a file system in {IMAGE}")
}

fn make_file_system(kind: FileSystem, entries: u64) -> Result<()> {
    let mut command = Command::new(MKFS);
    match kind {
        // As many inodes as there are entries; they are not written before they are used.
        FileSystem::Ext4 => command.args(["-q", "-F", "-N", &(entries + 1000).to_string()]),
        FileSystem::Btrfs => command.arg("-q"),
        FileSystem::Xfs | FileSystem::Tmpfs => command.arg("-q"),
    };
    let output = command.arg(IMAGE).stdin(Stdio::null()).output().machine(cannot)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::machine(format!("{}: {}", cannot(), said.split_whitespace().collect::<Vec<_>>().join(" "))))
}

fn attach(image: &File) -> Result<()> {
    match mknod(DEVICE, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, makedev(LOOP_MAJOR, 0)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e).machine(|| format!("cannot make {DEVICE}")),
    }
    let lacks = |e: &dyn std::fmt::Display| {
        Error::kernel(format!("this kernel has no loop device ({e}): it lacks CONFIG_BLK_DEV_LOOP"))
    };
    let device = File::options().read(true).write(true).open(DEVICE).map_err(|e| lacks(&e))?;
    // SAFETY: the ioctl takes a file descriptor and writes nothing of ours.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_SET_FD as _, image.as_raw_fd()) };
    Errno::result(result).map_err(|e| lacks(&e)).map(drop)
}
