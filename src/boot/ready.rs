//! Waiting until a guest is ready.

use crate::protocol::agent::{AgentError, unexpected};
use crate::protocol::message::Response;
use crate::vm::machine::{BOOT_LIMIT, Vm};

/// Waits until the stage is set, and gives the answer that says so; `part` hears of what is done before.
pub fn boot(vm: &mut Vm, mut part: impl FnMut(&Response)) -> Result<Response, AgentError> {
    let mut answer = vm.response_within(BOOT_LIMIT)?;
    while matches!(answer, Response::Hello { .. } | Response::Step { .. }) {
        part(&answer);
        answer = vm.response()?;
    }
    if matches!(answer, Response::Ready { .. }) { Ok(answer) } else { Err(unexpected(&answer)) }
}
