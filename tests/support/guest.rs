//! Command lines of dirleak carried out in a guest: how `dirleak host` is tried on a machine that one may leak on.

use dirleak::internals::boot::guest_image::{GuestImage, KernelDebug};
use dirleak::internals::boot::job::Job;
use dirleak::internals::boot::ready::boot;
use dirleak::internals::protocol::agent::AgentError;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use dirleak::internals::protocol::request::{self, Execute};
use dirleak::internals::vm::machine::Vm;

/// A guest of a scenario, with its server and its mount, in which nothing is measured but by command lines.
pub struct Machine {
    vm: Vm,
    _stage: GuestImage,
}

impl Machine {
    /// Boots it and waits until the stage is set.
    pub fn start(job: &Job, debug: KernelDebug) -> Result<Self, AgentError> {
        let stage = GuestImage::prepare(job, debug)?;
        let mut vm = stage.boot()?;
        boot(&mut vm, |_| ())?;
        Ok(Self { vm, _stage: stage })
    }

    /// Runs them beside each other, while the guest itself lists, if it is to.
    pub fn execute(&mut self, commands: &[CommandLine], meanwhile: bool) -> Result<Vec<CommandOutput>, AgentError> {
        request::request(&mut self.vm, Execute { commands: commands.to_vec(), meanwhile }, &mut |_| ())
    }

    /// Lets the guest end.
    pub fn finish(self) -> Result<(), AgentError> {
        self.vm.finish().map(drop)
    }
}
