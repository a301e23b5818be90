//! ONC RPC (RFC 5531) over TCP: records, call headers, reply headers.

use super::xdr::{Reader, put};
use nfs3_types::rpc::{
    RPC_VERSION_2, accept_stat_data, accepted_reply, msg_body, msg_type, opaque_auth, rejected_reply, reply_body,
    rpc_msg,
};
use std::io::{Error, ErrorKind, Read, Result};

/// The last fragment of a record has this bit in its length.
const LAST_FRAGMENT: u32 = 0x8000_0000;
/// No call that we answer is longer.
const LONGEST_CALL_BYTES: u32 = 64 * 1024;
/// A record's length stands in front of it.
pub const LENGTH_BYTES: usize = 4;

/// A call: who asks, for what, with which arguments.
pub struct Call<'a> {
    pub xid: u32,
    pub rpc_version: u32,
    pub program: u32,
    pub version: u32,
    pub procedure: u32,
    pub arguments: &'a [u8],
}

impl<'a> Call<'a> {
    /// Reads the call in a record, if it is one.
    pub fn read(record: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(record);
        let xid = reader.u32()?;
        if reader.u32()? != msg_type::CALL as u32 {
            return None;
        }
        let [rpc_version, program, version, procedure] = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
        // Who asks, and the proof of it: everybody may see everything.
        for _ in 0..2 {
            reader.u32()?;
            reader.opaque()?;
        }
        Some(Self { xid, rpc_version, program, version, procedure, arguments: reader.0 })
    }
}

/// Reads one record into `record`, which is emptied first.
pub fn read_record(from: &mut impl Read, record: &mut Vec<u8>) -> Result<()> {
    record.clear();
    loop {
        let mut header = [0; LENGTH_BYTES];
        from.read_exact(&mut header)?;
        let header = u32::from_be_bytes(header);
        let length = header & !LAST_FRAGMENT;
        if length > LONGEST_CALL_BYTES - record.len() as u32 {
            return Err(Error::new(ErrorKind::InvalidData, "call too long"));
        }
        if from.take(u64::from(length)).read_to_end(record)? < length as usize {
            return Err(Error::from(ErrorKind::UnexpectedEof));
        }
        if header & LAST_FRAGMENT != 0 {
            return Ok(());
        }
    }
}

/// Begins the record of a reply, with room for its length in front.
pub fn begin_reply(xid: u32, body: reply_body, reply: &mut Vec<u8>) {
    reply.clear();
    reply.extend_from_slice(&[0; LENGTH_BYTES]);
    put(&rpc_msg { xid, body: msg_body::REPLY(body) }, reply);
}

/// Writes the length in front of the record.
pub fn end_reply(reply: &mut [u8]) {
    let length = (reply.len() - LENGTH_BYTES) as u32 | LAST_FRAGMENT;
    reply[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// Makes the reply that says that the call was looked at, with this outcome.
pub fn accepted(reply_data: accept_stat_data) -> reply_body<'static> {
    reply_body::MSG_ACCEPTED(accepted_reply { verf: opaque_auth::default(), reply_data })
}

/// Makes the reply that says that the call is of another version of RPC.
pub fn mismatch() -> reply_body<'static> {
    reply_body::MSG_DENIED(rejected_reply::rpc_mismatch(RPC_VERSION_2, RPC_VERSION_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_several_fragments_are_joined_and_bad_ones_refused() {
        let read = |bytes: &[u8]| {
            let mut record = Vec::new();
            read_record(&mut &bytes[..], &mut record).map(|()| record)
        };
        assert_eq!(read(&[0, 0, 0, 2, 1, 2, 0x80, 0, 0, 1, 3]).unwrap(), [1, 2, 3]);
        assert!(read(&[0x80, 0, 0, 3, 1, 2]).is_err(), "cut");
        assert!(read(&[0xff, 0xff, 0xff, 0xff]).is_err(), "too long");
    }

    #[test]
    fn record_that_is_no_call_is_none() {
        let call: Vec<u8> = [7, 0, 2, 100_003, 3, 1, 6, 0, 0, 0, 9].into_iter().flat_map(u32::to_be_bytes).collect();
        let read = Call::read(&call).unwrap();
        assert_eq!((read.xid, read.program, read.version, read.procedure), (7, 100_003, 3, 1));
        assert_eq!(read.arguments, [0, 0, 0, 9]);
        assert!((0..40).all(|end| Call::read(&call[..end]).is_none()));
        assert!(Call::read(&[[0, 0, 0, 7], [0, 0, 0, 1]].concat()).is_none(), "a reply");
    }
}
