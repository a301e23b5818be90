//! Lines that a guest sends, whatever it sends: neither a line nor what waits for us ever takes much memory.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::sync::mpsc::{Receiver, sync_channel};

/// No answer is longer. What an honest guest says has some kilobytes, and calls that it tells come in pieces.
pub const MOST_LINE_BYTES: usize = 8 << 20;
/// Lines that wait for us. Then the guest's port is full, and the guest waits.
const MOST_WAITING: usize = 4;

/// What comes instead of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFault {
    TooLong,
    /// It was not packed as answers are ([`super::packed`]).
    NotPacked,
}

/// Takes the next line into `line`, without its end; `None` at the end of all of them, and also if the last one has no end.
pub fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>, most: usize) -> Option<Result<(), LineFault>> {
    line.clear();
    // One byte more for the end of the line.
    let length = match from.take(most as u64 + 1).read_until(b'\n', line) {
        Ok(length) => length,
        Err(e) => return (e.kind() == ErrorKind::InvalidData).then_some(Err(LineFault::NotPacked)),
    };
    if line.last() == Some(&b'\n') {
        line.pop();
        return Some(Ok(()));
    }
    (length > most).then_some(Err(LineFault::TooLong))
}

/// Reads lines as they come, from a thread of their own, so that waiting for them can have a deadline. Nothing comes
/// after a fault.
pub fn read_lines(from: impl Read + Send + 'static) -> Receiver<Result<Vec<u8>, LineFault>> {
    let (send, receive) = sync_channel(MOST_WAITING);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while let Some(taken) = read_line(&mut from, &mut line, MOST_LINE_BYTES) {
            let ends = taken.is_err();
            if send.send(taken.map(|()| std::mem::take(&mut line))).is_err() || ends {
                return;
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], most: usize) -> Vec<Result<String, LineFault>> {
        let (mut from, mut line) = (BufReader::with_capacity(3, bytes), Vec::new());
        let mut all = Vec::new();
        while let Some(taken) = read_line(&mut from, &mut line, most) {
            all.push(taken.map(|()| String::from_utf8_lossy(&line).into_owned()));
        }
        all
    }

    #[test]
    fn lines_are_parted_and_the_end_of_a_guest_ends_them() {
        assert_eq!(all(b"one\n\ntwo\ncut", 3), [Ok("one".into()), Ok(String::new()), Ok("two".into())]);
        assert_eq!(all(b"\xff\xfe\n", 3), [Ok("\u{fffd}\u{fffd}".into())], "wrong UTF-8 is a line, and no end");
    }

    #[test]
    fn line_that_is_too_long_is_told_and_not_kept() {
        assert_eq!(all(b"three\nfour\n", 4)[..1], [Err(LineFault::TooLong)]);
        assert_eq!(all(b"four", 4), []);
        let lines = read_lines(std::io::repeat(b'x'));
        assert_eq!(lines.recv().unwrap(), Err(LineFault::TooLong));
        assert!(lines.recv().is_err(), "it went on reading");
    }

    #[test]
    fn flood_waits_until_it_is_asked_for() {
        struct Flood(std::sync::Arc<std::sync::atomic::AtomicUsize>);
        impl Read for Flood {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                to.fill(b'\n');
                Ok(to.len())
            }
        }
        let reads = std::sync::Arc::default();
        let lines = read_lines(Flood(std::sync::Arc::clone(&reads)));
        assert_eq!(lines.recv().unwrap(), Ok(Vec::new()));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert_eq!(reads.load(std::sync::atomic::Ordering::SeqCst), 1, "more was read than one buffer");
    }
}
