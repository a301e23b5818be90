//! What others would see of the same scenario on the same kernel: the plain slabinfo recipe and kmemleak, in a guest of
//! their own, because kmemleak must be on from boot and dirleak's debugging options change what slabinfo shows.

use crate::boot::guest_image::{GuestImage, KernelDebug};
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::error::Result;
use crate::probe::kmemleak::KmemleakReport;
use crate::protocol::agent::AgentError;
use crate::protocol::request::{self, Kmemleak, Slabinfo, TypedRequest, Work};
use crate::sample::growth;
use crate::vm::machine::Vm;
use serde::Serialize;
use std::collections::BTreeMap;

/// Units before the first reading, so that what is made once is there.
const WARM_UP: u64 = 2;

/// What others see.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compared {
    /// Units between the recipe's two readings.
    pub units: u64,
    /// Growth of active objects between them, by cache; what did not grow is left out.
    pub recipe: BTreeMap<String, i64>,
    /// What kmemleak reports at the end; `None` if the kernel has none.
    pub kmemleak: Option<KmemleakReport>,
    /// Why there is nothing to compare with, if so.
    pub failed: Option<String>,
}

/// Makes `units` units with the plain recipe around them, then has kmemleak scan. What the guest does wrong is told in the
/// result; an error is ours or the machine's.
pub fn compare(job: &Job, units: u64) -> Result<Compared> {
    let stage = GuestImage::prepare(job, KernelDebug::Kmemleak)?;
    let task = job.ui.task(format!("{} on {}, for comparison", job.scenario.name, job.kernel.spec));
    let compared = match run_plain_units(&stage, units) {
        Ok(compared) => compared,
        Err(AgentError::Error(error)) => return Err(error),
        Err(AgentError::Failed(sentence) | AgentError::Unsupported(sentence) | AgentError::Crash { sentence, .. }) => {
            Compared { units, failed: Some(sentence), ..Compared::default() }
        }
    };
    task.done(if compared.failed.is_some() { "failed" } else { "done" });
    Ok(compared)
}

fn run_plain_units(stage: &GuestImage, units: u64) -> std::result::Result<Compared, AgentError> {
    let mut vm = stage.boot()?;
    boot(&mut vm, |_| ())?;
    work(&mut vm, WARM_UP)?;
    let before = slabinfo(&mut vm)?;
    work(&mut vm, units)?;
    let after = slabinfo(&mut vm)?;
    let kmemleak = request(&mut vm, Kmemleak {})?;
    vm.finish()?;
    // kmemleak's own records are what kmemleak costs; who follows the recipe has none.
    let recipe =
        growth(&before, &after).into_iter().filter(|(name, n)| *n > 0 && !name.starts_with("kmemleak_")).collect();
    Ok(Compared { units, recipe, kmemleak, failed: None })
}

fn request<R: TypedRequest>(vm: &mut Vm, wanted: R) -> std::result::Result<R::Answer, AgentError> {
    crate::os::signals::check()?;
    request::request(vm, wanted, &mut |_| ())
}

fn work(vm: &mut Vm, listings: u64) -> std::result::Result<(), AgentError> {
    request(vm, Work { listings, fillers: 0, at_least_seconds: Some(0.0) }).map(drop)
}

fn slabinfo(vm: &mut Vm) -> std::result::Result<BTreeMap<String, i64>, AgentError> {
    request(vm, Slabinfo {})
}
