//! The guest's end of the second serial port.

use crate::error::{Context, Error, Result};
use crate::protocol::message::{Request, Response};
use crate::protocol::packed::{self, Packed};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// COM2.
const DEVICE: &str = "/dev/ttyS1";

/// Lines of JSON in both directions; those to the host are packed.
pub struct SerialLink {
    orders: BufReader<File>,
    answers: ResponseSender,
    /// Whether the processor must not be idle while an order is waited for.
    waits_busily: bool,
}

/// What is said, by the work and by the signs of life beside it.
#[derive(Clone)]
pub struct ResponseSender(Arc<Mutex<Packed<File>>>);

impl SerialLink {
    /// Opens the port and takes away what a terminal does to the bytes.
    pub fn open() -> Result<Self> {
        let failed = || format!("cannot open {DEVICE}; does the kernel have CONFIG_SERIAL_8250?");
        let file = File::options().read(true).write(true).open(DEVICE).machine(failed)?;
        let mut settings = tcgetattr(&file).machine(failed)?;
        cfmakeraw(&mut settings);
        tcsetattr(&file, SetArg::TCSANOW, &settings).machine(failed)?;
        let answers = packed::begin(file.try_clone().machine(failed)?).machine(failed)?;
        let answers = ResponseSender(Arc::new(Mutex::new(answers)));
        Ok(Self { orders: BufReader::new(file), answers, waits_busily: false })
    }

    /// Returns a sender for what is said beside the work.
    pub fn sender(&self) -> ResponseSender {
        self.answers.clone()
    }

    /// Keeps the processor busy while an order is waited for: a clock that counts instructions goes on to the next timer as soon as nobody works,
    /// and to the one after it, days ahead until the host has made up its mind.
    pub fn wait_busily(&mut self) {
        self.waits_busily = true;
    }

    /// Says something.
    pub fn send(&mut self, answer: &Response) -> Result<()> {
        self.answers.send(answer)
    }

    /// Says what is being done, as a sign of life.
    pub fn step(&mut self, name: &str, seconds: f64) -> Result<()> {
        self.send(&Response::Step { name: name.to_owned(), seconds })
    }

    /// Returns whether something can be read.
    fn has_come(&self) -> Result<bool> {
        let mut port = [PollFd::new(self.orders.get_ref().as_fd(), PollFlags::POLLIN)];
        poll(&mut port, PollTimeout::ZERO).map(|ready| ready > 0).machine(|| format!("cannot read from {DEVICE}"))
    }

    /// Waits for the next order.
    pub fn receive(&mut self) -> Result<Request> {
        let mut line = String::new();
        while self.waits_busily && self.orders.buffer().is_empty() && !self.has_come()? {}
        let length = self.orders.read_line(&mut line).machine(|| format!("cannot read from {DEVICE}"))?;
        if length == 0 {
            return Err(Error::machine("the host hung up"));
        }
        serde_json::from_str(&line).machine(|| format!("cannot understand the order {line:?}"))
    }
}

impl ResponseSender {
    /// Says something.
    pub fn send(&self, answer: &Response) -> Result<()> {
        let mut line = serde_json::to_vec(answer).machine(|| "cannot write an answer".into())?;
        line.push(b'\n');
        let mut port = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        port.write_all(&line).and_then(|()| port.flush()).machine(|| format!("cannot write to {DEVICE}"))
    }
}
