//! The allocation of a unit that is to fail: counted while a step is in the kernel, and nowhere else.

use super::side::Side;
use crate::agent::target::UnitStats;
use crate::error::Result;
use crate::guest::fault_injection::{FaultInjection, Telling};
use crate::scenario::fail_nth::{AllocationKind, FailNth};

/// What is to fail, and what became of it.
#[derive(Default)]
pub struct Failing {
    injection: Option<FaultInjection>,
    /// What it was last told to count and to tell.
    selected: Option<(AllocationKind, Telling)>,
    /// In each unit, whatever its steps say.
    each: Option<FailNth>,
    /// How many are still to be asked for in this unit, that one included; `None` if none is to fail, or not any more.
    left: Option<u32>,
    /// Whether one has failed in this unit.
    has_failed: bool,
    /// Who asked for the first that failed, once that is known.
    stack: Vec<String>,
}

impl Failing {
    /// Has this allocation fail in each unit from now on; none if there is none.
    pub fn each_unit(&mut self, fail: Option<FailNth>) {
        self.each = fail;
        self.stack.clear();
    }

    /// Returns whether an allocation has failed in this unit.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Begins a unit.
    pub(super) fn begin_unit(&mut self, place: Side) -> Result<()> {
        self.has_failed = false;
        self.left = None;
        match self.each {
            Some(fail) if place == Side::Nfs => self.plan(fail),
            _ => Ok(()),
        }
    }

    /// Has this allocation of the steps that follow fail.
    pub(super) fn plan(&mut self, fail: FailNth) -> Result<()> {
        let injection = match self.injection.take() {
            Some(injection) => injection,
            None => FaultInjection::open()?,
        };
        let wanted = (fail.kind, if self.stack.is_empty() { Telling::Stack } else { Telling::Nothing });
        if self.selected != Some(wanted) {
            injection.select(wanted.0, wanted.1)?;
            self.selected = Some(wanted);
        }
        self.injection = Some(injection);
        self.left = Some(fail.nth);
        Ok(())
    }

    /// Ends a unit, and notes what failed in it.
    pub(super) fn end_unit(&mut self, played: &mut UnitStats) -> Result<()> {
        self.left = None;
        if !self.has_failed {
            return Ok(());
        }
        played.failures.units += 1;
        if let (true, Some(injection)) = (self.stack.is_empty(), &mut self.injection) {
            self.stack = injection.stack()?;
            played.failures.stack.clone_from(&self.stack);
        }
        Ok(())
    }

    /// Has the kernel count from here on.
    pub(super) fn arm(&self) -> Result<()> {
        match (&self.injection, self.left) {
            (Some(injection), Some(nth)) => injection.arm(nth),
            _ => Ok(()),
        }
    }

    /// Has it count no more, and notes whether one has failed.
    pub(super) fn disarm(&mut self) -> Result<()> {
        if let (Some(injection), Some(_)) = (&self.injection, self.left) {
            let left = injection.disarm()?;
            self.has_failed |= left == 0;
            self.left = Some(left).filter(|left| *left > 0);
        }
        Ok(())
    }
}
