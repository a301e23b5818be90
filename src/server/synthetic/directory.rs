//! The one directory that is served: its attributes, its entries, and the file handles that stand for them.

use crate::scenario::Nfs3Error;
use crate::workload::names::NameMaker;
use nfs3_types::nfs3::{fattr3, ftype3, nfs_fh3, nfsstat3, nfstime3, specdata3};
use nfs3_types::xdr_codec::Opaque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// File id of the directory itself; entry n has this plus 1 plus n.
const ROOT_ID: u64 = 1;
/// The file system's id; any number will do, but it must stay the same.
const FSID: u64 = 0x6469_726c_6561_6b00;

/// A flat directory of empty files.
pub struct Directory {
    names: NameMaker,
    entries: u64,
    changes: AtomicU32,
    /// With what the next READDIR is to fail.
    failure: Mutex<Option<nfsstat3>>,
    /// Whether the next READDIR is the first to show a newer change time.
    touch_in_reply: AtomicBool,
    /// Whether the next READDIRPLUS is to show no file handles.
    hide_handles: AtomicBool,
    /// Cookie of the entry that was removed; 0 while none is.
    removed: AtomicU64,
}

/// One entry as READDIR shows it. The cookie of the last entry is the number of entries, `.` and `..` included.
pub struct Entry {
    pub fileid: u64,
    pub cookie: u64,
}

impl Directory {
    /// A directory of `entries` files with the names of `names`.
    pub fn new(names: NameMaker, entries: u64) -> Self {
        Self {
            names,
            entries,
            changes: AtomicU32::new(1),
            failure: Mutex::new(None),
            touch_in_reply: AtomicBool::new(false),
            hide_handles: AtomicBool::new(false),
            removed: AtomicU64::new(0),
        }
    }

    /// Makes the directory look changed.
    pub fn touch(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The next READDIR or READDIRPLUS is to fail.
    pub fn fail_next(&self, error: Nfs3Error) {
        let status = match error {
            Nfs3Error::Io => nfsstat3::NFS3ERR_IO,
            Nfs3Error::Acces => nfsstat3::NFS3ERR_ACCES,
            Nfs3Error::Stale => nfsstat3::NFS3ERR_STALE,
            Nfs3Error::BadCookie => nfsstat3::NFS3ERR_BAD_COOKIE,
            Nfs3Error::Jukebox => nfsstat3::NFS3ERR_JUKEBOX,
            Nfs3Error::Serverfault => nfsstat3::NFS3ERR_SERVERFAULT,
            Nfs3Error::Toosmall => nfsstat3::NFS3ERR_TOOSMALL,
        };
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// With what this READDIR is to fail, if it is; the one after it is not.
    pub fn failure(&self) -> Option<nfsstat3> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The next READDIR or READDIRPLUS is to be the first reply that shows a newer change time.
    pub fn touch_in_reply(&self) {
        self.touch_in_reply.store(true, Ordering::Relaxed);
    }

    /// A READDIR or READDIRPLUS begins: the time to change what it is the first to show.
    pub fn readdir_begins(&self) {
        if self.touch_in_reply.swap(false, Ordering::Relaxed) {
            self.touch();
        }
    }

    /// The next READDIRPLUS is to show no file handles.
    pub fn hide_handles(&self) {
        self.hide_handles.store(true, Ordering::Relaxed);
    }

    /// Whether this READDIRPLUS is to show file handles.
    pub fn shows_handles(&self) -> bool {
        !self.hide_handles.swap(false, Ordering::Relaxed)
    }

    /// Removes the entry whose cookie this is, in place of the one that was removed before.
    pub fn remove(&self, cookie: u64) {
        self.removed.store(cookie, Ordering::Relaxed);
        self.touch();
    }

    /// Makes the removed entry again, with the cookie that it had.
    pub fn restore(&self) {
        self.remove(0);
    }

    /// The entry after `cookie`, its name written to `name`; `None` at the end.
    pub fn entry_after(&self, cookie: u64, name: &mut Vec<u8>) -> Option<Entry> {
        let removed = self.removed.load(Ordering::Relaxed);
        let next = if removed == cookie + 1 { removed } else { cookie };
        self.any_entry_after(next, name)
    }

    /// The same, whether it was removed or not.
    fn any_entry_after(&self, cookie: u64, name: &mut Vec<u8>) -> Option<Entry> {
        name.clear();
        let fileid = match cookie {
            0 => {
                name.push(b'.');
                ROOT_ID
            }
            1 => {
                name.extend_from_slice(b"..");
                ROOT_ID
            }
            n if n - 2 < self.entries => {
                self.names.write(n - 2, name);
                ROOT_ID + 1 + (n - 2)
            }
            _ => return None,
        };
        Some(Entry { fileid, cookie: cookie + 1 })
    }

    /// Attributes of the file with this id; `None` if there is none.
    pub fn attributes(&self, fileid: u64) -> Option<fattr3> {
        let is_root = fileid == ROOT_ID;
        if fileid < ROOT_ID || fileid > ROOT_ID + self.entries {
            return None;
        }
        let changed = if is_root { self.changes.load(Ordering::Relaxed) } else { 1 };
        let time = nfstime3 { seconds: 1_000_000_000 + changed, nseconds: 0 };
        Some(fattr3 {
            type_: if is_root { ftype3::NF3DIR } else { ftype3::NF3REG },
            mode: if is_root { 0o755 } else { 0o644 },
            nlink: if is_root { 2 } else { 1 },
            uid: 0,
            gid: 0,
            size: if is_root { 4096 } else { 0 },
            used: 0,
            rdev: specdata3 { specdata1: 0, specdata2: 0 },
            fsid: FSID,
            fileid,
            atime: time,
            mtime: time,
            ctime: time,
        })
    }

    /// The file handle of a file id.
    pub fn handle(fileid: u64) -> nfs_fh3 {
        let mut bytes = FSID.to_be_bytes().to_vec();
        bytes.extend_from_slice(&fileid.to_be_bytes());
        nfs_fh3 { data: Opaque::owned(bytes) }
    }

    /// The file handle of the directory.
    pub fn root_handle() -> nfs_fh3 {
        Self::handle(ROOT_ID)
    }

    /// The file id in a handle of ours.
    pub fn fileid(handle: &nfs_fh3) -> Option<u64> {
        let bytes: &[u8; 16] = handle.data.as_ref().try_into().ok()?;
        let (fsid, fileid) = bytes.split_at(8);
        (fsid == FSID.to_be_bytes()).then(|| u64::from_be_bytes(fileid.try_into().expect("8 of 16 bytes")))
    }

    /// Whether the id is the directory's.
    pub fn is_root(fileid: u64) -> bool {
        fileid == ROOT_ID
    }
}
