//! A guest that times listings when it is asked to, and does not run at all while another one does.

use crate::boot::guest_image::{GuestImage, KernelDebug};
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::os::progress::Task;
use crate::protocol::agent::{AgentError, unexpected};
use crate::protocol::message::{Request, Response};
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
        self.check_response(ready).map(drop)
    }

    /// Times a listing in each state.
    pub fn time(&mut self, states: &[CacheState]) -> Result<Vec<Measured>> {
        let mut measured = Vec::new();
        let mut began = Instant::now();
        let order = Request::Time { states: states.to_vec() };
        let mut answer = self.vm.request(&order, |name, _| {
            if name == BEGINS {
                began = Instant::now();
            }
        });
        loop {
            match self.check_response(answer)? {
                Response::Timed(listing) => {
                    measured.push(Measured { listing, wall_seconds: began.elapsed().as_secs_f64() });
                    if measured.len() == states.len() {
                        return Ok(measured);
                    }
                }
                Response::Step { name, .. } if name == BEGINS => began = Instant::now(),
                Response::Step { .. } => {}
                other => return Err(self.explain(unexpected(&other))),
            }
            answer = self.vm.response();
        }
    }

    /// Has a cold listing checked, and what it leaves in the caches told.
    pub fn footprint(&mut self) -> Result<Footprint> {
        let answer = self.vm.request(&Request::Footprint, |_, _| ());
        match self.check_response(answer)? {
            Response::Footprint(footprint) => match footprint.broken {
                Some(wrong) => Err(Error::kernel(format!("{}: {wrong}, so that there is nothing to time", self.spec))),
                None => Ok(footprint),
            },
            other => Err(self.explain(unexpected(&other))),
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

    fn check_response(&self, answer: std::result::Result<Response, AgentError>) -> Result<Response> {
        answer.map_err(|ended| self.explain(ended))
    }

    fn explain(&self, ended: AgentError) -> Error {
        into_error(&self.spec, &self.console_log, ended)
    }
}

/// Why a guest is no more, as an error: what the kernel did is 125, as nothing can be measured of it.
fn into_error(spec: &str, log: &str, ended: AgentError) -> Error {
    match ended {
        AgentError::Error(error) => error,
        AgentError::Crash { sentence, .. } | AgentError::Failed(sentence) => {
            Error::kernel(format!("{spec}: {sentence}"))
        }
        AgentError::Unsupported(sentence) => Error::kernel(format!("{spec}: {sentence}; its console is in {log}")),
    }
}
