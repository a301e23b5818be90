//! Whoever carries out requests, and how that ends.

use super::message::{Request, Response};
use crate::error::Error;
use crate::text::sanitize;

/// So much is shown of an answer that does not fit.
const SHOWN_BYTES: usize = 200;

/// Whoever carries out orders, one after the other.
pub trait Agent {
    /// Gives an order and waits for its answer; `step` hears what is being done.
    fn request(&mut self, order: &Request, step: &mut dyn FnMut(&str)) -> Result<Response, AgentError>;

    /// Returns the calls that the workload has told since this was asked last.
    fn take_syscall_log(&mut self) -> String {
        String::new()
    }
}

/// Why a guest ended before it was done.
#[derive(Clone, Debug)]
pub enum AgentError {
    /// The kernel is lost: what it is called, in a sentence, and the lines that show it.
    Crash { kind: String, sentence: String, lines: Vec<String> },
    /// The guest's kernel lacks something.
    Unsupported(String),
    /// Something in the guest that should have worked did not.
    Failed(String),
    /// The machine or the user ended it.
    Error(Error),
}

impl From<Error> for AgentError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Makes the error of an answer that does not fit the order.
pub fn unexpected(answer: &Response) -> AgentError {
    let answer = format!("{answer:?}");
    let shown = sanitize::beginning(&answer, SHOWN_BYTES);
    AgentError::Failed(format!("the guest answered something else than it was asked: {shown}"))
}
