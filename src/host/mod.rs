//! The machine itself, as it is: its real NFS mount is listed and its own memory read, by the course and the judge of every other run.

mod attribution;
pub mod bundle;
mod journal;
mod left;
mod listing_digest;
mod made_tree;
mod mark;
pub mod monitor;
pub mod mount;
pub mod passive;
mod prometheus;
mod readings;
mod scratch_dir;
pub mod synthetic;
pub mod target;
mod watchdog;

use crate::agent::executor::Executor;
use crate::agent::target::Target;
use crate::error::{Error, Exit, Result};
use crate::os::progress::Ui;
use crate::os::signals;
use crate::probe::access::{self, Limit, Takes};
use crate::probe::counters::{Counters, SiteSource};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::mountstats::MountStats;
use crate::probe::quiesce::{QuiesceMode, Quiescer};
use crate::probe::{memory, privileges, procfs};
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::{Request, Response};
use crate::result::parts::Setup;
use crate::result::record::{KernelRecord, NO_ACCELERATOR, RunRecord, Verdict};
use crate::run::live::{self, Live};
use crate::run::options::Options;
use crate::sample::Sample;
use journal::Journal;
use mount::Mounted;
use scratch_dir::ScratchDir;
use std::collections::BTreeMap;
use synthetic::SyntheticMount;
use target::{Budget, GETDENTS_BUFFER_BYTES, LiveTarget};
use watchdog::{Waits, Watchdog};

/// What the kernel of this machine is called where others have the word of a command line.
pub const SPEC: &str = "host";

/// What is to be measured on this machine.
pub struct HostJob<'a> {
    pub mounted: Mounted,
    pub listed: Listed<'a>,
    /// Whether page cache, dentries and inodes of the machine are dropped before each reading.
    pub drops_caches: bool,
    pub budget: Budget,
    pub options: &'a Options,
    pub ui: &'a Ui,
}

/// What is listed of a mount.
pub enum Listed<'a> {
    /// The directory that was named.
    Named,
    /// A scratch directory in it, with so many files.
    Scratch(u64),
    /// All of our own mount.
    Synthetic(&'a SyntheticMount),
}

/// Lists and reads, and gives the record.
pub fn run(request: HostJob) -> Result<RunRecord> {
    let HostJob { mounted, listed, drops_caches, budget, options, ui } = request;
    privileges::stand_back();
    let limits = access::limits();
    refuse(&limits, drops_caches)?;
    let files = KernelFiles::of_this_machine();
    let tracing = Journal::begin(&files, ui);
    let counters = Counters::open(&files)?;
    let mut record = begin(&mounted, counters.site_source(), options.boot.seed)?;
    if let Some(setup) = &mut record.setup {
        setup.caches_dropped = drops_caches;
    }
    if matches!(listed, Listed::Synthetic(_)) {
        synthetic::call_so(&mut record);
    }
    let task = ui.task(record.scenario.clone());
    let scratch = match listed {
        Listed::Scratch(entries) => {
            task.note("making files");
            Some(ScratchDir::make(&mounted, entries, options.boot.seed)?)
        }
        Listed::Named | Listed::Synthetic(_) => None,
    };
    for name in scratch.iter().flat_map(|scratch| &scratch.removed) {
        ui.line(&format!("removed {name}, which a run that was killed had left"));
    }
    task.note("the first listing");
    let waits = Waits::default();
    let watchdog = Watchdog::begin(&waits, &mounted.dir, tracing.instance());
    let mut place = LiveTarget::new(mounted, MountStats::open(&files)?, scratch, budget, waits)?;
    if let Ok(local) = place.local_twin() {
        watchdog.takes_away(local);
    }
    if let Listed::Synthetic(made) = listed {
        place = place.expecting(made.names, "synthetic directory");
    }
    let (place, mode) =
        if drops_caches { (place, QuiesceMode::Light) } else { (place.letting_go(), QuiesceMode::Gentle) };
    let rest = Quiescer::new(counters, mode)?.renaming_in(&place.local())?;
    let executor = Executor::new(place, rest);
    let mut here = HostAgent(executor.tracing_into(tracing.buffer()));
    record.entries = here.0.place.entries();
    let ready = here.0.ready(Sample::default(), BTreeMap::new());
    let live = Live { worker: &mut here, ready, record, options, budget: budget.whole, task: &task };
    let mut record = live::run(live)?;
    amend(&mut record, &here.0.place);
    record.notes.extend(here.0.rest.counters().notes());
    record.notes.extend(notes(&limits, here.0.rest.counters().site_source()));
    record.notes.extend(tracing.note().filter(|_| here.0.rest.counters().site_source() == SiteSource::Traced));
    if !drops_caches && record.verdict == Verdict::Undecided {
        record.notes.push(
            "no cache of the machine was dropped; with --drop-caches there is less that moves by itself, and what the kernel keeps in caches \
             is looked at, too"
                .into(),
        );
    }
    here.0.place.clear_away()?;
    task.done(record.verdict.as_str());
    Ok(record)
}

/// Refuses to measure where what is kept from us leaves no measurement.
fn refuse(limits: &[Limit], drops_caches: bool) -> Result<()> {
    let refused = |limit: &&Limit| limit.stops_measuring() || drops_caches && limit.takes == Takes::Pages;
    limits.iter().find(refused).map_or(Ok(()), |limit| {
        let sentence = limit.sentence();
        Err(if limit.takes == Takes::Everything { Error::kernel(sentence) } else { Error::usage(sentence) })
    })
}

/// Returns what is to be noted of what is kept from us: a sentence each.
fn notes(limits: &[Limit], site_source: SiteSource) -> impl Iterator<Item = String> {
    let is_noted = move |limit: &&Limit| match limit.takes {
        Takes::Pages | Takes::Processors => true,
        Takes::Functions => site_source == SiteSource::None,
        Takes::Everything | Takes::Measuring | Takes::Mounting => false,
    };
    limits.iter().filter(is_noted).map(Limit::sentence)
}

/// Adds to the record what only the place knows of its listings.
fn amend(record: &mut RunRecord, place: &LiveTarget) {
    if place.changed > 0 {
        record.complete_listings = record.complete_listings.saturating_sub(place.changed);
        record.notes.push(format!(
            "{} listings showed other names than the first one: the directory changed meanwhile",
            place.changed
        ));
    }
}

/// Returns the record, as far as it is known before anything is measured.
fn begin(mounted: &Mounted, site_source: SiteSource, seed: u64) -> Result<RunRecord> {
    let mount = &mounted.mount;
    let kernel = KernelRecord { spec: SPEC.into(), release: procfs::release()?, ..KernelRecord::default() };
    let mut record = RunRecord::begin(&mounted.dir.display().to_string(), kernel, seed);
    record.accelerator = NO_ACCELERATOR.into();
    record.setup = Some(Setup {
        server: mount.source.clone(),
        nfs_version: mount.option("vers").unwrap_or_default().into(),
        mount_options: mount.options.clone(),
        rsize_bytes: mount.option("rsize").and_then(|bytes| bytes.parse().ok()).unwrap_or(0),
        getdents_buffer_bytes: GETDENTS_BUFFER_BYTES as u64,
        memory_mib: memory::kib("MemTotal").unwrap_or(0) / 1024,
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        stock: site_source != SiteSource::Kept,
        sandbox: Vec::new(),
        caches_dropped: false,
    });
    Ok(record)
}

/// This machine, which carries out orders.
struct HostAgent(Executor<LiveTarget>);

impl Agent for HostAgent {
    fn request(&mut self, order: &Request, step: &mut dyn FnMut(&str)) -> std::result::Result<Response, AgentError> {
        signals::check()?;
        let obeyed = self.0.handle(order, &mut |what, _| {
            step(what);
            Ok(())
        });
        match obeyed {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => {
                Err(AgentError::Error(Error::machine(format!("a bug of dirleak: nobody obeys {order:?} here"))))
            }
            Err(error) if error.exit() == Exit::CannotJudge => Err(AgentError::Failed(error.to_string())),
            Err(error) => Err(AgentError::Error(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn limits_that_leave_no_measurement_are_refused_and_others_noted() {
        let limit = |takes| Limit { takes, what: format!("{takes:?} is gone"), mend: "mend it" };
        let is_refused = |takes, drops_caches| refuse(&[limit(takes)], drops_caches).is_err();
        for takes in [Takes::Everything, Takes::Measuring] {
            assert!(is_refused(takes, false) && is_refused(takes, true), "{takes:?}");
        }
        for takes in [Takes::Functions, Takes::Processors, Takes::Mounting] {
            assert!(!is_refused(takes, false) && !is_refused(takes, true), "{takes:?}");
        }
        assert!(!is_refused(Takes::Pages, false) && is_refused(Takes::Pages, true));
        let error = refuse(&[limit(Takes::Measuring)], false).unwrap_err();
        assert_eq!((error.exit(), error.to_string().as_str()), (Exit::Usage, "Measuring is gone; mend it"));
        assert_eq!(refuse(&[limit(Takes::Everything)], false).unwrap_err().exit(), Exit::CannotJudge);
        let all = [Takes::Pages, Takes::Functions, Takes::Processors, Takes::Mounting].map(limit);
        assert_eq!(notes(&all, SiteSource::None).count(), 3);
        assert_eq!(notes(&all, SiteSource::Traced).count(), 2, "functions are named");
    }

    #[test]
    fn record_begins_with_the_mount_and_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let begun = |source| begin(&Mounted::made_up(dir.path()), source, 7).unwrap();
        let record = begun(SiteSource::Kept);
        assert_eq!((record.scenario.as_str(), record.seed), (&*dir.path().to_string_lossy(), 7));
        assert_eq!((record.kernel.spec.as_str(), record.kernel.release), (SPEC, procfs::release().unwrap()));
        let setup = record.setup.unwrap();
        assert_eq!(
            (setup.server.as_str(), setup.nfs_version.as_str(), setup.rsize_bytes),
            ("server:/export", "4.2", 4096)
        );
        assert_eq!(setup.memory_mib, memory::kib("MemTotal").unwrap() / 1024);
        assert!(!setup.stock && begun(SiteSource::Traced).setup.unwrap().stock);
    }

    /// Makes a machine that is asked for listings of a directory with three files.
    fn agent(made: &MadeFiles, dir: &Path, budget: Budget) -> HostAgent {
        ["a", "b", "c"].iter().for_each(|name| std::fs::write(dir.join(name), "").unwrap());
        let stats = MountStats::open(&made.files).unwrap();
        let place = LiveTarget::new(Mounted::made_up(dir), stats, None, budget, Waits::default()).unwrap();
        let counters = Counters::open(&made.files).unwrap();
        HostAgent(Executor::new(place, Quiescer::new(counters, QuiesceMode::Light).unwrap()))
    }

    const LIST_ONCE: Request = Request::Work { listings: 1, fillers: 1, at_least_seconds: None };

    #[test]
    fn machine_lists_and_reads_what_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        let budget = Budget { whole: Duration::from_secs(3600), listings_per_second: 1e6 };
        let mut here = agent(&made, dir.path(), budget);
        let mut ask = |order: &Request| here.request(order, &mut |_| ());
        let Ok(Response::Worked(worked)) = ask(&LIST_ONCE) else { panic!("it did not list") };
        assert_eq!((worked.listings, worked.complete_listings, worked.broken), (1, 1, None));
        let Ok(Response::Sample { sample, .. }) = ask(&Request::Settle) else { panic!("it did not read") };
        assert_eq!(sample.objects["filp"], 900);
        let unknown = Request::Slabinfo;
        assert!(matches!(ask(&unknown), Err(AgentError::Error(e)) if e.to_string().contains("a bug of dirleak")));
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert!(matches!(ask(&LIST_ONCE), Err(AgentError::Error(_))), "the directory is gone");
    }

    #[test]
    fn budget_that_is_used_up_is_told_as_what_could_not_be_judged() {
        let dir = tempfile::tempdir().unwrap();
        let made = MadeFiles::with_mount(dir.path(), 7);
        let mut late = agent(&made, dir.path(), Budget { whole: Duration::ZERO, listings_per_second: 1e6 });
        let answer = late.request(&LIST_ONCE, &mut |_| ());
        assert!(matches!(answer, Err(AgentError::Failed(why)) if why.contains("give more with --budget")));
    }
}
