//! The command that starts QEMU, in the sandbox of this machine.

use super::qemu::{Machine, PROGRAM, arguments};
use super::sandbox::Sandbox;
use crate::error::{Context, Result};
use std::fs::File;
use std::process::Command;

/// Makes the command that starts it, in the sandbox of this machine. Its console is there from now on, and the only
/// file that QEMU may write.
pub fn command(machine: &Machine) -> Result<Command> {
    let log = machine.console_log;
    File::create(log).machine(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new(PROGRAM);
    command.args(arguments(machine));
    Sandbox::detect().confine(&mut command, Some(log))?;
    Ok(command)
}
