//! The machine itself, as it is: its real NFS mount is listed and its own memory read, by the course and the judge of every other run.

pub mod bundle;
mod journal;
mod left;
mod listing_digest;
mod mark;
pub mod monitor;
pub mod mount;
pub mod passive;
mod prometheus;
mod readings;
mod scratch_dir;
pub mod target;

use crate::agent::executor::Executor;
use crate::agent::target::Target;
use crate::error::{Error, Exit, Result};
use crate::os::progress::Ui;
use crate::os::signals;
use crate::probe::counters::{Counters, SiteSource};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::mountstats::MountStats;
use crate::probe::quiesce::{QuiesceMode, Quiescer};
use crate::probe::{memory, procfs};
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::{Request, Response};
use crate::result::parts::Setup;
use crate::result::record::{KernelRecord, NO_ACCELERATOR, RunRecord};
use crate::run::live::{self, Live};
use crate::run::options::Options;
use crate::sample::Sample;
use journal::Journal;
use mount::Mounted;
use scratch_dir::ScratchDir;
use std::collections::BTreeMap;
use target::{Budget, GETDENTS_BUFFER_BYTES, LiveTarget};

/// What the kernel of this machine is called where others have the word of a command line.
pub const SPEC: &str = "host";
/// How much we stand back behind others who want the processor.
const NICENESS: libc::c_int = 10;

/// What is to be measured on this machine.
pub struct HostJob<'a> {
    pub mounted: Mounted,
    /// So many files are made in a scratch directory, and that is listed.
    pub scratch: Option<u64>,
    pub budget: Budget,
    pub options: &'a Options,
    pub ui: &'a Ui,
}

/// Lists and reads, and gives the record.
pub fn run(request: HostJob) -> Result<RunRecord> {
    let HostJob { mounted, scratch, budget, options, ui } = request;
    stand_back();
    let files = KernelFiles::of_this_machine();
    let tracing = Journal::begin(&files, ui);
    let counters = Counters::open(&files)?;
    let mut record = begin(&mounted, counters.site_source(), options.boot.seed)?;
    let task = ui.task(record.scenario.clone());
    let scratch = scratch.map(|entries| {
        task.note("making files");
        ScratchDir::make(&mounted, entries, options.boot.seed)
    });
    let scratch = scratch.transpose()?;
    for name in scratch.iter().flat_map(|scratch| &scratch.removed) {
        ui.line(&format!("removed {name}, which a run that was killed had left"));
    }
    task.note("the first listing");
    let place = LiveTarget::new(mounted, MountStats::open(&files)?, scratch, budget)?;
    let executor = Executor::new(place, Quiescer::new(counters, QuiesceMode::Light)?);
    let mut here = HostAgent(executor.tracing_into(tracing.buffer()));
    record.entries = here.0.place.entries();
    let ready = here.0.ready(Sample::default(), BTreeMap::new());
    let live = Live { worker: &mut here, ready, record, options, budget: budget.whole, task: &task };
    let mut record = live::run(live)?;
    amend(&mut record, &here.0.place);
    record.notes.extend(here.0.rest.counters().notes());
    record.notes.extend(tracing.note().filter(|_| here.0.rest.counters().site_source() == SiteSource::Traced));
    here.0.place.clear_away()?;
    task.done(record.verdict.as_str());
    Ok(record)
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
    });
    Ok(record)
}

/// Lets whoever wants the processor have it first.
fn stand_back() {
    // SAFETY: setpriority touches no memory of ours. If it fails we are only less polite.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
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
        let place = LiveTarget::new(Mounted::made_up(dir), stats, None, budget).unwrap();
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

    #[test]
    fn others_who_want_the_processor_have_it_first() {
        let nice = std::thread::spawn(|| {
            stand_back();
            // SAFETY: getpriority touches no memory of ours.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        });
        assert!(nice.join().unwrap() >= NICENESS);
    }
}
