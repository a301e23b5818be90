//! One error for the whole program: a sentence that names the thing and the way out, and the exit status it means. The statuses
//! are those that users script against, in one table.
//!
//! `git bisect run` reads 1 to 127 as "this commit is bad", 125 apart, which it skips. So 1 is sacred: it only
//! ever comes from a verdict, and whatever else goes wrong is 125 or at least 128.

use std::fmt;

/// What went wrong, in one sentence, and the status the program ends with because of it.
#[derive(Clone, Debug)]
pub struct Error {
    exit: Exit,
    message: String,
}

/// A result whose error already knows its exit status.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Returns an error with the given exit status.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Makes an error of the user, who said something that cannot be: arguments, a scenario file, an unknown name
    /// (129).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Makes an error of the machine, which failed us: QEMU, disk, network, cache, result file (128).
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Exit::Machine, message)
    }

    /// Makes an error of the kernel, which cannot be judged: its patch, build or boot failed (125).
    pub fn kernel(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotJudge, message)
    }

    /// Returns the status the program ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<nfs_fault_server::Error> for Error {
    fn from(error: nfs_fault_server::Error) -> Self {
        match error {
            nfs_fault_server::Error::ImpossibleFault(sentence) => Self::usage(sentence),
            nfs_fault_server::Error::Change(sentence) | nfs_fault_server::Error::System(sentence) => {
                Self::machine(sentence)
            }
        }
    }
}

/// Says what was being done to which thing when the operating system refused.
pub trait Context<T> {
    /// Turns the error into a machine error (128) that reads "`what`: reason".
    fn machine(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn machine(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::machine(format!("{}: {e}", what())))
    }
}

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `run`: every verdict clean. `verify`: proven.
    Clean = 0,
    /// `run`: at least one leak. `verify`: not proven.
    Leak = 1,
    /// This kernel cannot be judged: undecided, unsupported, crash, its patch, build or boot failed.
    CannotJudge = 125,
    /// The machine failed: QEMU, disk, network, cache, result file, or a bug of ours.
    Machine = 128,
    /// Arguments, scenario files, unknown names.
    Usage = 129,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Returns the number given to the shell.
    pub fn status(self) -> i32 {
        self as i32
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the table of the documentation, row by row: changing a number breaks people's scripts.
    #[test]
    fn statuses_are_the_documented_ones() {
        let table = [
            (Exit::Clean, 0),
            (Exit::Leak, 1),
            (Exit::CannotJudge, 125),
            (Exit::Machine, 128),
            (Exit::Usage, 129),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, status) in table {
            assert_eq!(exit.status(), status, "{exit:?}");
            let row = format!("\n| {status} | ");
            assert!(include_str!("../docs/exit-status.md").contains(&row), "{status} is not documented");
        }
    }
}
