//! What the kernel's own leak detector reports of a run, beside its findings.

use super::session::{Session, SessionResult};
use crate::probe::kmemleak::KmemleakReport;
use crate::protocol::request::Kmemleak;
use crate::result::parts::KmemleakRecord;
use std::time::Instant;

impl Session<'_> {
    /// Asks what the kernel's own leak detector reports of all that was done.
    pub(super) fn ask_kmemleak(&mut self) -> SessionResult<()> {
        let begin = Instant::now();
        self.task.note("kmemleak scans");
        let reported = self.request(Kmemleak {})?;
        self.outcome.record.kmemleak = Some(match reported {
            Some(KmemleakReport { objects, functions }) => {
                KmemleakRecord { available: true, objects, objects_by_function: functions }
            }
            None => KmemleakRecord::default(),
        });
        self.outcome.time("kmemleak", begin);
        Ok(())
    }
}
