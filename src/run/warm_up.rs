//! The warm-up, before anything counts: what the kernel does once is done, then the controls are held and released.

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
/// Listings of the local directory with them, for what its first use takes.
const WARM_UP_FILLERS: u64 = 1;

impl Session<'_> {
    /// Makes all positive controls, after the warm-up; gives the first reading that counts.
    ///
    /// From the reading before what is held to the one after its release no unit is made, so that what a unit leaks is no part of
    /// any of their differences, however much it is.
    pub(super) fn controls(&mut self, names: &[String]) -> SessionResult<Sample> {
        self.task.note("controls");
        let processors = self.outcome.record.setup.as_ref().map_or(1, |setup| setup.cpus);
        let warm_up = WARM_UP * processors.clamp(1, MOST_WARMED);
        self.work(warm_up, WARM_UP_FILLERS, Some(0.0))?;
        let (before, cached, kept) = match self.site_source {
            SiteSource::Traced => self.trace_names(names)?,
            SiteSource::Kept | SiteSource::None => self.ask_for_names(names)?,
        };
        let held = self.hold_controls()?;
        let sites = match self.site_source {
            // Where others have eventfds, too, the call site does not tell whose they are.
            SiteSource::Kept if self.noise.is_none() => Some(self.sites(&held.eventfd_caches)?),
            _ => None,
        };
        let meanwhile = self.read_once()?;
        self.request(Release {})?;
        let baseline = self.read_settled(RoundKind::Warmup, warm_up)?;
        let missing = &self.outcome.record.not_looked_for;
        let samples = [&before, &meanwhile, &baseline];
        let noise = self.noise.as_ref();
        let sources = controls::Readings { held, missing, samples, sites: sites.as_ref(), noise }.controls();
        self.outcome.controls(sources, cached, cached - kept);
        Ok(baseline)
    }

    /// Asks for a plain listing, and a reading after the caches were dropped; with it the names at their call site
    /// before and after that.
    fn ask_for_names(&mut self, names: &[String]) -> SessionResult<(Sample, i64, i64)> {
        self.list_plainly()?;
        let cached = name_control::count(&self.sites(names)?);
        let dropped = self.read_once()?;
        Ok((dropped, cached, name_control::count(&self.sites(names)?)))
    }

    /// Does the same where a trace tells call sites. What it takes is given back before anything is read that counts.
    fn trace_names(&mut self, names: &[String]) -> SessionResult<(Sample, i64, i64)> {
        self.request(TraceBegin { counters: names.to_vec(), stacks: false })?;
        self.list_plainly()?;
        let cached = self.request(Traced {})?;
        self.read_once()?;
        let kept = self.request(TraceEnd {})?;
        let ended = self.read_once()?;
        let (Some(cached), Some(kept)) = (cached, kept) else {
            self.outcome.record.notes.push("the trace of the control's names lost events".into());
            return Ok((ended, 0, 0));
        };
        Ok((ended, name_control::count(&cached), name_control::count(&kept)))
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

    /// Makes a listing that is no unit and counts for nothing but its names.
    fn list_plainly(&mut self) -> SessionResult<()> {
        let worked = self.request(ListPlainly {})?;
        self.outcome.broken = self.outcome.broken.take().or(worked.broken);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::progress::Ui;
    use crate::protocol::agent::{Agent, AgentError};
    use crate::protocol::message::{Request, Response, RoundStats};
    use crate::result::parts::Setup;
    use crate::result::record::{KernelRecord, RunRecord};
    use crate::run::observations::Observations;
    use crate::run::options::Options;
    use crate::sample::{Growth, Site};
    use std::collections::BTreeMap;

    /// What is held of each counter.
    const HELD: [(&str, i64); 5] =
        [("filp", 584), ("kmalloc-64", 512), ("pages", 512), ("vmalloc", 64), ("percpu", 128)];
    const NAMES: i64 = 150;

    /// A machine where each unit leaks so much of every counter, and one counter may always read the same.
    struct Machine {
        leak: i64,
        blind_to: Option<&'static str>,
        units: i64,
        is_held: bool,
        names: i64,
        /// Socket filters that it holds, if it has any.
        filters: Option<i64>,
        /// Units and fillers of each round.
        rounds: Vec<(u64, u64)>,
    }

    impl Machine {
        fn new(leak: i64, blind_to: Option<&'static str>) -> Self {
            Self { leak, blind_to, units: 0, is_held: false, names: 0, filters: Some(64), rounds: Vec::new() }
        }
    }

    impl Machine {
        fn sample(&self) -> Sample {
            let count = |(name, held): (&str, i64)| match self.blind_to {
                Some(blind) if blind == name => 1000,
                _ => 1000 + self.leak * self.units + if self.is_held { held } else { 0 },
            };
            Sample { objects: HELD.map(|counter| (counter.0.to_owned(), count(counter))).into() }
        }

        fn sites(&self) -> BTreeMap<String, Vec<Site>> {
            let site = |function: &str, objects| Site { function: function.into(), stack: Vec::new(), objects };
            let held = if self.is_held { 512 } else { 0 };
            let sites = vec![site("do_eventfd", held), site("nfs_readdir_add_to_array", self.names)];
            [("kmalloc-64".to_owned(), sites)].into()
        }
    }

    impl Agent for Machine {
        fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
            Ok(match *order {
                Request::Work { listings, fillers, .. } => {
                    self.rounds.push((listings, fillers));
                    self.units += listings as i64;
                    self.names += self.leak * listings as i64;
                    Response::Worked(RoundStats { listings, cold_listings: listings, ..RoundStats::default() })
                }
                Request::ListPlainly => {
                    self.units += 1;
                    self.names += NAMES + self.leak;
                    Response::Worked(RoundStats { listings: 1, ..RoundStats::default() })
                }
                Request::Hold => {
                    self.is_held = true;
                    Response::Held(ControlAllocs {
                        files: 584,
                        eventfds: 512,
                        eventfd_caches: vec!["kmalloc-64".into()],
                        pages: 512,
                        pages_owned: Some(64),
                        filters: self.filters,
                    })
                }
                Request::Release => {
                    self.is_held = false;
                    Response::Done
                }
                Request::Glance | Request::Settle => {
                    self.names = self.leak * self.units;
                    Response::Sample { sample: self.sample(), settled_seconds: Some(0.1), clock_seconds: 0.0 }
                }
                Request::Sites { .. } => Response::Sites { sites: self.sites() },
                _ => Response::Done,
            })
        }
    }

    /// Returns the record of the controls of a machine where each unit leaks so much.
    fn controls(leak: i64, blind_to: Option<&'static str>) -> RunRecord {
        controls_of(&mut Machine::new(leak, blind_to), |_| ())
    }

    /// Returns the same of any machine; `prepare` has the last word on the session.
    fn controls_of(machine: &mut Machine, prepare: impl FnOnce(&mut Session)) -> RunRecord {
        let options = Options::default();
        let mut outcome = Observations::new(RunRecord::begin("made", KernelRecord::default(), 42), &options);
        let task = Ui::silent().task("made");
        let mut session = Session::new(machine, &task, &mut outcome);
        session.site_source = SiteSource::Kept;
        prepare(&mut session);
        session.controls(&["kmalloc-64".to_owned()]).unwrap();
        outcome.record.entries = NAMES as u64;
        outcome.record
    }

    #[test]
    fn controls_are_seen_however_much_a_unit_leaks() {
        for leak in [0, 1, 30, 1000, 100_000] {
            let record = controls(leak, None);
            assert_eq!(record.controls.missed(), None, "{leak} a unit");
            assert_eq!(record.names_seen(), Ok(()), "{leak} a unit");
            assert_eq!(record.controls.names_removed, NAMES, "{leak} a unit");
            let exact =
                |control: &crate::result::parts::SourceControl| control.seen == control.held && control.left == 0;
            assert!(record.controls.sources.iter().all(exact), "{leak} a unit: {:?}", record.controls.sources);
        }
    }

    #[test]
    fn counter_that_stands_still_is_missed_however_much_a_unit_leaks() {
        for (counter, source) in [("filp", "slab"), ("pages", "pages"), ("vmalloc", "vmalloc"), ("percpu", "percpu")] {
            for leak in [0, 1, 30, 1000] {
                let missed = controls(leak, Some(counter)).controls.missed().expect("it is blind");
                assert!(missed.starts_with(&format!("the control of {source} failed: of ")), "{missed}");
                assert!(missed.contains(&format!("saw 0 in {counter}")) && !missed.contains(';'), "{missed}");
            }
        }
    }

    #[test]
    fn each_of_up_to_four_processors_is_warmed_up_by_two_units() {
        for (processors, units) in [(None, 2), (Some(1), 2), (Some(2), 4), (Some(4), 8), (Some(64), 8)] {
            let mut machine = Machine::new(0, None);
            controls_of(&mut machine, |session| {
                session.outcome.record.setup = processors.map(|cpus| Setup { cpus, ..setup() });
            });
            assert_eq!(machine.rounds, [(units, 1)], "{processors:?} processors");
        }
    }

    fn setup() -> Setup {
        crate::result::example::every_field().setup.expect("it has every field")
    }

    #[test]
    fn call_site_of_eventfds_is_no_control_where_others_have_some_too() {
        let has_site = |noise: Option<Growth>| {
            let record = controls_of(&mut Machine::new(0, None), |session| session.noise = noise);
            record.controls.sources.iter().any(|control| control.name == "eventfd")
        };
        assert!(has_site(None) && !has_site(Some(Growth::new())));
    }

    #[test]
    fn source_of_which_nothing_is_held_is_not_looked_for_and_named_once() {
        let mut machine = Machine { filters: None, ..Machine::new(0, None) };
        let record = controls_of(&mut machine, |session| {
            session.outcome.record.not_looked_for = vec!["vmalloc".into(), "call sites".into()];
        });
        assert_eq!(record.not_looked_for, ["vmalloc", "call sites", "percpu"]);
        assert_eq!(controls(0, None).not_looked_for, [""; 0]);
    }
}
