//! The account of the workload's cgroup: what was charged to it in the rounds, and what taking it away frees.

use super::session::{Session, SessionResult};
use crate::protocol::message::CgroupUsage;
use crate::protocol::request::{Charged, TakeCgroupAway};
use crate::result::parts::{CgroupRecord, RoundKind};
use crate::sample::{Sample, growth};

impl Session<'_> {
    /// Asks for what is charged to it now.
    pub(super) fn cgroup_usage(&mut self) -> SessionResult<CgroupUsage> {
        self.request(Charged {})
    }

    /// Notes what is charged to it, `before` being what was charged before the rounds, and takes it away; gives the reading
    /// after that.
    pub(super) fn take_cgroup_away(&mut self, before: &CgroupUsage, last: Sample) -> SessionResult<Sample> {
        let charged = self.cgroup_usage()?;
        self.request(TakeCgroupAway {})?;
        let after = self.read_settled(RoundKind::Cgroup, 0)?;
        self.outcome.record.cgroup = Some(CgroupRecord {
            peak_bytes: charged.peak_bytes,
            charged_bytes: charged.bytes,
            slab_bytes: charged.slab_bytes,
            file_bytes: charged.file_bytes,
            anonymous_bytes: charged.anonymous_bytes,
            slab_growth_bytes: charged.slab_bytes as i64 - before.slab_bytes as i64,
            freed_by_removal: growth(&after.objects, &last.objects).into_iter().filter(|(_, n)| *n > 0).collect(),
        });
        Ok(after)
    }
}
