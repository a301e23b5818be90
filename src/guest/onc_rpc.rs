//! Calls of ONC RPC as records on a stream (RFC 5531), as far as a guest makes and answers some by itself.

use std::io::{self, Read};

/// A last fragment (RFC 5531, section 11).
const LAST: u32 = 1 << 31;
/// No record of ours is longer, and none that is for us.
const MOST_BYTES: u32 = 64 << 10;

/// Returns the call of a procedure without credentials, as a record.
pub fn call(program: u32, version: u32, procedure: u32, arguments: &[u32]) -> Vec<u8> {
    // Number, call, version of RPC, program, its version, procedure, no credentials, no verifier.
    record(&[&[1, 0, 2, program, version, procedure, 0, 0, 0, 0], arguments].concat())
}

/// Returns the reply to the call with this number, as a record.
pub fn reply(number: u32, results: &[u32]) -> Vec<u8> {
    // Number, reply, accepted, no verifier, success.
    record(&[&[number, 1, 0, 0, 0, 0], results].concat())
}

fn record(words: &[u32]) -> Vec<u8> {
    let length = 4 * words.len() as u32;
    [LAST | length].iter().chain(words).flat_map(|word| word.to_be_bytes()).collect()
}

/// Reads a record of one fragment and returns it in words; bytes behind the last whole word are left out.
pub fn read_record(stream: &mut impl Read) -> io::Result<Vec<u32>> {
    let mut mark = [0; 4];
    stream.read_exact(&mut mark)?;
    let length = u32::from_be_bytes(mark) & !LAST;
    if length > MOST_BYTES {
        return Err(io::Error::other(format!("a record of {length} bytes")));
    }
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes.chunks_exact(4).map(|word| u32::from_be_bytes([word[0], word[1], word[2], word[3]])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_and_reply_are_one_record_each() {
        let null = call(100_003, 3, 0, &[]);
        assert_eq!(null.len(), 4 + 40);
        assert_eq!(null[..4], [0x80, 0, 0, 40]);
        assert_eq!(null[12..24], [0, 0, 0, 2, 0, 1, 0x86, 0xa3, 0, 0, 0, 3]);
        let answer = reply(7, &[0, 5]);
        assert_eq!(read_record(&mut answer.as_slice()).unwrap(), [7, 1, 0, 0, 0, 0, 0, 5]);
        assert!(read_record(&mut [0xff, 0xff, 0xff, 0xff].as_slice()).is_err());
    }
}
