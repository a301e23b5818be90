//! A guest that times listings when it is asked to, and does not run at all while another one does.

use crate::boot::guest_image::{GuestImage, KernelDebug};
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::os::progress::Task;
use crate::protocol::agent::AgentError;
use crate::protocol::message::Response;
use crate::protocol::request::{self, TypedRequest};
use crate::protocol::timing::{BEGINS, CacheState, Footprint};
use crate::result::bench::Measured;
use crate::vm::machine::Vm;
use crate::vm::qemu::Accelerator;
use std::time::Instant;

/// A guest of one kernel.
pub struct Guest {
    vm: Vm,
    spec: String,
    /// `uname -r`.
    pub release: String,
    accelerator: Accelerator,
    /// Where its console goes.
    pub console_log: String,
    // Its files are gone with it.
    _stage: GuestImage,
}

impl Guest {
    /// Starts it; [`Guest::wait`] waits until it is ready.
    pub fn start(job: &Job) -> Result<Self> {
        if let Some(shortfall) = job.scenario.memory_shortfall() {
            return Err(Error::usage(shortfall));
        }
        let stage = GuestImage::prepare(job, KernelDebug::Stock)?;
        if let Some(shortfall) = stage.memory_shortfall() {
            return Err(Error::kernel(shortfall));
        }
        let vm = stage.boot()?;
        let Kernel { spec, release, .. } = job.kernel.clone();
        let console_log = stage.console_log().display().to_string();
        Ok(Self { vm, spec, release, accelerator: job.accelerator, console_log, _stage: stage })
    }

    /// Waits until the directory is made and mounted.
    pub fn wait(&mut self, task: &Task) -> Result<()> {
        let (spec, release) = (&self.spec, &mut self.release);
        let ready = boot(&mut self.vm, |part| match part {
            Response::Hello { release: said } => release.clone_from(said),
            Response::Step { name, .. } => task.note(&format!("{spec}: {name}")),
            _ => {}
        });
        ready.map(drop).map_err(|ended| self.explain(ended))
    }

    /// Times a listing in each state.
    pub fn time(&mut self, states: &[CacheState]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        let mut began = Instant::now();
        let order = request::Time { states: states.to_vec() }.into_request();
        let mut answer = self.vm.request(&order, |name, _| {
            if name == BEGINS {
                began = Instant::now();
            }
        });
        loop {
            match answer.map_err(|ended| self.explain(ended))? {
                Response::Step { name, .. } if name == BEGINS => began = Instant::now(),
                Response::Step { .. } => {}
                answer => {
                    let listing = request::Time::answer(answer).map_err(|ended| self.explain(ended))?;
                    measured.push(Measured { listing, wall_seconds: began.elapsed().as_secs_f64() });
                    if measured.len() == states.len() {
                        return Ok(measured);
                    }
                }
            }
            answer = self.vm.response();
        }
    }

    /// Has a cold listing checked, and what it leaves in the caches told.
    pub fn footprint(&mut self) -> Result<Footprint> {
        let footprint = request::request(&mut self.vm, request::Footprint {}, &mut |_| ());
        let footprint = footprint.map_err(|ended| self.explain(ended))?;
        match footprint.broken {
            Some(wrong) => Err(Error::kernel(format!("{}: {wrong}, so that there is nothing to time", self.spec))),
            None => Ok(footprint),
        }
    }

    /// Keeps it from running until [`Guest::resume`], unless its clock would hear of that. A guest whose clock counts instructions would
    /// otherwise let days go by while it waits for orders.
    pub fn pause(&self) -> Result<()> {
        if self.accelerator == Accelerator::Kvm { Ok(()) } else { self.vm.pause() }
    }

    /// Lets it run again.
    pub fn resume(&self) -> Result<()> {
        if self.accelerator == Accelerator::Kvm { Ok(()) } else { self.vm.resume() }
    }

    /// Ends it.
    pub fn finish(self) -> Result<()> {
        let (spec, log) = (self.spec, self.console_log);
        self.vm.finish().map(drop).map_err(|ended| into_error(&spec, &log, ended))
    }

    fn explain(&self, ended: AgentError) -> Error {
        into_error(&self.spec, &self.console_log, ended)
    }
}

/// Turns why a guest is no more into an error: what the kernel did is 125, as nothing can be measured of it.
fn into_error(spec: &str, log: &str, ended: AgentError) -> Error {
    match ended {
        AgentError::Error(error) => error,
        AgentError::Crash { sentence, .. } | AgentError::Failed(sentence) => {
            Error::kernel(format!("{spec}: {sentence}"))
        }
        AgentError::Unsupported(sentence) => Error::kernel(format!("{spec}: {sentence}; its console is in {log}")),
    }
}
