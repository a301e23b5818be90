//! How an entry differs from what is expected of it, in words.

use super::changes::{Other, Presence};
use crate::workload::listing::entry::Dirent;
use nfs_fault_server::dirtree::tree::Kind;
use nix::errno::Errno;

/// Returns what is wrong with an entry, as it goes on after its name; `again` if it was shown before.
pub fn difference(record: &Dirent, expected: Other, again: bool) -> Option<String> {
    match expected.presence {
        Presence::Never => return Some(", which was removed before".into()),
        Presence::Always | Presence::AtMostOnce if again => return Some(" a second time".into()),
        _ => {}
    }
    let shown = unlike(record.d_type, record.inode, expected);
    match record.stat {
        _ if shown.is_some() => shown,
        None => None,
        Some(Ok(found)) => unlike(found.d_type, found.inode, expected).map(|what| format!("{what} according to stat")),
        // It may be gone between the two.
        Some(Err(Errno::ENOENT | Errno::ESTALE)) if expected.presence != Presence::Always => None,
        Some(Err(errno)) => Some(format!(", but stat of it failed with {errno}")),
    }
}

fn unlike(found: u8, found_inode: u64, expected: Other) -> Option<String> {
    if !same_type(found, expected.kind) {
        return Some(format!(" as {} instead of {}", type_name(found), type_name(d_type(expected.kind))));
    }
    let inode = expected.inode.filter(|inode| *inode != found_inode)?;
    Some(format!(" with inode number {found_inode} instead of {inode}"))
}

/// Returns whether an entry of this kind may have this d_type. A file system need not say: NFS without READDIRPLUS does not.
pub fn same_type(shown: u8, kind: Kind) -> bool {
    shown == d_type(kind) || shown == libc::DT_UNKNOWN
}

fn d_type(kind: Kind) -> u8 {
    match kind {
        Kind::File | Kind::HardLink(_) => libc::DT_REG,
        Kind::Directory(_) | Kind::EmptyDirectory => libc::DT_DIR,
        Kind::Symlink => libc::DT_LNK,
    }
}

fn type_name(d_type: u8) -> String {
    match d_type {
        libc::DT_REG => "a file".into(),
        libc::DT_DIR => "a directory".into(),
        libc::DT_LNK => "a symbolic link".into(),
        other => format!("something of d_type {other}"),
    }
}
