//! The warm-up, before anything counts: what the kernel does once is done, and meanwhile the controls are held.

use super::session::{Session, SessionResult};
use super::{controls, name_control};
use crate::probe::control_allocs::ControlAllocs;
use crate::probe::counters::SiteSource;
use crate::protocol::request::{Hold, ListPlainly, Release, TraceBegin, TraceEnd, Traced};
use crate::result::parts::RoundKind;
use crate::sample::{KINDS, Sample};

/// Listings before anything counts, for each processor, so that what is allocated once at first use is there: each has kernel threads of its
/// own, and each of those a piece of memory for the packets that it sends.
const WARM_UP: u64 = 2;
/// Processors beyond which no more are made.
const MOST_WARMED: u64 = 4;

impl Session<'_> {
    /// All positive controls, around the warm-up; gives the first reading that counts.
    pub(super) fn controls(&mut self, names: &[String]) -> SessionResult<Sample> {
        self.task.note("controls");
        let before = self.read_once()?;
        let held = self.hold_controls()?;
        let processors = self.outcome.record.setup.as_ref().map_or(1, |setup| setup.cpus);
        let warm_up = WARM_UP * processors.clamp(1, MOST_WARMED);
        self.work(warm_up, 0, Some(0.0))?;
        let sites = match self.site_source {
            // Where others have eventfds, too, the call site does not tell whose they are.
            SiteSource::Kept if self.noise.is_none() => Some(self.sites(&held.eventfd_caches)?),
            _ => None,
        };
        let (meanwhile, cached, kept) = match self.site_source {
            SiteSource::Traced => self.trace_names(names)?,
            SiteSource::Kept | SiteSource::None => self.ask_for_names(names)?,
        };
        self.request(Release {})?;
        let baseline = self.read_settled(RoundKind::Warmup, warm_up)?;
        let missing = &self.outcome.record.not_looked_for;
        let samples = [&before, &meanwhile, &baseline];
        let noise = self.noise.as_ref();
        let sources = controls::Readings { held, missing, samples, sites: sites.as_ref(), noise }.controls();
        self.outcome.controls(sources, cached, cached - kept);
        Ok(baseline)
    }

    /// Returns a plain listing, and a reading after the caches were dropped; with it the names at their call site before and
    /// after that.
    fn ask_for_names(&mut self, names: &[String]) -> SessionResult<(Sample, i64, i64)> {
        self.list_plainly()?;
        let cached = name_control::count(&self.sites(names)?);
        let meanwhile = self.read_once()?;
        Ok((meanwhile, cached, name_control::count(&self.sites(names)?)))
    }

    /// Returns the same where a trace tells call sites. What it takes is given back before anything is read that counts.
    fn trace_names(&mut self, names: &[String]) -> SessionResult<(Sample, i64, i64)> {
        self.request(TraceBegin { counters: names.to_vec(), stacks: false })?;
        self.list_plainly()?;
        let cached = self.request(Traced {})?;
        self.read_once()?;
        let kept = self.request(TraceEnd {})?;
        let meanwhile = self.read_once()?;
        let (Some(cached), Some(kept)) = (cached, kept) else {
            self.outcome.record.notes.push("the trace of the control's names lost events".into());
            return Ok((meanwhile, 0, 0));
        };
        Ok((meanwhile, name_control::count(&cached), name_control::count(&kept)))
    }

    /// Has the guest hold what the controls need; of what it does not hold nothing shows that it would be seen.
    fn hold_controls(&mut self) -> SessionResult<ControlAllocs> {
        let held = self.request(Hold {})?;
        let not_looked_for = &mut self.outcome.record.not_looked_for;
        for source in KINDS.iter().filter(|info| held.held(info.kind).is_none()).filter_map(|info| info.kind.counter())
        {
            if !not_looked_for.iter().any(|missing| missing == source) {
                not_looked_for.push(source.to_owned());
            }
        }
        Ok(held)
    }

    /// A listing that is no unit and counts for nothing but its names.
    fn list_plainly(&mut self) -> SessionResult<()> {
        let worked = self.request(ListPlainly {})?;
        self.outcome.broken = self.outcome.broken.take().or(worked.broken);
        Ok(())
    }
}
