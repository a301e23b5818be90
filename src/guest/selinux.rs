//! Security labels: SELinux with a policy of ours, and the proof that labels come over the mount.

use super::nfs_mount;
use super::selinux_policy::{self, TMPFS_LABEL};
use crate::dirtree::tree::Tree;
use crate::error::{Error, Result};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount as mount_file_system};
use std::ffi::{CString, OsStr};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where the kernel makes a directory for it if SELinux runs.
const SELINUX: &str = "/sys/fs/selinux";
/// The extended attribute that shows a label.
const ATTRIBUTE: &std::ffi::CStr = c"security.selinux";
/// More than a label over NFS may have (`NFS4_MAXLABELLEN`).
const LONGEST_LABEL: usize = 4096;

/// Has SELinux label files from now on: without a policy it labels none, and a mount made then never asks for labels.
pub fn load_policy() -> Result<()> {
    mount_file_system(Some("selinuxfs"), SELINUX, Some("selinuxfs"), MsFlags::empty(), None::<&str>).map_err(|e| {
        Error::kernel(format!(
            "this kernel labels no files: cannot mount selinuxfs on {SELINUX} ({e}); it lacks CONFIG_SECURITY_SELINUX, or its \
             command line chooses another security module"
        ))
    })?;
    // The kernel takes what one write brings for the whole policy.
    let policy = selinux_policy::binary();
    let written = OpenOptions::new().write(true).open(format!("{SELINUX}/load")).and_then(|mut f| f.write(&policy));
    match written {
        Ok(length) if length == policy.len() => Ok(()),
        Ok(length) => Err(Error::kernel(format!("SELinux took {length} of {} bytes of the policy", policy.len()))),
        Err(e) => Err(Error::kernel(format!("SELinux does not take the policy: {e}"))),
    }
}

/// Fails unless the first entry has the label of the server's file on the mount, too. SELinux gives the client's files
/// another if none comes with them, so this one can only have come over the wire.
pub fn check_labels(export: &Path, tree: &Tree) -> Result<()> {
    let node = tree.node_of(0).min(tree.nodes().len() - 1);
    let mut name = Vec::new();
    tree.path(node, &mut name);
    if !name.is_empty() {
        name.push(b'/');
    }
    tree.entry(node, 0, &mut name);
    for (whose, directory) in [("server", export), ("client", Path::new(nfs_mount::POINT))] {
        let found = match label(&directory.join(OsStr::from_bytes(&name))) {
            Ok(label) if label == TMPFS_LABEL => continue,
            Ok(label) => format!("the label {label}"),
            Err(e) => format!("no label that can be read ({e})"),
        };
        let sentence =
            format!("the listings are without security labels: a file has {found} on the {whose}, not {TMPFS_LABEL}");
        return Err(Error::kernel(sentence));
    }
    Ok(())
}

fn label(path: &Path) -> io::Result<String> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut label = vec![0_u8; LONGEST_LABEL];
    // SAFETY: both strings end with a NUL, and the buffer is as long as is said.
    let length = unsafe { libc::lgetxattr(path.as_ptr(), ATTRIBUTE.as_ptr(), label.as_mut_ptr().cast(), label.len()) };
    label.truncate(Errno::result(length)? as usize);
    Ok(String::from_utf8_lossy(&label).trim_end_matches('\0').to_owned())
}
