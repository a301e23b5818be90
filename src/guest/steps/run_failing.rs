//! What a unit does while an allocation of it is to fail.

use super::runner::UnitRunner;
use super::side::Listed;
use crate::agent::target::UnitStats;
use crate::error::Result;

impl UnitRunner {
    /// Does what may ask for the allocation that is to fail.
    pub(super) fn while_failing<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T> {
        self.failing.arm()?;
        let result = work(self);
        self.failing.disarm()?;
        Ok(result)
    }

    /// Notes how a pass ended in which an allocation failed, if one did.
    pub(super) fn note_failed(&self, result: &Listed, played: &mut UnitStats) {
        match result {
            Err(failed) if self.failing.has_failed() => {
                *played.failures.errors.entry(format!("{:?}", failed.errno)).or_default() += 1;
            }
            _ => {}
        }
    }
}
