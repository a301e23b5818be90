//! Command lines of dirleak carried out in a guest: how `dirleak host` is tried on a machine that one may leak on.

use super::Job;
use super::conduct::boot;
use super::stage::GuestImage;
use crate::guest::protocol::{CommandLine, CommandOutput, Request, Response};
use crate::vm::machine::{AgentError, Vm, unexpected};

/// A guest of a scenario, with its server and its mount, in which nothing is measured but by command lines.
pub struct Machine {
    vm: Vm,
    _stage: GuestImage,
}

impl Machine {
    /// Boots it and waits until the stage is set.
    pub fn start(job: &Job) -> Result<Self, AgentError> {
        let stage = GuestImage::prepare(job, job.options.debugging(job.scenario, job.kernel))?;
        let mut vm = stage.boot()?;
        boot(&mut vm, |_| ())?;
        Ok(Self { vm, _stage: stage })
    }

    /// Runs them beside each other, while the guest itself lists, if it is to.
    pub fn execute(&mut self, commands: &[CommandLine], meanwhile: bool) -> Result<Vec<CommandOutput>, AgentError> {
        let order = Request::Execute { commands: commands.to_vec(), meanwhile };
        match self.vm.request(&order, |_, _| ())? {
            Response::Executed { ended } => Ok(ended),
            other => Err(unexpected(&other)),
        }
    }

    /// Lets the guest end.
    pub fn finish(self) -> Result<(), AgentError> {
        self.vm.finish().map(drop)
    }
}
