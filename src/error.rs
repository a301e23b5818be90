//! One error for the whole program: a sentence that names the thing and the way out, and the exit status it means.

use crate::exit::Exit;
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
    /// An error with the given exit status.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The user said something that cannot be: arguments, a scenario file, an unknown name (129).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// The machine failed us: QEMU, disk, network, cache, result file (128).
    pub fn machine(message: impl Into<String>) -> Self {
        Self::new(Exit::Machine, message)
    }

    /// This kernel cannot be judged: its patch, build or boot failed (125).
    pub fn kernel(message: impl Into<String>) -> Self {
        Self::new(Exit::CannotJudge, message)
    }

    /// The status the program ends with.
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
