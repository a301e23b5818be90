//! The host's end of the link to a guest, whoever holds the other one: orders go out without waiting, answers come in bounded in length
//! and number, and none that no honest guest gives.

use crate::protocol::framing::{LineFault, MOST_LINE_BYTES, read_lines};
use crate::protocol::message::{Request, Response};
use crate::protocol::validate::parse_response;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// Signs of life and steps of a whole run: a guest gives one every two seconds, and one for each listing that is timed.
const MOST_SIGNS: u32 = 200_000;
/// Blanks before the first order, which JSON passes over, sent while the guest does not read yet. What it reads comes in buffers of 256 bytes that
/// its terminal layer allocates as it needs them, keeps, and uses again (tty_buffer_alloc and tty_buffer_free in drivers/tty/tty_buffer.c, seen
/// in 6.1): without these the first orders of the rounds would still allocate, an object of kmalloc-1k each. The line discipline takes 4,095
/// bytes of whoever does not read (N_TTY_BUF_SIZE in drivers/tty/n_tty.c), and the others fill seven buffers and a half, the same number
/// however fast they come.
const FIRST_BLANKS: usize = 4095 + 15 * 128;
/// Calls that a guest tells in a whole run.
const MOST_CALLED_BYTES: usize = 256 << 20;

/// Both directions.
pub struct Link {
    orders: Sender<Vec<u8>>,
    answers: Receiver<Result<Vec<u8>, LineFault>>,
    signs: u32,
    most_signs: u32,
    called: String,
    called_bytes: usize,
    most_called_bytes: usize,
}

/// What came within some time.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
pub enum Received {
    Response(Response),
    /// A sign of life, or calls that were told.
    SignOfLife,
    Timeout,
    /// Nothing will ever come again.
    Closed,
}

impl Link {
    /// Makes a link over these streams, each with a thread of its own. A guest that takes no orders keeps nobody
    /// waiting.
    pub fn new(mut orders: impl Write + Send + 'static, answers: impl Read + Send + 'static) -> Self {
        let (send, receive) = channel::<Vec<u8>>();
        std::thread::spawn(move || {
            let mut send = |bytes: &[u8]| orders.write_all(bytes).and_then(|()| orders.flush());
            // Who hangs up has no more answers either.
            send(&[b' '; FIRST_BLANKS]).and_then(|()| receive.iter().try_for_each(|order| send(&order)))
        });
        Self {
            orders: send,
            answers: read_lines(answers),
            signs: 0,
            most_signs: MOST_SIGNS,
            called: String::new(),
            called_bytes: 0,
            most_called_bytes: MOST_CALLED_BYTES,
        }
    }

    /// Gives an order; `false` if nobody takes any.
    pub fn send(&self, order: &Request) -> bool {
        let mut line = serde_json::to_vec(order).expect("an order is JSON");
        line.push(b'\n');
        self.orders.send(line).is_ok()
    }

    /// Listens for so long; the error says what a guest cannot have meant.
    pub fn receive(&mut self, time: Duration) -> Result<Received, String> {
        let line = match self.answers.recv_timeout(time) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => return Ok(Received::Timeout),
            Err(RecvTimeoutError::Disconnected) => return Ok(Received::Closed),
        };
        let line = line.map_err(|fault| match fault {
            LineFault::TooLong => format!("a line of more than {} MiB", MOST_LINE_BYTES >> 20),
            LineFault::NotPacked => "bytes that are not packed as its answers are".to_owned(),
        })?;
        match parse_response(&line)? {
            Response::Alive => self.sign().map(|()| Received::SignOfLife),
            Response::Called { lines } => {
                self.called_bytes += lines.len();
                if self.called_bytes > self.most_called_bytes {
                    return Err(format!("calls of more than {} MiB", self.most_called_bytes >> 20));
                }
                self.called += &lines;
                self.sign().map(|()| Received::SignOfLife)
            }
            answer @ (Response::Step { .. } | Response::Hello { .. }) => {
                self.sign().map(|()| Received::Response(answer))
            }
            answer => Ok(Received::Response(answer)),
        }
    }

    /// Takes the calls that were told, and forgets them.
    pub fn take_syscall_log(&mut self) -> String {
        std::mem::take(&mut self.called)
    }

    fn sign(&mut self) -> Result<(), String> {
        self.signs += 1;
        if self.signs > self.most_signs { Err(format!("more than {} signs of life", self.most_signs)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, repeat, sink};

    const LONG: Duration = Duration::from_secs(20);

    /// Receives until the end or a refusal, which is given.
    fn refusal(answers: impl Read + Send + 'static) -> Option<String> {
        let mut link = Link { most_signs: 100, most_called_bytes: 3 << 20, ..Link::new(sink(), answers) };
        loop {
            match link.receive(LONG) {
                Ok(Received::Closed) => return None,
                Ok(Received::Timeout) => panic!("nothing came"),
                Ok(_) => {}
                Err(why) => return Some(why),
            }
        }
    }

    /// A line again and again.
    struct Flood(Vec<u8>, usize);

    impl Read for Flood {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            for byte in to.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(to.len())
        }
    }

    #[test]
    fn answers_are_heard_in_their_order_and_calls_are_kept() {
        let lines = "{\"answer\":\"alive\"}\n{\"answer\":\"called\",\"lines\":\"one\\n\"}\n{\"answer\":\"done\"}\n";
        let mut link = Link::new(sink(), Cursor::new(lines));
        assert!(matches!(link.receive(LONG), Ok(Received::SignOfLife)));
        assert!(matches!(link.receive(LONG), Ok(Received::SignOfLife)));
        assert!(matches!(link.receive(LONG), Ok(Received::Response(Response::Done))));
        assert!(matches!(link.receive(LONG), Ok(Received::Closed)));
        assert_eq!((link.take_syscall_log().as_str(), link.take_syscall_log().as_str()), ("one\n", ""));
    }

    #[test]
    fn flood_of_any_kind_is_refused() {
        let flood = |line: &str| refusal(Flood(line.as_bytes().to_vec(), 0)).unwrap();
        assert_eq!(flood("{\"answer\":\"alive\"}\n"), "more than 100 signs of life");
        assert_eq!(flood("{\"answer\":\"step\",\"name\":\"\",\"seconds\":0}\n"), "more than 100 signs of life");
        assert_eq!(flood("{\"answer\":\"hello\",\"release\":\"6.1\"}\n"), "more than 100 signs of life");
        let calls = format!("{{\"answer\":\"called\",\"lines\":\"{}\"}}\n", "x".repeat(1 << 20));
        assert_eq!(flood(&calls), "calls of more than 3 MiB");
        assert_eq!(refusal(repeat(b' ')).unwrap(), "a line of more than 8 MiB");
    }

    #[test]
    fn order_that_nobody_takes_keeps_nobody_waiting() {
        let (_unread, orders) = crate::os::pipe::pipe().unwrap();
        let link = Link::new(orders, std::io::empty());
        let order = Request::Sites { caches: vec!["x".repeat(1 << 20)] };
        assert!(link.send(&order) && link.send(&order));
    }

    #[test]
    fn guest_that_does_not_pack_what_it_says_is_refused() {
        let unpacked = |bytes: &'static [u8]| refusal(crate::protocol::packed::Unpacked::new(bytes));
        assert_eq!(unpacked(b" \n\x07a block of no type").unwrap(), "bytes that are not packed as its answers are");
        assert_eq!(unpacked(b""), None);
    }

    #[test]
    fn line_that_is_no_answer_is_refused_and_no_end() {
        for bytes in [&b"\xff\xfe\n"[..], b"\n", b"[[[[\n", b"{\"answer\":\"bye\"\n", b"null\n"] {
            let why = refusal(Cursor::new(bytes)).unwrap();
            assert!(why.starts_with("no answer: "), "{why}");
        }
        assert_eq!(refusal(Cursor::new(b"{\"answer\":\"bye\"}")), None, "a line without its end");
    }
}
