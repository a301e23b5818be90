//! The guest's end of the second serial port.

use crate::error::{Context, Error, Result};
use crate::protocol::message::{Request, Response};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// COM2.
const DEVICE: &str = "/dev/ttyS1";

/// Lines of JSON in both directions.
pub struct SerialLink {
    orders: BufReader<File>,
    answers: ResponseSender,
}

/// What is said, by the work and by the signs of life beside it.
#[derive(Clone)]
pub struct ResponseSender(Arc<Mutex<File>>);

impl SerialLink {
    /// Opens the port and takes away what a terminal does to the bytes.
    pub fn open() -> Result<Self> {
        let failed = || format!("cannot open {DEVICE}; does the kernel have CONFIG_SERIAL_8250?");
        let file = File::options().read(true).write(true).open(DEVICE).machine(failed)?;
        let mut settings = tcgetattr(&file).machine(failed)?;
        cfmakeraw(&mut settings);
        tcsetattr(&file, SetArg::TCSANOW, &settings).machine(failed)?;
        let answers = ResponseSender(Arc::new(Mutex::new(file.try_clone().machine(failed)?)));
        Ok(Self { orders: BufReader::new(file), answers })
    }

    /// Returns a sender for what is said beside the work.
    pub fn sender(&self) -> ResponseSender {
        self.answers.clone()
    }

    /// Says something.
    pub fn send(&mut self, answer: &Response) -> Result<()> {
        self.answers.send(answer)
    }

    /// Says what is being done, as a sign of life.
    pub fn step(&mut self, name: &str, seconds: f64) -> Result<()> {
        self.send(&Response::Step { name: name.to_owned(), seconds })
    }

    /// Waits for the next order.
    pub fn receive(&mut self) -> Result<Request> {
        let mut line = String::new();
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
        port.write_all(&line).machine(|| format!("cannot write to {DEVICE}"))
    }
}
