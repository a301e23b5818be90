//! A running guest: asked for answers, watched for trouble, and never left alone.

use super::console::{Console, MOST_LOG_BYTES};
use super::link::{Link, Received};
use super::qemu::{self, Machine};
use crate::error::{Error, Result};
use crate::os::process::{Child, POLL};
use crate::os::signals;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::{AgentFailure, Request, Response};
use crate::protocol::packed::Unpacked;
use crate::protocol::request::{self, Finish};
use crate::text::sanitize;
use nix::sys::signal::Signal;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The guest must say its first word within this.
pub const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// How long QEMU may take to end by itself after a panic or the last word.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long a guest may take if nobody says so.
pub const USUAL_WHOLE: Duration = Duration::from_secs(900);
/// The last lines of a console are in its last bytes.
const LAST_BYTES: u64 = 64 * 1024;

/// A running guest. Dropping it kills its QEMU.
pub struct Vm {
    qemu: Child,
    link: Link,
    console: Console,
    errors: PathBuf,
    deadline: Instant,
    limits: Limits,
}

/// How long nothing was heard of a guest.
struct Silence {
    since: Instant,
    /// How long its QEMU had waited for a processor before that.
    waited: Duration,
}

impl Silence {
    fn begin(qemu: &Child) -> Self {
        Self { since: Instant::now(), waited: qemu.waited_for_processor() }
    }

    /// Returns whether it has lasted longer than `limit`. A guest cannot speak while others have the processors, so that time does not
    /// count: a kernel is not to blame for a busy machine. The run as a whole has its own limit.
    fn is_longer_than(&self, limit: Duration, qemu: &Child) -> bool {
        let elapsed = self.since.elapsed();
        elapsed > limit && elapsed.saturating_sub(qemu.waited_for_processor().saturating_sub(self.waited)) > limit
    }
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From its start to its end; `None` for `USUAL_WHOLE`, or for what whoever knows its work thinks right.
    pub whole: Option<Duration>,
    /// Between two signs of life, which it gives every few seconds while it works.
    pub silence: Duration,
    /// What it may print on its console.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { whole: None, silence: Duration::from_secs(60), log_bytes: MOST_LOG_BYTES }
    }
}

impl Agent for Vm {
    fn request(&mut self, order: &Request, step: &mut dyn FnMut(&str)) -> std::result::Result<Response, AgentError> {
        Vm::request(self, order, |name, _| step(name))
    }

    fn take_syscall_log(&mut self) -> String {
        Vm::take_syscall_log(self)
    }
}

impl Vm {
    /// Starts QEMU. The calling thread must live as long as the guest.
    pub fn start(machine: &Machine, limits: Limits) -> Result<Self> {
        let mut command = super::launch::command(machine)?;
        Self::spawn(&mut command, machine.console_log, limits, Unpacked::new)
    }

    /// Starts what runs a guest that prints into `console_log`, and whose answers are read as `unpacked` does.
    fn spawn<R: Read + Send + 'static>(
        command: &mut Command,
        console_log: &Path,
        limits: Limits,
        unpacked: impl FnOnce(ChildStdout) -> R,
    ) -> Result<Self> {
        let errors = console_log.with_extension("qemu");
        let stderr =
            File::create(&errors).map_err(|e| Error::machine(format!("cannot write {}: {e}", errors.display())))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut qemu = Child::spawn(command)?;
        let orders = qemu.inner().stdin.take().expect("stdin is piped");
        let answers = qemu.inner().stdout.take().expect("stdout is piped");
        let deadline = Instant::now() + limits.whole.unwrap_or(USUAL_WHOLE);
        Ok(Self {
            qemu,
            link: Link::new(orders, unpacked(answers)),
            console: Console::new(console_log),
            errors,
            deadline,
            limits,
        })
    }

    /// Waits for the guest's next answer while it works.
    pub fn response(&mut self) -> std::result::Result<Response, AgentError> {
        self.response_within(self.limits.silence)
    }

    /// Waits for the guest's next answer, at most `limit` long.
    pub fn response_within(&mut self, limit: Duration) -> std::result::Result<Response, AgentError> {
        let mut silence = Silence::begin(&self.qemu);
        loop {
            let heard = self.link.receive(POLL).map_err(|why| self.invalid_response(&why))?;
            self.watch()?;
            match heard {
                Received::Response(answer) => return self.check_failure(answer),
                Received::SignOfLife => silence = Silence::begin(&self.qemu),
                Received::Timeout => {}
                Received::Closed => return Err(self.error_at_end()),
            }
            if silence.is_longer_than(limit, &self.qemu) {
                return Err(self.timed_out(&format!("the guest has been silent for {} s", limit.as_secs())));
            }
        }
    }

    /// Looks for what ends a guest whatever it answers.
    fn watch(&mut self) -> std::result::Result<(), AgentError> {
        signals::check()?;
        self.console.look();
        if self.console.trouble().is_some() {
            // Let it print the rest of its message.
            self.qemu.wait_for(Duration::from_millis(500))?;
            return Err(self.error_at_end());
        }
        if self.floods() {
            return Err(self.flooded());
        }
        if Instant::now() > self.deadline {
            let whole = self.limits.whole.unwrap_or(USUAL_WHOLE).as_secs_f64();
            // It gave its signs of life, so that nothing of it hangs: it was slow, or the machine was.
            let log = self.console.path().display();
            return Err(AgentError::Failed(format!(
                "the run has used up its {whole:.0} s, of which --timeout gives it more; its console is in {log}"
            )));
        }
        Ok(())
    }

    /// Gives an order and waits for its answer; `step` hears the signs of life before it.
    pub fn request(
        &mut self,
        order: &Request,
        mut step: impl FnMut(&str, f64),
    ) -> std::result::Result<Response, AgentError> {
        if !self.link.send(order) {
            return Err(self.error_at_end());
        }
        loop {
            match self.response()? {
                Response::Step { name, seconds } => step(&name, seconds),
                answer => return Ok(answer),
            }
        }
    }

    /// Lets the guest end by itself and looks at the console once more.
    pub fn finish(mut self) -> std::result::Result<Console, AgentError> {
        request::request(&mut self, Finish {}, &mut |_| ())?;
        self.qemu.wait_for(END_LIMIT)?;
        self.console.look();
        if self.console.trouble().is_some() || self.floods() {
            return Err(self.error_at_end());
        }
        // Nothing but the console's log is of use after a good end.
        let _ = std::fs::remove_file(&self.errors);
        Ok(self.console)
    }

    /// Lets the guest take so long from now on, whatever it was to take before.
    pub fn allow(&mut self, whole: Duration) {
        self.limits.whole = Some(whole);
        self.deadline = Instant::now() + whole;
    }

    /// Keeps the guest from running: it takes no processor time, and where its clock counts instructions it does not hear of the pause.
    pub fn pause(&self) -> Result<()> {
        self.qemu.signal(Signal::SIGSTOP)
    }

    /// Lets it run again.
    pub fn resume(&self) -> Result<()> {
        self.qemu.signal(Signal::SIGCONT)
    }

    /// Takes the calls that the workload has told, and forgets them.
    pub fn take_syscall_log(&mut self) -> String {
        self.link.take_syscall_log()
    }

    /// Returns the guest's console.
    pub fn console(&mut self) -> &Console {
        self.console.look();
        &self.console
    }

    fn check_failure(&self, answer: Response) -> std::result::Result<Response, AgentError> {
        let log = self.console.path().display();
        match answer {
            Response::Trouble { trouble: AgentFailure::Unsupported, message } => Err(AgentError::Unsupported(message)),
            Response::Trouble { trouble: AgentFailure::Failed, message } => {
                Err(AgentError::Failed(format!("the guest gave up: {message}; its console is in {log}")))
            }
            Response::Trouble { trouble: AgentFailure::Bug, message } => {
                Err(AgentError::Error(Error::machine(format!("{message}, in {log}"))))
            }
            answer => Ok(answer),
        }
    }

    fn invalid_response(&self, why: &str) -> AgentError {
        let log = self.console.path().display();
        AgentError::Failed(format!("the guest sent what no guest says: {why}; its console is in {log}"))
    }

    fn floods(&self) -> bool {
        self.console.bytes() >= self.limits.log_bytes
    }

    fn flooded(&self) -> AgentError {
        let (log, most) = (self.console.path().display(), self.limits.log_bytes >> 10);
        AgentError::Failed(format!(
            "the guest printed more than {most} KiB on its console and was ended; the beginning is in {log}"
        ))
    }

    /// Returns why the guest ended without being asked to: what its console says, or what QEMU says.
    fn error_at_end(&mut self) -> AgentError {
        let status = self.qemu.wait_for(END_LIMIT).ok().flatten();
        self.console.look();
        if self.console.trouble().is_none() && self.floods() {
            return self.flooded();
        }
        let log = self.console.path().display();
        if let Some(trouble) = self.console.trouble() {
            let first = trouble.lines.first().map_or("", |line| without_time(line));
            return AgentError::Crash {
                kind: trouble.kind.to_owned(),
                sentence: format!("the guest's kernel is lost ({}): {first}; its console is in {log}", trouble.kind),
                lines: trouble.lines.clone(),
            };
        }
        if self.console.bytes() == 0 && status.is_some_and(|s| !s.success()) {
            let message = std::fs::read_to_string(&self.errors).unwrap_or_default();
            let message = message.trim().lines().next().unwrap_or("no message").to_owned();
            return AgentError::Error(Error::machine(format!("{} did not start the guest: {message}", qemu::PROGRAM)));
        }
        AgentError::Crash {
            kind: "ended".to_owned(),
            sentence: format!("the guest ended without a word; its console is in {log}"),
            lines: Vec::new(),
        }
    }

    fn timed_out(&mut self, what: &str) -> AgentError {
        let log = self.console.path().display();
        AgentError::Crash {
            kind: "hang".to_owned(),
            sentence: format!("{what}; its console is in {log}"),
            lines: last_lines(self.console.path(), 20),
        }
    }
}

/// Returns a line of the console without the time in front, which it has where the kernel is configured so.
fn without_time(line: &str) -> &str {
    let timed = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    let is_time = |text: &str| text.trim().parse::<f64>().is_ok();
    timed.filter(|(time, _)| is_time(time)).map_or(line, |(_, rest)| rest).trim()
}

fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let text = last_bytes(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(|line| sanitize::line(line).into_owned()).collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let before = file.metadata()?.len().saturating_sub(LAST_BYTES);
    file.seek(SeekFrom::Start(before))?;
    let mut bytes = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
