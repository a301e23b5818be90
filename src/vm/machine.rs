//! A running guest: asked for answers, watched for trouble, and never left alone.

use super::console::Console;
use super::qemu::{self, Machine};
use crate::child::{Child, POLL};
use crate::error::{Error, Result};
use crate::guest::protocol::{Answer, Order, Trouble};
use crate::stop;
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The guest must say its first word within this.
pub const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long QEMU may take to end by itself after a panic or the last word.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Why a guest ended before it was done.
#[derive(Clone, Debug)]
pub enum Ended {
    /// The kernel is lost: what it is called, in a sentence, and the lines that show it.
    Crash { kind: String, sentence: String, lines: Vec<String> },
    /// The guest's kernel lacks something.
    Unsupported(String),
    /// Something in the guest that should have worked did not.
    GaveUp(String),
    /// The machine or the user ended it.
    Error(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A running guest. Dropping it kills its QEMU.
pub struct Vm {
    qemu: Child,
    orders: ChildStdin,
    answers: Receiver<String>,
    console: Console,
    errors: PathBuf,
    deadline: Instant,
    silence: Duration,
    /// The calls that the workload made, a line each, if it was to tell.
    called: String,
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its start to its end.
    pub whole: Duration,
    /// Between two signs of life, which it gives every few seconds while it works.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { whole: Duration::from_secs(900), silence: Duration::from_secs(60) }
    }
}

impl Vm {
    /// Starts QEMU. The calling thread must live as long as the guest.
    pub fn start(machine: &Machine, limits: Limits) -> Result<Self> {
        let errors = machine.console_log.with_extension("qemu");
        let stderr = std::fs::File::create(&errors)
            .map_err(|e| Error::machine(format!("cannot write {}: {e}", errors.display())))?;
        let mut command = qemu::command(machine)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut qemu = Child::spawn(&mut command)?;
        let orders = qemu.inner().stdin.take().expect("stdin is piped");
        let stdout = qemu.inner().stdout.take().expect("stdout is piped");
        let console = Console::new(machine.console_log);
        let deadline = Instant::now() + limits.whole;
        Ok(Self {
            qemu,
            orders,
            answers: lines_of(stdout),
            console,
            errors,
            deadline,
            silence: limits.silence,
            called: String::new(),
        })
    }

    /// Waits for the guest's next answer while it works.
    pub fn answer(&mut self) -> std::result::Result<Answer, Ended> {
        self.answer_within(self.silence)
    }

    /// Waits for the guest's next answer, at most `limit` long.
    pub fn answer_within(&mut self, limit: Duration) -> std::result::Result<Answer, Ended> {
        let mut end = Instant::now() + limit;
        loop {
            match self.answers.recv_timeout(POLL) {
                Ok(line) => match self.understand(&line)? {
                    Answer::Alive => end = Instant::now() + limit,
                    Answer::Called { lines } => self.called += &lines,
                    answer => return Ok(answer),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(self.ended()),
            }
            stop::check()?;
            self.console.look();
            if self.console.trouble().is_some() {
                // Let it print the rest of its message.
                self.qemu.wait_for(Duration::from_millis(500))?;
                return Err(self.ended());
            }
            if Instant::now() > end {
                return Err(self.too_late(&format!("the guest has been silent for {} s", limit.as_secs())));
            }
            if Instant::now() > self.deadline {
                return Err(self.too_late("the run has used up its time"));
            }
        }
    }

    /// Gives an order and waits for its answer; `step` hears the signs of life before it.
    pub fn ask(&mut self, order: &Order, mut step: impl FnMut(&str, f64)) -> std::result::Result<Answer, Ended> {
        let mut line = serde_json::to_vec(order).expect("an order is JSON");
        line.push(b'\n');
        if self.orders.write_all(&line).and_then(|()| self.orders.flush()).is_err() {
            return Err(self.ended());
        }
        loop {
            match self.answer()? {
                Answer::Step { name, seconds } => step(&name, seconds),
                answer => return Ok(answer),
            }
        }
    }

    /// Lets the guest end by itself and looks at the console once more.
    pub fn finish(mut self) -> std::result::Result<Console, Ended> {
        match self.ask(&Order::Finish, |_, _| ())? {
            Answer::Bye => {
                self.qemu.wait_for(END_LIMIT)?;
                self.console.look();
                if self.console.trouble().is_some() {
                    return Err(self.ended());
                }
                // Nothing but the console's log is of use after a good end.
                let _ = std::fs::remove_file(&self.errors);
                Ok(self.console)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Keeps the guest from running: it takes no processor time, and where its clock counts instructions it does not hear of the pause.
    pub fn pause(&self) -> Result<()> {
        self.qemu.signal(Signal::SIGSTOP)
    }

    /// Lets it run again.
    pub fn resume(&self) -> Result<()> {
        self.qemu.signal(Signal::SIGCONT)
    }

    /// The calls that the workload has told, and forgets them.
    pub fn called(&mut self) -> String {
        std::mem::take(&mut self.called)
    }

    /// The guest's console.
    pub fn console(&mut self) -> &Console {
        self.console.look();
        &self.console
    }

    fn understand(&self, line: &str) -> std::result::Result<Answer, Ended> {
        match serde_json::from_str(line) {
            Ok(Answer::Trouble { trouble: Trouble::Unsupported, message }) => Err(Ended::Unsupported(message)),
            Ok(Answer::Trouble { trouble: Trouble::Failed, message }) => {
                let log = self.console.path().display();
                Err(Ended::GaveUp(format!("the guest gave up: {message}; its console is in {log}")))
            }
            Ok(Answer::Trouble { trouble: Trouble::Bug, message }) => {
                let log = self.console.path().display();
                Err(Ended::Error(Error::machine(format!("{message}, in {log}"))))
            }
            Ok(answer) => Ok(answer),
            Err(_) => Err(Ended::GaveUp(format!("the guest sent something that is no answer: {line:?}"))),
        }
    }

    /// The guest ended without being asked to: what its console says, or what QEMU says.
    fn ended(&mut self) -> Ended {
        let status = self.qemu.wait_for(END_LIMIT).ok().flatten();
        self.console.look();
        let log = self.console.path().display();
        if let Some(trouble) = self.console.trouble() {
            let first = trouble.lines.first().map_or("", |line| without_time(line));
            return Ended::Crash {
                kind: trouble.kind.to_owned(),
                sentence: format!("the guest's kernel is lost ({}): {first}; its console is in {log}", trouble.kind),
                lines: trouble.lines.clone(),
            };
        }
        if self.console.bytes() == 0 && status.is_some_and(|s| !s.success()) {
            let message = std::fs::read_to_string(&self.errors).unwrap_or_default();
            let message = message.trim().lines().next().unwrap_or("no message").to_owned();
            return Ended::Error(Error::machine(format!("{} did not start the guest: {message}", qemu::PROGRAM)));
        }
        Ended::Crash {
            kind: "ended".to_owned(),
            sentence: format!("the guest ended without a word; its console is in {log}"),
            lines: Vec::new(),
        }
    }

    fn too_late(&mut self, what: &str) -> Ended {
        let log = self.console.path().display();
        Ended::Crash {
            kind: "hang".to_owned(),
            sentence: format!("{what}; its console is in {log}"),
            lines: last_lines(self.console.path(), 20),
        }
    }
}

/// An answer that does not fit the order.
pub fn unexpected(answer: &Answer) -> Ended {
    Ended::Error(Error::machine(format!("the guest answered something else than it was asked: {answer:?}")))
}

/// Lines as they come, from a thread of their own, so that waiting for them can have a deadline.
fn lines_of(from: impl Read + Send + 'static) -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

/// A line of the console without the time in front, which it has where the kernel is configured so.
fn without_time(line: &str) -> &str {
    let timed = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let is_time = |text: &str| text.trim().parse::<f64>().is_ok();
    timed.filter(|(time, _)| is_time(time)).map_or(line, |(_, rest)| rest).trim()
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_its_time_if_it_has_one() {
        let line = "Kernel panic - not syncing: [x] y";
        assert_eq!(without_time(line), line);
        assert_eq!(without_time(&format!("[    1.234567] {line}")), line);
    }
}
