//! The procedures of the MOUNT program (RFC 1813, appendix I): one path, `/`, is exported to everybody.

use super::nfs3::Answered;
use super::procedure::Procedure;
use super::xdr::{Reader, put};
use super::{file_handle, file_table};
use nfs3_types::mount::{dirpath, fhandle3, mountres3, mountres3_ok, mountstat3};
use nfs3_types::rpc::{accept_stat_data, auth_flavor};
use nfs3_types::xdr_codec::Opaque;

const PATH: &[u8] = b"/";

/// Answers a call of the MOUNT program.
pub fn mount(procedure: Procedure, arguments: &[u8], reply: &mut Vec<u8>) -> Answered {
    match procedure {
        Procedure::Null | Procedure::Umnt | Procedure::Umntall => {}
        Procedure::Mnt => {
            let path = Reader(arguments).opaque().ok_or(accept_stat_data::GARBAGE_ARGS)?;
            put(&mnt(path), reply);
        }
        // Nobody is remembered.
        Procedure::Dump => put(&false, reply),
        Procedure::Export => {
            put(&true, reply);
            put(&dirpath(Opaque::borrowed(PATH)), reply);
            // No groups that it would be restricted to, and no further export.
            put(&false, reply);
            put(&false, reply);
        }
        _ => return Err(accept_stat_data::PROC_UNAVAIL),
    }
    Ok(None)
}

fn mnt(path: &[u8]) -> mountres3<'static> {
    if path != PATH {
        return mountres3::Err(mountstat3::MNT3ERR_NOENT);
    }
    mountres3::Ok(mountres3_ok {
        fhandle: fhandle3(file_handle::from_fileid(file_table::ROOT).data),
        auth_flavors: vec![auth_flavor::AUTH_UNIX as u32],
    })
}
