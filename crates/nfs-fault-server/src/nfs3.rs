//! The procedures of NFS version 3 (RFC 1813, section 3.3) that a client calls to look at files and list directories.

use super::export::Export;
use super::fault::OldVerifiers;
use super::file_handle;
use super::file_table::{Files, SYMLINK_TARGET};
use super::object::Object;
use super::procedure::Procedure;
use super::readdir::{self, LARGEST_REPLY_BYTES, ReaddirArgs, ReplyTweaks, Shown};
use super::xdr::{Reader, put};
use nfs3_types::nfs3::{
    ACCESS3_EXECUTE, ACCESS3_LOOKUP, ACCESS3_READ, ACCESS3resfail, ACCESS3resok, FSF3_HOMOGENEOUS, FSF3_LINK,
    FSF3_SYMLINK, FSINFO3resfail, FSINFO3resok, FSSTAT3resfail, FSSTAT3resok, GETATTR3resok, LOOKUP3res,
    LOOKUP3resfail, LOOKUP3resok, Nfs3Option, Nfs3Result, PATHCONF3resfail, PATHCONF3resok, READDIR3resfail,
    READLINK3resfail, READLINK3resok, fattr3, nfspath3, nfsstat3, nfstime3,
};
use nfs3_types::rpc::accept_stat_data;
use nfs3_types::xdr_codec::{Opaque, Pack, Void};

/// What the reply showed of a directory, or a refusal of the call as such; a file that does not exist is an answer, not a
/// refusal.
pub type Answered = Result<Option<Shown>, accept_stat_data>;

/// Longest name of a file.
const NAME_MAX: u32 = 255;

/// Answers a call of the NFS program.
pub fn nfs(
    procedure: Procedure,
    arguments: &[u8],
    export: &Export,
    twist: ReplyTweaks,
    reply: &mut Vec<u8>,
) -> Answered {
    let mut call = Reader(arguments);
    if procedure == Procedure::Null {
        return Ok(None);
    }
    let handle = call.opaque().ok_or(accept_stat_data::GARBAGE_ARGS)?;
    if let Procedure::Readdir | Procedure::Readdirplus = procedure {
        return list(procedure, handle, &mut call, export, twist, reply).ok_or(accept_stat_data::GARBAGE_ARGS);
    }
    let files = export.files();
    match procedure {
        Procedure::Getattr => {
            with_file::<_, Void>(&files, handle, reply, |found| GETATTR3resok { obj_attributes: found })
        }
        Procedure::Access => {
            let asked = call.u32().ok_or(accept_stat_data::GARBAGE_ARGS)?;
            with_file::<_, ACCESS3resfail>(&files, handle, reply, |found| access(found, asked));
        }
        Procedure::Lookup => {
            let name = call.opaque().ok_or(accept_stat_data::GARBAGE_ARGS)?;
            lookup(&files, handle, name, reply);
        }
        Procedure::Readlink => readlink(&files, handle, reply),
        Procedure::Fsstat => with_file::<_, FSSTAT3resfail>(&files, handle, reply, fsstat),
        Procedure::Fsinfo => with_file::<_, FSINFO3resfail>(&files, handle, reply, fsinfo),
        Procedure::Pathconf => with_file::<_, PATHCONF3resfail>(&files, handle, reply, pathconf),
        _ => return Err(accept_stat_data::PROC_UNAVAIL),
    }
    Ok(None)
}

/// Returns the file of a handle.
fn file(files: &Files, handle: &[u8]) -> Option<(u64, Object)> {
    let fileid = file_handle::fileid(handle)?;
    files.object(fileid).map(|object| (fileid, object))
}

/// Answers with what `ok` makes of the file's attributes, or that the handle is stale.
fn with_file<T: Pack, E: Pack + Default>(
    files: &Files,
    handle: &[u8],
    reply: &mut Vec<u8>,
    ok: impl FnOnce(fattr3) -> T,
) {
    let result = match file(files, handle) {
        Some((fileid, object)) => Nfs3Result::Ok(ok(files.attributes(fileid, object))),
        None => Nfs3Result::Err((nfsstat3::NFS3ERR_STALE, E::default())),
    };
    put(&result, reply);
}

fn access(found: fattr3, asked: u32) -> ACCESS3resok {
    let granted = asked & (ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_EXECUTE);
    ACCESS3resok { obj_attributes: Nfs3Option::Some(found), access: granted }
}

fn lookup(files: &Files, handle: &[u8], name: &[u8], reply: &mut Vec<u8>) {
    let fail = |status, dir_attributes| LOOKUP3res::Err((status, LOOKUP3resfail { dir_attributes }));
    let Some((fileid, object)) = file(files, handle) else {
        return put(&fail(nfsstat3::NFS3ERR_STALE, Nfs3Option::None), reply);
    };
    let attributes = |fileid, object| Nfs3Option::Some(files.attributes(fileid, object));
    let dir_attributes = attributes(fileid, object);
    let result = match found(files, (fileid, object), name) {
        Ok((fileid, object)) => LOOKUP3res::Ok(LOOKUP3resok {
            object: file_handle::from_fileid(fileid),
            obj_attributes: attributes(fileid, object),
            dir_attributes,
        }),
        Err(status) => fail(status, dir_attributes),
    };
    put(&result, reply);
}

/// Returns the file with this name in a directory.
fn found(files: &Files, directory: (u64, Object), name: &[u8]) -> Result<(u64, Object), nfsstat3> {
    let (node, parent) = match directory.1 {
        Object::Node(node) => (Some(node), files.node(node).map_or(0, |node| node.parent)),
        Object::EmptyDirectory { parent } => (None, parent),
        _ => return Err(nfsstat3::NFS3ERR_NOTDIR),
    };
    match (name, node) {
        (b".", _) => Ok(directory),
        (b"..", _) => Ok((files.node_id(parent), Object::Node(parent))),
        _ if name.len() > NAME_MAX as usize => Err(nfsstat3::NFS3ERR_NAMETOOLONG),
        (_, None) => Err(nfsstat3::NFS3ERR_NOENT),
        (_, Some(node)) => {
            let place = files.place(node, name).ok_or(nfsstat3::NFS3ERR_NOENT)?;
            Ok(files.entry(node, place, files.overlay(node), &mut Vec::with_capacity(NAME_MAX as usize)))
        }
    }
}

fn readlink(files: &Files, handle: &[u8], reply: &mut Vec<u8>) {
    let result = match file(files, handle) {
        Some((fileid, Object::Symlink)) => Nfs3Result::Ok(READLINK3resok {
            symlink_attributes: Nfs3Option::Some(files.attributes(fileid, Object::Symlink)),
            data: nfspath3(Opaque::borrowed(SYMLINK_TARGET)),
        }),
        Some(_) => Nfs3Result::Err((nfsstat3::NFS3ERR_INVAL, READLINK3resfail::default())),
        None => Nfs3Result::Err((nfsstat3::NFS3ERR_STALE, READLINK3resfail::default())),
    };
    put(&result, reply);
}

fn fsstat(found: fattr3) -> FSSTAT3resok {
    FSSTAT3resok {
        obj_attributes: Nfs3Option::Some(found),
        tbytes: 0,
        fbytes: 0,
        abytes: 0,
        tfiles: 0,
        ffiles: 0,
        afiles: 0,
        invarsec: 0,
    }
}

fn fsinfo(found: fattr3) -> FSINFO3resok {
    FSINFO3resok {
        obj_attributes: Nfs3Option::Some(found),
        rtmax: LARGEST_REPLY_BYTES,
        rtpref: LARGEST_REPLY_BYTES,
        rtmult: 4096,
        wtmax: LARGEST_REPLY_BYTES,
        wtpref: LARGEST_REPLY_BYTES,
        wtmult: 4096,
        dtpref: LARGEST_REPLY_BYTES,
        maxfilesize: u64::MAX >> 1,
        time_delta: nfstime3 { seconds: 1, nseconds: 0 },
        properties: FSF3_HOMOGENEOUS | FSF3_LINK | FSF3_SYMLINK,
    }
}

fn pathconf(found: fattr3) -> PATHCONF3resok {
    PATHCONF3resok {
        obj_attributes: Nfs3Option::Some(found),
        linkmax: u32::MAX,
        name_max: NAME_MAX,
        no_trunc: true,
        chown_restricted: true,
        case_insensitive: false,
        case_preserving: true,
    }
}

/// Answers READDIR and READDIRPLUS. Gives `None` if the arguments are not whole.
fn list(
    procedure: Procedure,
    handle: &[u8],
    call: &mut Reader,
    export: &Export,
    twist: ReplyTweaks,
    reply: &mut Vec<u8>,
) -> Option<Option<Shown>> {
    let plus = procedure == Procedure::Readdirplus;
    let (cookie, asked_with) = (call.u64()?, call.u64()?);
    if plus {
        // Names and cookies alone are to have no more bytes than this; the kernel's client wants all that the whole
        // reply has room for, however small a number it puts here.
        call.u32()?;
    }
    let room = call.u32()? as usize;
    let verifier = export.verifier();
    let result = if cookie > 0 && asked_with != verifier.now && verifier.old == OldVerifiers::Refuse {
        Err(nfsstat3::NFS3ERR_BAD_COOKIE)
    } else {
        let request = ReaddirArgs { fileid: file_handle::fileid(handle).unwrap_or_default(), cookie, room, plus };
        readdir::write(&export.files(), verifier.now, &request, twist, reply)
    };
    Some(match result {
        Ok(shown) => Some(shown),
        Err(status) => {
            // The failures of READDIR and READDIRPLUS look the same.
            put(&Nfs3Result::<Void, _>::Err((status, READDIR3resfail::default())), reply);
            None
        }
    })
}
