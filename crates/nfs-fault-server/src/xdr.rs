//! XDR (RFC 4506) by hand: the arguments of calls, whose lengths must not be believed before they are looked at, and the
//! entries of listings, of which there are millions.

use nfs3_types::nfs3::fattr3;
use nfs3_types::xdr_codec::Pack;

/// Attributes of a file take up so many bytes.
pub const ATTRIBUTES_BYTES: usize = 84;

/// Takes values off the front of a call. `None` means that the call ends before the value does.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Reads bytes with their length in front.
    pub fn opaque(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let bytes = self.take(length)?;
        self.take(padding(length)).map(|_| bytes)
    }
}

/// Returns how many zeroes come after so many bytes, up to the next multiple of four.
pub fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// Appends a value of nfs3_types.
pub fn put(value: &impl Pack, out: &mut Vec<u8>) {
    value.pack(out).expect("a Vec takes everything");
}

/// Appends attributes, in the place for them.
pub fn put_attributes(a: &fattr3, out: &mut [u8; ATTRIBUTES_BYTES]) {
    let mut words = out.chunks_exact_mut(4);
    let mut word = |value: u32| {
        if let Some(place) = words.next() {
            place.copy_from_slice(&value.to_be_bytes());
        }
    };
    [a.type_ as u32, a.mode, a.nlink, a.uid, a.gid].into_iter().for_each(&mut word);
    let mut long = |value: u64| [(value >> 32) as u32, value as u32].into_iter().for_each(&mut word);
    [a.size, a.used].into_iter().for_each(&mut long);
    long(u64::from(a.rdev.specdata1) << 32 | u64::from(a.rdev.specdata2));
    [a.fsid, a.fileid].into_iter().for_each(&mut long);
    for time in [a.atime, a.mtime, a.ctime] {
        long(u64::from(time.seconds) << 32 | u64::from(time.nseconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nfs3_types::nfs3::{ftype3, nfstime3, specdata3};

    #[test]
    fn attributes_are_packed_as_nfs3_types_packs_them() {
        let time = |seconds| nfstime3 { seconds, nseconds: seconds + 1 };
        let attributes = fattr3 {
            type_: ftype3::NF3LNK,
            mode: 2,
            nlink: 3,
            uid: 4,
            gid: 5,
            size: 6 << 40,
            used: 7 << 40,
            rdev: specdata3 { specdata1: 8, specdata2: 9 },
            fsid: 10 << 40,
            fileid: 11 << 40,
            atime: time(12),
            mtime: time(14),
            ctime: time(16),
        };
        let mut theirs = Vec::new();
        put(&attributes, &mut theirs);
        let mut ours = [0; ATTRIBUTES_BYTES];
        put_attributes(&attributes, &mut ours);
        assert_eq!(ours[..], theirs);
    }

    #[test]
    fn values_that_are_not_there_are_missed() {
        let mut call = Reader(&[0, 0, 0, 7, 0, 0, 0, 5, b'a', b'b', b'c', b'd', b'e', 0, 0, 0, 9]);
        assert_eq!(call.u32(), Some(7));
        assert_eq!(call.opaque(), Some(&b"abcde"[..]));
        assert_eq!(call.u64(), None);
        assert_eq!(Reader(&[0xff, 0xff, 0xff, 0xff, 1]).opaque(), None);
        assert_eq!(Reader(&[0, 0, 0, 1, 1]).opaque(), None, "without its padding");
    }
}
