//! File handles: the file system's id and the file's, so that they mean the same as long as there is the file.

use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::xdr_codec::Opaque;

/// The file system's id; any number will do, but it must stay the same.
pub const FSID: u64 = 0x6469_726c_6561_6b00;
/// How long a handle is.
pub const BYTES: usize = 16;

/// Returns the bytes of a file's handle.
pub fn bytes(fileid: u64) -> [u8; BYTES] {
    (u128::from(FSID) << 64 | u128::from(fileid)).to_be_bytes()
}

/// Makes a file's handle.
pub fn from_fileid(fileid: u64) -> nfs_fh3 {
    nfs_fh3 { data: Opaque::owned(bytes(fileid).to_vec()) }
}

/// Returns the file id in a handle of ours.
pub fn fileid(handle: &[u8]) -> Option<u64> {
    let both = u128::from_be_bytes(handle.try_into().ok()?);
    ((both >> 64) as u64 == FSID).then_some(both as u64)
}
