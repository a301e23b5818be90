//! What code of the kernel the units of a scenario execute: one guest, whose counters are read after everything that it does.

use super::duration;
use super::session::SessionResult;
use crate::boot::guest_image::{GuestImage, KernelDebug};
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::coverage::counters::{FileCounters, Totals};
use crate::coverage::reached::{KernelNotes, Reached};
use crate::error::Result;
use crate::os::progress::Task;
use crate::protocol::agent::AgentError;
use crate::protocol::message::Response;
use crate::protocol::request::{Coverage, FailInEachUnit, Glance, ResetCoverage, TypedRequest, Unmount, Work, request};
use crate::scenario::fail_nth::{AllocationKind, FailNth};
use crate::vm::machine::Vm;
use std::time::Instant;

/// What is new may come with every other unit.
const LEAST_UNITS: u64 = 4;

/// What a guest is to do.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Units at most; fewer, if twice as many as before reach nothing more.
    pub units: u64,
    /// Objects, and pages, of a unit that are made to fail, each once.
    pub failures: u32,
}

/// What a guest executed.
#[derive(Debug, Default)]
pub struct Executed {
    /// `uname -r`.
    pub release: String,
    pub counters: Totals,
    pub reached: Reached,
    /// Units that were made, and those of them in which an allocation failed.
    pub units: u64,
    pub failures: u64,
    pub seconds: f64,
    /// How often counters were read and set to zero, and what all of that took.
    pub readings: u64,
    pub reading_seconds: f64,
    /// What kept it from doing everything, in a sentence.
    pub ended_by: Option<String>,
}

/// Has a guest do what the scenario says. What it was kept from is told in the result; an error is ours or the machine's.
pub fn execute(job: &Job, notes: &KernelNotes, effort: Effort) -> Result<Executed> {
    let Job { scenario, kernel, ui, .. } = *job;
    let begin = Instant::now();
    let boot = job.options.within(duration::limit(scenario));
    let job = &Job { options: &boot, ..*job };
    let task = ui.task(format!("{} on {}", scenario.name, kernel.spec));
    let mut executed = Executed::default();
    let shortfall = scenario.memory_shortfall().map(AgentError::Unsupported);
    let ended = shortfall.map_or_else(|| guest(job, notes, effort, &task, &mut executed), Err);
    executed.ended_by = match ended {
        Ok(()) => None,
        Err(AgentError::Error(error)) => return Err(error),
        Err(AgentError::Crash { sentence, .. } | AgentError::Failed(sentence) | AgentError::Unsupported(sentence)) => {
            Some(sentence)
        }
    };
    executed.seconds = begin.elapsed().as_secs_f64();
    let how = if executed.ended_by.is_some() { ", then it ended" } else { "" };
    task.done(&format!("{} branches in {} units{how}", executed.reached.arcs(), executed.units));
    Ok(executed)
}

fn guest(job: &Job, notes: &KernelNotes, effort: Effort, task: &Task, executed: &mut Executed) -> SessionResult<()> {
    let stage = GuestImage::prepare_supported(job, KernelDebug::Stock)?;
    if let Some(shortfall) = stage.memory_shortfall() {
        return Err(AgentError::Unsupported(shortfall));
    }
    let mut vm = stage.boot()?;
    boot(&mut vm, |part| match part {
        Response::Hello { release } => executed.release.clone_from(release),
        Response::Step { name, .. } => task.note(name),
        _ => {}
    })?;
    let mut course = Course { vm, notes, task, executed };
    // What came before units: the server was started, and it was mounted.
    course.take()?;
    course.units(effort.units)?;
    for kind in AllocationKind::ALL {
        course.failures(kind, effort.failures)?;
    }
    // Caches are dropped, too, when counters of memory are read.
    course.request(Glance {})?;
    course.request(Unmount {})?;
    course.take()?;
    course.vm.finish()?;
    Ok(())
}

/// A guest that is ready.
struct Course<'a> {
    vm: Vm,
    notes: &'a KernelNotes,
    task: &'a Task,
    executed: &'a mut Executed,
}

impl Course<'_> {
    fn request<R: TypedRequest>(&mut self, wanted: R) -> SessionResult<R::Answer> {
        let task = self.task;
        let answer = request(&mut self.vm, wanted, &mut |step| task.note(step));
        self.vm.take_syscall_log();
        answer
    }

    /// Takes what was counted since this was asked; gives how many arcs that reached for the first time.
    fn take(&mut self) -> SessionResult<usize> {
        let begin = Instant::now();
        let counted: Vec<FileCounters> = self.request(Coverage {})?;
        self.request(ResetCoverage {})?;
        self.executed.readings += 1;
        self.executed.reading_seconds += begin.elapsed().as_secs_f64();
        self.executed.counters.add(&counted);
        let reached = self.notes.reached(&counted)?;
        let new = self.executed.reached.new_in(&reached);
        self.executed.reached.join(&reached);
        Ok(new)
    }

    /// Makes one unit, one more, two, four and so on, until so many reach nothing new, or `most` were made.
    fn units(&mut self, most: u64) -> SessionResult<()> {
        let mut batch = 1;
        while self.executed.units < most {
            let listings = batch.min(most - self.executed.units);
            self.task.note(&format!("unit {} of {most} at most", self.executed.units + 1));
            self.request(Work { listings, fillers: 0, at_least_seconds: Some(0.0) })?;
            self.executed.units += listings;
            if self.take()? == 0 && self.executed.units >= LEAST_UNITS {
                break;
            }
            batch = self.executed.units;
        }
        Ok(())
    }

    /// Has each of the first `most` allocations of a unit fail once.
    fn failures(&mut self, kind: AllocationKind, most: u32) -> SessionResult<()> {
        for nth in 1..=most {
            let fail = FailNth { kind, nth };
            self.task.note(&format!("{fail} fails"));
            self.request(FailInEachUnit { fail: Some(fail) })?;
            let worked = self.request(Work { listings: 1, fillers: 0, at_least_seconds: Some(0.0) })?;
            if worked.failures.units == 0 {
                break;
            }
            self.executed.units += 1;
            self.executed.failures += 1;
            // A failure may end the guest, and what was reached before is not to be lost.
            self.take()?;
        }
        self.request(FailInEachUnit { fail: None })
    }
}
