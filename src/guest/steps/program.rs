//! A program that nobody here wrote: run to its end, and nothing of it left behind.

use crate::error::{Context, Error, Result};
use crate::os::pipe::pipe;
use crate::protocol::guest_paths::{EXEC_FILES, PROGRAM_DIRS};
use crate::protocol::message::ProgramWords;
use crate::scenario::program::Program;
use crate::text::sanitize;
use crate::workload::progress;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What programs find in their environment beside PATH.
const ENVIRONMENT: [(&str, &str); 4] = [("HOME", "/tmp"), ("TMPDIR", "/tmp"), ("LANG", "C.UTF-8"), ("TERM", "dumb")];
/// The directory of the mount that programs have to themselves, where a client can write to it.
pub(super) const WORK: &str = "work";
/// What is kept of what a program says: its last bytes, and the last lines of them.
const SAID_BYTES: usize = 2048;
const SAID_LINES: usize = 5;
/// Between two looks at a program that says nothing.
const LOOK: u16 = 20;
/// How long what it left behind may take to end by itself, and once it was killed.
const ENDING: Duration = Duration::from_millis(10);
const KILLED: Duration = Duration::from_secs(2);

/// What the programs of a scenario have done.
#[derive(Default)]
pub struct Programs {
    pub(super) packed: Vec<ProgramWords>,
    /// What they are told of the run.
    pub(super) seed: u64,
    /// Units so far, on the mount and in the local directory.
    pub(super) units: [u64; 2],
    /// Processes that were here before any of them; none of theirs.
    pub(super) ours: Option<Vec<Pid>>,
}

impl Programs {
    /// Returns the programs of a plan.
    pub fn new(packed: Vec<ProgramWords>, seed: u64) -> Self {
        Self { packed, seed, ..Self::default() }
    }
}

/// Runs it to its end or to its limit, and gives what was wrong.
pub(super) fn run(words: &[String], dir: &Path, told: &[(&str, String)], program: &Program) -> Result<Option<String>> {
    let [name, rest @ ..] = words else {
        return Err(Error::machine(format!("a bug of dirleak: nobody packed `{}`", program.command)));
    };
    let cannot = || format!("cannot run {name}");
    let (said, says) = pipe().machine(cannot)?;
    let mut command = Command::new(name);
    command.args(rest).current_dir(dir).env_clear().envs(ENVIRONMENT).stdin(Stdio::null()).process_group(0);
    command.env("PATH", [&PROGRAM_DIRS[..], &[EXEC_FILES]].concat().join(":"));
    command.envs(
        told.iter().map(|(key, value)| (format!("DIRLEAK_{}", key.trim_matches(['{', '}']).to_uppercase()), value)),
    );
    command.stdout(says.try_clone().machine(cannot)?).stderr(says);
    let child = command.spawn();
    // Its ends of the pipe are closed here, so that the other one hears when nobody has them any more.
    drop(command);
    let mut running = match child {
        Ok(child) => Running { child, said, last: Vec::new(), is_silent: false },
        Err(e) => return Ok(Some(format!("`{}` cannot be started: {e}", program.command))),
    };
    let limit = Duration::from_secs(program.timeout_seconds.into());
    let status = running.wait(Instant::now() + limit).machine(cannot)?;
    let ended = match status {
        Some(status) if status.code() == Some(program.exit_status.into()) => return Ok(None),
        Some(status) => how(status),
        None => {
            let _ = killpg(Pid::from_raw(running.child.id() as i32), Signal::SIGKILL);
            running.child.wait().machine(cannot)?;
            format!("did not end within {} s", program.timeout_seconds)
        }
    };
    Ok(Some(format!("`{}` {ended}{}", program.command, running.last_lines())))
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".into(),
    }
}

struct Running {
    child: Child,
    said: File,
    /// The last of what it said.
    last: Vec<u8>,
    /// Whether nobody can say anything more.
    is_silent: bool,
}

impl Running {
    /// Waits for its end and takes what it says; `None` when the time is over.
    fn wait(&mut self, end: Instant) -> std::io::Result<Option<ExitStatus>> {
        loop {
            self.hear(LOOK)?;
            progress::made();
            if let Some(status) = self.child.try_wait()? {
                // Who has inherited the pipe may go on; what is in it is heard.
                while self.hear(0)? {}
                return Ok(Some(status));
            }
            if Instant::now() > end {
                return Ok(None);
            }
        }
    }

    /// Takes what there is, or waits for it at most `milliseconds`; returns whether there was something.
    fn hear(&mut self, milliseconds: u16) -> std::io::Result<bool> {
        if self.is_silent {
            std::thread::sleep(Duration::from_millis(u64::from(milliseconds.min(1))));
            return Ok(false);
        }
        let mut ready = [PollFd::new(self.said.as_fd(), PollFlags::POLLIN)];
        if poll(&mut ready, PollTimeout::from(milliseconds))? == 0 {
            return Ok(false);
        }
        let mut bytes = [0; 4096];
        let count = self.said.read(&mut bytes)?;
        self.is_silent = count == 0;
        self.last.extend(&bytes[..count]);
        self.last.drain(..self.last.len().saturating_sub(SAID_BYTES));
        Ok(count > 0)
    }

    /// Returns its last lines, for the end of a sentence.
    fn last_lines(&self) -> String {
        let text = String::from_utf8_lossy(&self.last);
        let lines: Vec<_> = text.lines().map(sanitize::line).filter(|line| !line.trim().is_empty()).collect();
        if lines.is_empty() {
            return " and said nothing".into();
        }
        format!(" and said last: {}", lines[lines.len().saturating_sub(SAID_LINES)..].join(" / "))
    }
}

/// Returns all processes of this machine but the kernel's own, which are children of 2.
pub(super) fn processes() -> Result<Vec<Pid>> {
    let what = || "cannot read /proc".into();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").machine(what)? {
        let name = entry.machine(what)?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Who has ended meanwhile is none.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse::<i32>().ok());
        if pid != 2 && parent != Some(2) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

/// Ends what a program has left behind, which are now our children, and takes the dead away: each would be a task that stays. Gives how many
/// lived.
pub(super) fn end_what_is_left(ours: &[Pid], tasks_before: Option<u64>) -> Result<u64> {
    let peek = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let nobody_died = matches!(waitid(Id::All, peek), Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD));
    // Reading all of /proc for each unit would take longer than a small program.
    if nobody_died && tasks().zip(tasks_before).is_some_and(|(now, before)| now <= before) {
        return Ok(0);
    }
    let mut lived = 0;
    for pid in processes()?.into_iter().filter(|pid| !ours.contains(pid)) {
        if lives_on(pid, ENDING) {
            lived += 1;
            let _ = kill(pid, Signal::SIGKILL);
            lives_on(pid, KILLED);
        }
    }
    Ok(lived)
}

/// Returns whether a child of ours still lives after so long; a dead one is gone then.
fn lives_on(pid: Pid, time: Duration) -> bool {
    let end = Instant::now() + time;
    while waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        if Instant::now() > end {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Returns how many tasks there are, kernel threads among them; `None` if the kernel does not tell. The number behind the slash of
/// `/proc/loadavg` (loadavg_proc_show in fs/proc/loadavg.c, 5.1 to 7.3).
pub(super) fn tasks() -> Option<u64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(['/', ' ']).nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(words: &[&str], program: &Program) -> Option<String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        run(&words, Path::new("/"), &[("{unit}", "7".to_owned())], program).unwrap()
    }

    #[test]
    fn program_that_ends_as_it_must_is_right() {
        assert_eq!(ran(&["/bin/true"], &Program::new("true")), None);
        let fails = Program { exit_status: 3, ..Program::new("sh") };
        assert_eq!(ran(&["/bin/sh", "-c", "exit 3"], &fails), None);
        assert_eq!(ran(&["/bin/sh", "-c", "test $DIRLEAK_UNIT = 7 -a $PWD = /"], &Program::new("sh")), None);
    }

    #[test]
    fn program_that_ends_otherwise_is_told_with_its_last_lines() {
        let wrong = ran(&["/bin/sh", "-c", "seq 1000; echo it broke >&2; exit 4"], &Program::new("a b")).unwrap();
        assert_eq!(wrong, "`a b` ended with status 4 and said last: 997 / 998 / 999 / 1000 / it broke");
        let killed = ran(&["/bin/sh", "-c", "kill -9 $$"], &Program::new("x")).unwrap();
        assert_eq!(killed, "`x` was ended by signal 9 and said nothing");
        assert!(ran(&["/no/such"], &Program::new("x")).unwrap().contains("cannot be started"));
    }

    #[test]
    fn tasks_are_counted() {
        assert!(tasks().is_some_and(|tasks| tasks >= processes().unwrap().len() as u64));
    }

    #[test]
    fn program_that_does_not_end_is_ended_with_all_of_its_group() {
        let begin = Instant::now();
        let short = Program { timeout_seconds: 1, ..Program::new("sh") };
        let wrong = ran(&["/bin/sh", "-c", "sleep 77 & yes"], &short).unwrap();
        assert!(wrong.starts_with("`sh` did not end within 1 s and said last: y / y"), "{wrong}");
        assert!(begin.elapsed() < Duration::from_secs(20));
    }
}
