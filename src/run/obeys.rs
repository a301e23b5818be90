//! Who carries out the orders of a run: a guest, or this machine.

use crate::guest::protocol::{Request, Response};
use crate::vm::machine::{AgentError, Vm};

/// Whoever carries out orders, one after the other.
pub trait Agent {
    /// Gives an order and waits for its answer; `step` hears what is being done.
    fn request(&mut self, order: &Request, step: &mut dyn FnMut(&str)) -> Result<Response, AgentError>;

    /// The calls that the workload has told since this was asked last.
    fn take_syscall_log(&mut self) -> String {
        String::new()
    }
}

impl Agent for Vm {
    fn request(&mut self, order: &Request, step: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
        Vm::request(self, order, |name, _| step(name))
    }

    fn take_syscall_log(&mut self) -> String {
        Vm::take_syscall_log(self)
    }
}
