//! ONC RPC (RFC 5531) over TCP: records, call headers, reply headers.

use super::directory::Directory;
use super::procedures;
use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, accepted_reply, call_body, msg_body, opaque_auth, rejected_reply, reply_body,
    rpc_msg,
};
use nfs3_types::xdr_codec::{Pack, Unpack};
use std::io::{Cursor, Error, ErrorKind, Read, Result, Write};

/// The last fragment of a record has this bit in its length.
const LAST_FRAGMENT: u32 = 0x8000_0000;
/// No call that we answer is longer.
const LONGEST_CALL_BYTES: u32 = 64 * 1024;

/// Reads one record into `record`, which is emptied first.
pub fn read_record(from: &mut impl Read, record: &mut Vec<u8>) -> Result<()> {
    record.clear();
    loop {
        let mut header = [0; 4];
        from.read_exact(&mut header)?;
        let header = u32::from_be_bytes(header);
        let length = header & !LAST_FRAGMENT;
        if length + record.len() as u32 > LONGEST_CALL_BYTES {
            return Err(Error::new(ErrorKind::InvalidData, "call too long"));
        }
        from.take(u64::from(length)).read_to_end(record)?;
        if header & LAST_FRAGMENT != 0 {
            return Ok(());
        }
    }
}

/// Writes `record`, whose first four bytes are room for the length, in one piece.
pub fn write_record(to: &mut impl Write, record: &mut [u8]) -> Result<()> {
    let length = (record.len() - 4) as u32 | LAST_FRAGMENT;
    record[..4].copy_from_slice(&length.to_be_bytes());
    to.write_all(record)
}

/// Answers one call into `reply`, with room for the record's length in front.
pub fn answer(call: &[u8], directory: &Directory, reply: &mut Vec<u8>) -> Result<()> {
    let mut arguments = Cursor::new(call);
    let (message, _) = rpc_msg::unpack(&mut arguments).map_err(invalid)?;
    let msg_body::CALL(header) = message.body else { return Err(Error::from(ErrorKind::InvalidData)) };
    let room = |reply: &mut Vec<u8>, body: reply_body| {
        reply.clear();
        reply.extend_from_slice(&[0; 4]);
        rpc_msg { xid: message.xid, body: msg_body::REPLY(body) }.pack(reply).map(|_| ()).map_err(invalid)
    };
    if header.rpcvers != RPC_VERSION_2 {
        return room(reply, reply_body::MSG_DENIED(rejected_reply::rpc_mismatch(RPC_VERSION_2, RPC_VERSION_2)));
    }
    room(reply, accepted(accept_stat_data::SUCCESS))?;
    match dispatch(&header, &mut arguments, directory, reply) {
        Ok(()) => Ok(()),
        Err(refusal) => room(reply, accepted(refusal)),
    }
}

fn accepted(reply_data: accept_stat_data) -> reply_body<'static> {
    reply_body::MSG_ACCEPTED(accepted_reply { verf: opaque_auth::default(), reply_data })
}

fn dispatch(
    header: &call_body,
    arguments: &mut Cursor<&[u8]>,
    directory: &Directory,
    reply: &mut Vec<u8>,
) -> std::result::Result<(), accept_stat_data> {
    use nfs3_types::{mount, nfs3};
    let wanted = match header.prog {
        nfs3::PROGRAM => nfs3::VERSION,
        mount::PROGRAM => mount::VERSION,
        _ => return Err(accept_stat_data::PROG_UNAVAIL),
    };
    if header.vers != wanted {
        return Err(accept_stat_data::PROG_MISMATCH { low: wanted, high: wanted });
    }
    match header.prog {
        mount::PROGRAM => procedures::mount(header.proc, arguments, reply),
        _ => procedures::nfs(header.proc, arguments, directory, reply),
    }
}

fn invalid(error: nfs3_types::xdr_codec::Error) -> Error {
    Error::new(ErrorKind::InvalidData, error.to_string())
}
