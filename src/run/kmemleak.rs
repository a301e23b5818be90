//! What the kernel's own leak detector reports of a run, beside its findings.

use super::conduct::{Course, Step};
use crate::guest::protocol::{Answer, Order};
use crate::probe::kmemleak::Reported;
use crate::report::record::KmemleakRecord;
use crate::vm::machine::unexpected;
use std::time::Instant;

impl Course<'_> {
    /// What the kernel's own leak detector reports of all that was done.
    pub(super) fn ask_kmemleak(&mut self) -> Step<()> {
        let begin = Instant::now();
        self.task.note("kmemleak scans");
        let reported = match self.ask(&Order::Kmemleak)? {
            Answer::Kmemleak { reported } => reported,
            other => return Err(unexpected(&other)),
        };
        self.outcome.record.kmemleak = Some(match reported {
            Some(Reported { objects, functions }) => {
                KmemleakRecord { available: true, objects, objects_by_function: functions }
            }
            None => KmemleakRecord::default(),
        });
        self.outcome.time("kmemleak", begin);
        Ok(())
    }
}
