//! What others would see of the same scenario on the same kernel: the plain slabinfo recipe and kmemleak, in a guest of
//! their own, because kmemleak must be on from boot and dirleak's debugging options change what slabinfo shows.

use super::Job;
use super::conduct::boot;
use super::stage::{Debugging, Stage};
use crate::error::Result;
use crate::guest::protocol::{Answer, Order};
use crate::probe::kmemleak::Reported;
use crate::verdict::growth;
use crate::vm::machine::{Ended, Vm, unexpected};
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
    pub kmemleak: Option<Reported>,
    /// Why there is nothing to compare with, if so.
    pub failed: Option<String>,
}

/// Makes `units` units with the plain recipe around them, then has kmemleak scan. What the guest does wrong is told in the
/// result; an error is ours or the machine's.
pub fn compare(job: &Job, units: u64) -> Result<Compared> {
    let stage = Stage::prepare(job, Debugging::Kmemleak)?;
    let task = job.ui.task(format!("{} on {}, for comparison", job.scenario.name, job.kernel.spec));
    let compared = match conduct(&stage, units) {
        Ok(compared) => compared,
        Err(Ended::Error(error)) => return Err(error),
        Err(Ended::GaveUp(sentence) | Ended::Unsupported(sentence) | Ended::Crash { sentence, .. }) => {
            Compared { units, failed: Some(sentence), ..Compared::default() }
        }
    };
    task.done(if compared.failed.is_some() { "failed" } else { "done" });
    Ok(compared)
}

fn conduct(stage: &Stage, units: u64) -> std::result::Result<Compared, Ended> {
    let mut vm = stage.boot()?;
    boot(&mut vm, |_| ())?;
    work(&mut vm, WARM_UP)?;
    let before = slabinfo(&mut vm)?;
    work(&mut vm, units)?;
    let after = slabinfo(&mut vm)?;
    let kmemleak = match ask(&mut vm, &Order::Kmemleak)? {
        Answer::Kmemleak { reported } => reported,
        other => return Err(unexpected(&other)),
    };
    vm.finish()?;
    // kmemleak's own records are what kmemleak costs; who follows the recipe has none.
    let recipe =
        growth(&before, &after).into_iter().filter(|(name, n)| *n > 0 && !name.starts_with("kmemleak_")).collect();
    Ok(Compared { units, recipe, kmemleak, failed: None })
}

fn ask(vm: &mut Vm, order: &Order) -> std::result::Result<Answer, Ended> {
    crate::os::signals::check()?;
    vm.ask(order, |_, _| ())
}

fn work(vm: &mut Vm, listings: u64) -> std::result::Result<(), Ended> {
    match ask(vm, &Order::Work { listings, fillers: 0, at_least_seconds: Some(0.0) })? {
        Answer::Worked(_) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn slabinfo(vm: &mut Vm) -> std::result::Result<BTreeMap<String, i64>, Ended> {
    match ask(vm, &Order::Slabinfo)? {
        Answer::Slabinfo { objects } => Ok(objects),
        other => Err(unexpected(&other)),
    }
}
