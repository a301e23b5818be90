//! How other programs are run: in a process group of their own, whose first process never outlives us however we die, and where it starts
//! others, none of them does.

use super::pipe::pipe;
use super::{progress, signals};
use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a waiting loop looks at its child, its deadline and the user's signals.
pub const POLL: Duration = Duration::from_millis(10);

/// A running program. Dropping it kills its whole process group.
pub struct Child {
    inner: std::process::Child,
    name: String,
    _guard: Option<Guard>,
}

/// Kills a process group when we die. Dropping it ends it.
struct Guard {
    shell: std::process::Child,
    /// Its standard input, which ends when we do.
    _alive: File,
}

/// Waits for the end of its standard input.
const GUARD: &str = "read -r _; kill -KILL -$1";

impl Child {
    /// Starts `command`. The kernel kills it when the *thread* that called this ends, so call it from a thread that
    /// waits for it.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let parent = nix::unistd::getpid();
        command.process_group(0);
        // SAFETY: prctl and getppid are async-signal-safe and touch no memory of ours.
        unsafe {
            command.pre_exec(move || {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                // The parent may have died before prctl took effect.
                if libc::getppid() != parent.as_raw() {
                    return Err(std::io::Error::from(ErrorKind::BrokenPipe));
                }
                Ok(())
            });
        }
        progress::started(command);
        match command.spawn() {
            Ok(inner) => Ok(Self { inner, name, _guard: None }),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(Error::machine(format!("{name} is not installed; run vm/setup to install what is missing")))
            }
            Err(e) => Err(Error::machine(format!("cannot start {name}: {e}"))),
        }
    }

    /// Has the whole process group of a program that starts others die with us: the kernel does that only with the program itself.
    pub fn guarded(mut self) -> Result<Self> {
        let failed = || format!("cannot watch over {}", self.name);
        let (end, alive) = pipe().machine(failed)?;
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "sh", &self.inner.id().to_string()]).process_group(0);
        let shell = shell.stdin(end).stdout(Stdio::null()).stderr(Stdio::null()).spawn().machine(failed)?;
        self._guard = Some(Guard { shell, _alive: alive });
        Ok(self)
    }

    /// Returns how long that thread of it which had to wait longest has stood in line for a processor: the second number of
    /// `/proc/PID/task/TID/schedstat`, in nanoseconds (Documentation/scheduler/sched-stats, Linux 2.6.9 and later with CONFIG_SCHED_INFO, which
    /// distributions have); zero where the kernel does not tell.
    pub fn waited_for_processor(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.inner.id())).into_iter().flatten().flatten();
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok());
        let waited = stats.filter_map(|text| text.split_whitespace().nth(1)?.parse().ok());
        Duration::from_nanos(waited.max().unwrap_or(0))
    }

    /// Returns its exit status if it has ended. It is not reaped before this is dropped: until then no other process group can
    /// get its number, which signals go to.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        let process = Pid::from_raw(self.inner.id() as i32);
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let state = loop {
            match waitid(Id::Pid(process), flags) {
                Err(Errno::EINTR) => {}
                state => break state.map_err(|e| Error::machine(format!("cannot wait for {}: {e}", self.name)))?,
            }
        };
        // As wait(2) has it.
        Ok(match state {
            WaitStatus::Exited(_, code) => Some(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(_, signal, core) => Some(ExitStatus::from_raw(signal as i32 | i32::from(core) << 7)),
            _ => None,
        })
    }

    /// Waits for its end, calling `tick` meanwhile; a signal from the user or an error of `tick` kills it.
    pub fn wait(&mut self, mut tick: impl FnMut() -> Result<()>) -> Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(status) = self.try_wait()? {
                return Ok(status);
            }
            signals::check()?;
            tick()?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        }
    }

    /// Waits at most `limit` for its end; `None` if it still runs then.
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.try_wait()
    }

    /// Asks its process group to end, which lets it clean up; whether it did within `grace`.
    pub fn terminate(&mut self, grace: Duration) -> bool {
        let _ = killpg(Pid::from_raw(self.inner.id() as i32), Signal::SIGTERM);
        self.wait_for(grace).is_ok_and(|ended| ended.is_some())
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let group = Pid::from_raw(self.inner.id() as i32);
        killpg(group, signal).map_err(|e| Error::machine(format!("cannot send {signal} to {}: {e}", self.name)))
    }

    /// Returns the pipes and process id of the program.
    pub fn inner(&mut self) -> &mut std::process::Child {
        &mut self.inner
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.inner.id() as i32);
        // The group may still have members after its leader has ended.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.inner.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // It waits for our end, which has not come.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// How a program ended and all that it wrote.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub output: Vec<u8>,
    errors: Vec<u8>,
}

impl Finished {
    /// Returns the first line of its standard error: what went wrong before anything that follows from it.
    pub fn first_complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.errors);
        text.trim().lines().next().unwrap_or("no message").to_owned()
    }

    /// Returns the last line of its standard error.
    pub fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.errors);
        text.trim().lines().next_back().unwrap_or("no message").to_owned()
    }
}

/// Runs `command` to its end, reading `input`.
pub fn finish(command: &mut Command, input: Stdio) -> Result<Finished> {
    finish_bounded(command, input, u64::MAX - 1)
}

/// Does the same, but nobody reads its output beyond the first byte after `most` of them, which ends most programs.
pub fn finish_bounded(command: &mut Command, input: Stdio, most: u64) -> Result<Finished> {
    finish_with(command, input, most, || Ok(()))
}

/// Does the same, calling `tick` meanwhile, whose error kills it.
pub fn finish_watched(command: &mut Command, input: Stdio, tick: impl FnMut() -> Result<()>) -> Result<Finished> {
    finish_with(command, input, u64::MAX - 1, tick)
}

fn finish_with(command: &mut Command, input: Stdio, most: u64, tick: impl FnMut() -> Result<()>) -> Result<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = Child::spawn(command);
    // `command` holds the input open, and who fills a pipe would never hear that nobody reads it any more.
    command.stdin(Stdio::null());
    let mut child = child?;
    let stdout = child.inner().stdout.take().expect("stdout is piped");
    let stderr = child.inner().stderr.take().expect("stderr is piped");
    let (out, err) = (all_of(stdout.take(most + 1)), all_of(stderr));
    let status = child.wait(tick)?;
    drop(child);
    let output = out.join().expect("reader thread").map_err(|e| Error::machine(format!("{name}: {e}")))?;
    let errors = err.join().expect("reader thread").unwrap_or_default();
    Ok(Finished { status, output, errors })
}

/// Reads in a thread of its own, so that a program that fills one pipe does not wait for us at the other.
fn all_of(mut from: impl Read + Send + 'static) -> JoinHandle<std::io::Result<Vec<u8>>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes)
    })
}

/// Runs `command` to its end and gives its standard output; its standard error is the message when it fails.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let finished = finish(command, Stdio::null())?;
    if finished.status.success() {
        return Ok(finished.output);
    }
    let name = command.get_program().to_string_lossy();
    Err(Error::machine(format!("{name} failed ({}): {}", finished.status, finished.complaint())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named_with_the_way_out() {
        let error = output(&mut Command::new("dirleak-no-such-program")).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Machine);
        assert!(error.to_string().contains("dirleak-no-such-program is not installed"), "{error}");
    }

    #[test]
    fn failing_program_is_quoted() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }

    #[test]
    fn child_that_others_keep_from_the_processor_is_told_from_one_that_sleeps() {
        let spin =
            || Child::spawn(Command::new("taskset").args(["-c", "0", "sh", "-c", "while :; do :; done"])).unwrap();
        let (one, other) = (spin(), spin());
        let asleep = Child::spawn(Command::new("sleep").arg("60")).unwrap();
        let begin = Instant::now();
        // Of two that share a processor each waits half of the time.
        while one.waited_for_processor() + other.waited_for_processor() < Duration::from_millis(40) {
            assert!(begin.elapsed() < Duration::from_secs(20), "nobody waits");
            std::thread::sleep(Duration::from_millis(5));
        }
        let waited = one.waited_for_processor() + other.waited_for_processor();
        assert!(asleep.waited_for_processor() < waited / 2, "{:?}", asleep.waited_for_processor());
    }

    #[test]
    fn child_that_has_ended_keeps_its_number_until_it_is_dropped() {
        let mut child = Child::spawn(Command::new("sh").args(["-c", "exit 7"])).unwrap();
        let id = child.inner().id();
        assert_eq!(child.wait(|| Ok(())).unwrap().code(), Some(7));
        // Another process group cannot have it, so that no signal reaches one.
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it was reaped");
        assert!(stat.contains(") Z "), "{stat}");
        assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), Some(7));
        drop(child);
        let gone = || std::fs::read_to_string(format!("/proc/{id}/stat")).map_or(true, |stat| !stat.contains(") Z "));
        assert!(gone(), "it was not reaped");
    }

    #[test]
    fn child_that_was_killed_tells_the_signal() {
        let mut child = Child::spawn(Command::new("sleep").arg("1000")).unwrap();
        child.signal(Signal::SIGKILL).unwrap();
        assert_eq!(child.wait(|| Ok(())).unwrap().signal(), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn child_that_is_dropped_takes_its_own_children_along() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}.new; mv {0}.new {0}; wait", file.display());
        let child = Child::spawn(Command::new("sh").args(["-c", &script])).unwrap();
        let pid = loop {
            if let Ok(text) = std::fs::read_to_string(&file) {
                break Pid::from_raw(text.trim().parse().unwrap());
            }
            std::thread::sleep(POLL);
        };
        drop(child);
        let gone = (0..500).any(|_| {
            std::thread::sleep(POLL);
            // A killed orphan may stay a zombie where nobody reaps it.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        });
        assert!(gone, "grandchild {pid} outlived the child");
    }
}
