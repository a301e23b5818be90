//! A guest in which many candidates are tried, one after the other.

use super::symptom::Symptom;
use super::trial::{Trial, Tried};
use crate::boot::guest_image::GuestImage;
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::protocol::agent::AgentError;
use crate::protocol::request::{Finish, request};
use crate::run::options::Options;
use crate::scenario::Scenario;
use crate::vm::machine::Vm;
use std::time::{Duration, Instant};

/// A guest may take so long: some hundred candidates.
const WHOLE: Duration = Duration::from_secs(3 * 3600);

/// A candidate may take so long; units that take longer are of no use for trying many.
const CANDIDATE: Duration = Duration::from_secs(60);

/// A guest that runs.
pub struct SharedGuest {
    vm: Vm,
    /// What it was booted from, as long as it runs.
    _image: GuestImage,
    complaints: u64,
}

impl SharedGuest {
    /// Boots a guest for the group of the job's scenario.
    pub fn boot(job: &Job, options: &Options) -> Result<Self, AgentError> {
        let within = job.options.within(WHOLE);
        let job = &Job { options: &within, ..*job };
        let image = GuestImage::prepare_supported(job, options.debugging(job.scenario, job.kernel))?;
        let mut vm = image.boot()?;
        boot(&mut vm, |_| ())?;
        Ok(Self { vm, _image: image, complaints: 0 })
    }

    /// Tries a candidate of its group.
    pub fn try_out(
        &mut self,
        scenario: &Scenario,
        seed: u64,
        min_rate: f64,
        is_guided: bool,
    ) -> Result<Tried, AgentError> {
        let begin = Instant::now();
        self.vm.allow(CANDIDATE);
        let tried = Trial { agent: &mut self.vm, min_rate, seed, is_guided }.run(scenario);
        let mut tried = tried.map_err(|error| match error {
            AgentError::Failed(_) if begin.elapsed() >= CANDIDATE => {
                AgentError::Failed(format!("it took longer than {} s", CANDIDATE.as_secs()))
            }
            other => other,
        })?;
        let complaints = self.vm.console().complaints();
        if complaints.count > self.complaints {
            self.complaints = complaints.count;
            let kind = complaints.kind.unwrap_or("complaint").to_owned();
            tried.symptoms.push(Symptom::Complains { kind });
        }
        Ok(tried)
    }

    /// Lets it end by itself; whatever goes wrong then is nobody's doing.
    pub fn end(mut self) {
        let _ = request(&mut self.vm, Finish {}, &mut |_| ());
    }
}
