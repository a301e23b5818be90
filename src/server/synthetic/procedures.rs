//! The procedures of MOUNT and NFS version 3 that the kernel's client calls to mount and list a directory.

use super::directory::Directory;
use nfs3_types::mount::{dirpath, fhandle3, mountres3, mountres3_ok, mountstat3};
use nfs3_types::nfs3::{
    ACCESS3_EXECUTE, ACCESS3_LOOKUP, ACCESS3_READ, ACCESS3args, ACCESS3resfail, ACCESS3resok, FSF3_HOMOGENEOUS,
    FSINFO3args, FSINFO3resfail, FSINFO3resok, FSSTAT3args, FSSTAT3resfail, FSSTAT3resok, GETATTR3args, GETATTR3resok,
    Nfs3Option, Nfs3Result, PATHCONF3args, PATHCONF3resfail, PATHCONF3resok, READDIR3args, READDIR3resfail,
    READDIRPLUS3args, READDIRPLUS3resfail, cookieverf3, entry3, entryplus3, fattr3, filename3, nfs_fh3, nfsstat3,
    nfstime3,
};
use nfs3_types::rpc::{accept_stat_data, auth_flavor};
use nfs3_types::xdr_codec::{Opaque, Pack, Unpack, Void};
use std::io::Cursor;

/// A refusal of the call as such; a file that does not exist is an answer, not a refusal.
type Answered = Result<(), accept_stat_data>;

/// The largest reply, and the one we prefer; the client takes the smaller of this and its rsize.
const LARGEST_REPLY_BYTES: u32 = 1 << 20;
/// In front of a READDIR reply's entries: status, attributes, verifier; behind them: two booleans.
const READDIR_FRAME_BYTES: usize = 4 + 4 + 84 + 8 + 8;
/// Our cookies never change their meaning.
const VERIFIER: cookieverf3 = cookieverf3([0, 0, 0, 0, 0, 0, 0, 1]);

/// The MOUNT program.
pub fn mount(procedure: u32, arguments: &mut Cursor<&[u8]>, reply: &mut Vec<u8>) -> Answered {
    match procedure {
        // NULL, UMNT and UMNTALL have empty results.
        0 | 3 | 4 => Ok(()),
        1 if unpack::<dirpath>(arguments)?.0.as_ref() != b"/" => {
            pack(&mountres3::Err(mountstat3::MNT3ERR_NOENT), reply)
        }
        1 => pack(
            &mountres3::Ok(mountres3_ok {
                fhandle: fhandle3(Directory::root_handle().data),
                auth_flavors: vec![auth_flavor::AUTH_UNIX as u32],
            }),
            reply,
        ),
        _ => Err(accept_stat_data::PROC_UNAVAIL),
    }
}

/// The NFS program.
pub fn nfs(procedure: u32, arguments: &mut Cursor<&[u8]>, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    match procedure {
        0 => Ok(()),
        1 => getattr(&unpack(arguments)?, directory, reply),
        4 => access(&unpack(arguments)?, directory, reply),
        16 => readdir(&unpack(arguments)?, directory, reply),
        17 => readdirplus(&unpack(arguments)?, directory, reply),
        18 => fsstat(&unpack(arguments)?, directory, reply),
        19 => fsinfo(&unpack(arguments)?, directory, reply),
        20 => pathconf(&unpack(arguments)?, directory, reply),
        _ => Err(accept_stat_data::PROC_UNAVAIL),
    }
}

fn unpack<T: Unpack>(arguments: &mut Cursor<&[u8]>) -> Result<T, accept_stat_data> {
    T::unpack(arguments).map(|(value, _)| value).map_err(|_| accept_stat_data::GARBAGE_ARGS)
}

fn pack(value: &impl Pack, reply: &mut Vec<u8>) -> Answered {
    value.pack(reply).map(|_| ()).map_err(|_| accept_stat_data::SYSTEM_ERR)
}

fn attributes(handle: &nfs_fh3, directory: &Directory) -> Option<fattr3> {
    directory.attributes(Directory::fileid(handle)?)
}

/// Answers with what `ok` makes of the file's attributes, or that the handle is stale.
fn with_file<T: Pack, E: Pack + Default>(
    handle: &nfs_fh3,
    directory: &Directory,
    reply: &mut Vec<u8>,
    ok: impl FnOnce(fattr3) -> T,
) -> Answered {
    let result = match attributes(handle, directory) {
        Some(found) => Nfs3Result::Ok(ok(found)),
        None => Nfs3Result::Err((nfsstat3::NFS3ERR_STALE, E::default())),
    };
    pack(&result, reply)
}

fn getattr(args: &GETATTR3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    with_file::<_, Void>(&args.object, directory, reply, |obj_attributes| GETATTR3resok { obj_attributes })
}

fn access(args: &ACCESS3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    let granted = args.access & (ACCESS3_READ | ACCESS3_LOOKUP | ACCESS3_EXECUTE);
    with_file::<_, ACCESS3resfail>(&args.object, directory, reply, |found| ACCESS3resok {
        obj_attributes: Nfs3Option::Some(found),
        access: granted,
    })
}

fn fsstat(args: &FSSTAT3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    with_file::<_, FSSTAT3resfail>(&args.fsroot, directory, reply, |found| FSSTAT3resok {
        obj_attributes: Nfs3Option::Some(found),
        tbytes: 0,
        fbytes: 0,
        abytes: 0,
        tfiles: 0,
        ffiles: 0,
        afiles: 0,
        invarsec: 0,
    })
}

fn fsinfo(args: &FSINFO3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    with_file::<_, FSINFO3resfail>(&args.fsroot, directory, reply, |found| FSINFO3resok {
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
        properties: FSF3_HOMOGENEOUS,
    })
}

fn pathconf(args: &PATHCONF3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    with_file::<_, PATHCONF3resfail>(&args.object, directory, reply, |found| PATHCONF3resok {
        obj_attributes: Nfs3Option::Some(found),
        linkmax: 32000,
        name_max: 255,
        no_trunc: true,
        chown_restricted: true,
        case_insensitive: false,
        case_preserving: true,
    })
}

fn readdir(args: &READDIR3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    directory.readdir_begins();
    let Some(found) = directory_attributes(&args.dir, directory) else {
        return pack(&not_a_directory(&args.dir, directory, READDIR3resfail::default()), reply);
    };
    if let Some(status) = directory.failure() {
        return pack(&Nfs3Result::<Void, _>::Err((status, READDIR3resfail::default())), reply);
    }
    let room = args.count as usize;
    entries(found, args.cookie, room, directory, reply, READDIR3resfail::default(), |entry, name, out| {
        entry3 { fileid: entry.fileid, name: filename3(Opaque::borrowed(name)), cookie: entry.cookie }
            .pack(out)
            .map(|_| ())
    })
}

fn readdirplus(args: &READDIRPLUS3args, directory: &Directory, reply: &mut Vec<u8>) -> Answered {
    directory.readdir_begins();
    let Some(found) = directory_attributes(&args.dir, directory) else {
        return pack(&not_a_directory(&args.dir, directory, READDIRPLUS3resfail::default()), reply);
    };
    if let Some(status) = directory.failure() {
        return pack(&Nfs3Result::<Void, _>::Err((status, READDIRPLUS3resfail::default())), reply);
    }
    // dircount limits names and cookies alone; the kernel's client sets it so that maxcount decides.
    let room = args.maxcount as usize;
    let handles = directory.shows_handles();
    entries(found, args.cookie, room, directory, reply, READDIRPLUS3resfail::default(), |entry, name, out| {
        entryplus3 {
            fileid: entry.fileid,
            name: filename3(Opaque::borrowed(name)),
            cookie: entry.cookie,
            name_attributes: directory.attributes(entry.fileid).map_or(Nfs3Option::None, Nfs3Option::Some),
            name_handle: handles.then(|| Directory::handle(entry.fileid)).map_or(Nfs3Option::None, Nfs3Option::Some),
        }
        .pack(out)
        .map(|_| ())
    })
}

fn directory_attributes(handle: &nfs_fh3, directory: &Directory) -> Option<fattr3> {
    let fileid = Directory::fileid(handle)?;
    if Directory::is_root(fileid) { directory.attributes(fileid) } else { None }
}

fn not_a_directory<E: Pack>(handle: &nfs_fh3, directory: &Directory, fail: E) -> Nfs3Result<Void, E> {
    match attributes(handle, directory) {
        Some(_) => Nfs3Result::Err((nfsstat3::NFS3ERR_NOTDIR, fail)),
        None => Nfs3Result::Err((nfsstat3::NFS3ERR_STALE, fail)),
    }
}

/// Writes a READDIR or READDIRPLUS reply: as many entries after `cookie` as fit in `room` bytes.
fn entries<E: Pack>(
    found: fattr3,
    cookie: u64,
    room: usize,
    directory: &Directory,
    reply: &mut Vec<u8>,
    too_small: E,
    write: impl Fn(&super::directory::Entry, &[u8], &mut Vec<u8>) -> nfs3_types::xdr_codec::Result<()>,
) -> Answered {
    let begin = reply.len();
    let room = room.min(LARGEST_REPLY_BYTES as usize).saturating_sub(READDIR_FRAME_BYTES);
    pack(&nfsstat3::NFS3_OK, reply)?;
    pack(&Nfs3Option::Some(found), reply)?;
    pack(&VERIFIER, reply)?;
    let first = reply.len();
    let mut name = Vec::with_capacity(256);
    let mut cookie = cookie;
    let mut eof = true;
    while let Some(entry) = directory.entry_after(cookie, &mut name) {
        let end = reply.len();
        pack(&true, reply)?;
        write(&entry, &name, reply).map_err(|_| accept_stat_data::SYSTEM_ERR)?;
        if reply.len() - first > room {
            reply.truncate(end);
            eof = false;
            break;
        }
        cookie = entry.cookie;
    }
    if reply.len() == first && !eof {
        reply.truncate(begin);
        return pack(&Nfs3Result::<Void, E>::Err((nfsstat3::NFS3ERR_TOOSMALL, too_small)), reply);
    }
    pack(&false, reply)?;
    pack(&eof, reply)
}
