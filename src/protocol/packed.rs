//! What a guest says, packed for its way. Each byte of a serial port is an interrupt's part and a way out of the emulator, 7 us of a host under
//! TCG: the 133 KB that `quick` says took 0.9 s of its 11. Answers repeat the names of caches and functions, so 18 KB are left of them.

use flate2::write::DeflateEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};
use std::io::{self, Read, Write};
use std::ops::Range;

/// Says where what is packed begins: a terminal echoes what it gets until the guest has told it not to.
const BEGIN: u8 = b'\n';
/// Nothing that is echoed before is longer: the host's first blanks alone come so early.
const MOST_ECHOED_BYTES: usize = 1 << 16;
/// What the host reads at once.
const PIECE_BYTES: usize = 4096;

/// Packs what is written; what was flushed can be unpacked.
pub type Packed<W> = DeflateEncoder<W>;

/// Begins to pack; fails if the mark cannot be written.
pub fn begin<W: Write>(mut to: W) -> io::Result<Packed<W>> {
    to.write_all(&[BEGIN])?;
    Ok(DeflateEncoder::new(to, Compression::fast()))
}

/// Unpacks it, each byte as soon as all that it needs has come. (The readers of flate2 ask for more before they hand out what they have, which
/// on a link that answers one order at a time never comes.)
pub struct Unpacked<R> {
    from: R,
    inflate: Decompress,
    piece: Box<[u8; PIECE_BYTES]>,
    /// What of it is not unpacked yet.
    left: Range<usize>,
    /// Whether there may be more of what was unpacked already.
    holds_more: bool,
    /// Bytes that came before the beginning; `None` after it.
    echoed_bytes: Option<usize>,
}

impl<R: Read> Unpacked<R> {
    pub fn new(from: R) -> Self {
        let (inflate, piece) = (Decompress::new(false), Box::new([0; PIECE_BYTES]));
        Self { from, inflate, piece, left: 0..0, holds_more: false, echoed_bytes: Some(0) }
    }

    /// Reads the next piece, without what was echoed; empty at the end.
    fn next_piece(&mut self) -> io::Result<Range<usize>> {
        loop {
            let length = self.from.read(&mut self.piece[..])?;
            let Some(echoed) = self.echoed_bytes.filter(|_| length > 0) else { return Ok(0..length) };
            match self.piece[..length].iter().position(|byte| *byte == BEGIN) {
                Some(at) => {
                    self.echoed_bytes = None;
                    if at + 1 < length {
                        return Ok(at + 1..length);
                    }
                }
                None if echoed + length > MOST_ECHOED_BYTES => return Err(io::ErrorKind::InvalidData.into()),
                None => self.echoed_bytes = Some(echoed + length),
            }
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    /// Reads what was packed; [`io::ErrorKind::InvalidData`] of what was not packed so.
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if to.is_empty() {
            return Ok(0);
        }
        loop {
            if self.left.is_empty() && !self.holds_more {
                self.left = self.next_piece()?;
                if self.left.is_empty() {
                    return Ok(0);
                }
            }
            let [taken, given] = [self.inflate.total_in(), self.inflate.total_out()];
            let status = self.inflate.decompress(&self.piece[self.left.clone()], to, FlushDecompress::Sync);
            let status = status.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            self.left.start += (self.inflate.total_in() - taken) as usize;
            let given = (self.inflate.total_out() - given) as usize;
            self.holds_more = given == to.len();
            if given > 0 || status == Status::StreamEnd {
                return Ok(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::sync::mpsc::{Receiver, channel};

    /// Hands out what was sent, a piece at a time, and waits for more.
    struct Pieces(Receiver<Vec<u8>>, Cursor<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            if self.1.position() == self.1.get_ref().len() as u64 {
                // An empty piece would be an end.
                self.1 = Cursor::new(self.0.iter().find(|piece| !piece.is_empty()).unwrap_or_default());
            }
            self.1.read(to)
        }
    }

    fn answer(length: usize) -> Vec<u8> {
        (0..length).map(|n| b'0' + ((n * n / 7) % 10) as u8).collect()
    }

    fn packer() -> Packed<Vec<u8>> {
        begin(Vec::new()).unwrap()
    }

    #[test]
    fn each_answer_comes_whole_before_the_next_is_sent() {
        let (send, receive) = channel();
        let mut unpacked = Unpacked::new(Pieces(receive, Cursor::default()));
        let mut packed = packer();
        for length in [1, 39, 2300, 27_525, 200_000, 5] {
            packed.write_all(&answer(length)).unwrap();
            packed.flush().unwrap();
            send.send(std::mem::take(packed.get_mut())).unwrap();
            let mut got = vec![0; length];
            unpacked.read_exact(&mut got).unwrap();
            assert!(got == answer(length), "{length} bytes");
        }
        drop(send);
        assert_eq!(unpacked.read(&mut [0; 9]).unwrap(), 0);
    }

    #[test]
    fn answers_that_repeat_names_take_a_third_at_most() {
        let mut packed = packer();
        let mut said = 0;
        for round in 0..22 {
            let objects: Vec<_> = (0..127).map(|n| format!("\"kmalloc-{n}\":{}", n * 7 + round)).collect();
            let answer = format!("{{\"answer\":\"sample\",\"objects\":{{{}}}}}\n", objects.join(","));
            said += answer.len();
            packed.write_all(answer.as_bytes()).unwrap();
            packed.flush().unwrap();
        }
        let sent = packed.get_ref().len();
        assert!(3 * sent < said, "{sent} of {said} bytes");
    }

    #[test]
    fn what_is_not_packed_so_is_an_error_and_cut_is_an_end() {
        let read = |bytes: &[u8]| Unpacked::new(bytes).read_to_end(&mut Vec::new()).map_err(|e| e.kind());
        assert_eq!(read(b" \n\x07a block of no type"), Err(io::ErrorKind::InvalidData));
        assert_eq!(read(&[0xff; 1 << 17]), Err(io::ErrorKind::InvalidData), "it has no beginning");
        let mut packed = packer();
        packed.write_all(&answer(500)).unwrap();
        packed.flush().unwrap();
        let whole = packed.get_ref().clone();
        assert_eq!(read(&whole), Ok(500));
        assert!(read(&whole[..whole.len() / 2]).unwrap() < 500);
    }

    #[test]
    fn what_was_echoed_before_the_beginning_is_passed_over() {
        let mut packed = packer();
        packed.write_all(b"hello\n").unwrap();
        packed.flush().unwrap();
        for blanks in [0, 1, 255, 4095, 6015] {
            let (send, receive) = channel();
            send.send(vec![b' '; blanks]).unwrap();
            packed.get_ref().chunks(1).for_each(|byte| send.send(byte.to_vec()).unwrap());
            let mut got = [0; 6];
            Unpacked::new(Pieces(receive, Cursor::default())).read_exact(&mut got).unwrap();
            assert_eq!(&got, b"hello\n", "{blanks} blanks");
        }
    }

    #[test]
    fn end_of_the_packing_is_an_end() {
        let mut packed = packer();
        packed.write_all(b"bye\n").unwrap();
        let mut whole = packed.finish().unwrap();
        whole.extend(b"more");
        let mut all = Vec::new();
        Unpacked::new(&whole[..]).read_to_end(&mut all).unwrap();
        assert_eq!(all, b"bye\n");
    }
}
