//! What could not be done, in one sentence.

use std::fmt;

/// Why something could not be done, in one sentence that names the thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Error {
    /// A fault cannot happen as it is described.
    ImpossibleFault(String),
    /// The export cannot be changed so.
    Change(String),
    /// The operating system refused: a port that is taken, a thread that cannot start.
    System(String),
}

/// A result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::ImpossibleFault(sentence) | Self::Change(sentence) | Self::System(sentence)) = self;
        f.write_str(sentence)
    }
}

impl std::error::Error for Error {}

/// Says what was being done when the operating system refused.
pub(crate) trait Context<T> {
    /// Turns the error into "`what`: reason".
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::System(format!("{}: {e}", what())))
    }
}
