//! Waiting until a guest is ready.

use crate::protocol::agent::AgentError;
use crate::protocol::message::{Ready, Response};
use crate::protocol::request;
use crate::vm::machine::{BOOT_LIMIT, Vm};

/// Waits until the stage is set, and gives the answer that says so; `part` hears of what is done before.
pub fn boot(vm: &mut Vm, mut part: impl FnMut(&Response)) -> Result<Ready, AgentError> {
    let mut answer = vm.response_within(BOOT_LIMIT)?;
    while matches!(answer, Response::Hello { .. } | Response::Step { .. }) {
        part(&answer);
        answer = vm.response()?;
    }
    request::ready(answer)
}
