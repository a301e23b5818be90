//! The directory on the live mount and a local one beside it, listed at a pace that leaves others room.

use super::left::OwnDirectory;
use super::listing_digest::{NameDigest, NameLengths};
use super::mount::Mounted;
use super::scratch_dir::ScratchDir;
use super::watchdog::Waits;
use crate::agent::target::{Target, UnitStats};
use crate::error::{Context, Error, Result};
use crate::os::signals;
use crate::probe::mountstats::{MountStats, Rpcs};
use crate::protocol::message::MOST_LISTED_PLAINLY;
use crate::workload::listing::entry::{ListError, ReadMethod};
use crate::workload::listing::{Lister, evict};
use crate::workload::populate;
use nfs_fault_server::dirtree::name_spec::Names as Naming;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The buffer of readdir(3) in glibc, and so that of ls, find and web servers.
pub const GETDENTS_BUFFER_BYTES: usize = 32768;
/// The local directory need not be huge: its listing stands for opening and closing, not for names.
const MOST_LOCAL_ENTRIES: u64 = 10_000;
/// Nobody waits longer for the next listing.
const SLOWEST_SECONDS: f64 = 3600.0;

/// What is listed.
pub struct LiveTarget {
    mounted: Mounted,
    stats: MountStats,
    /// The directory itself, or a scratch directory in it.
    dir: PathBuf,
    local: OwnDirectory,
    lister: Lister,
    pace: Pace,
    deadline: (Instant, Duration),
    /// What the first listing showed.
    first: NameDigest,
    lengths: NameLengths,
    /// A directory that nobody else is to change.
    scratch: Option<ScratchDir>,
    /// Whether the pages of the directories are taken from the page cache before each reading, as nobody drops all of it.
    lets_go: bool,
    /// What a directory is called that nobody else is to change.
    ours: Option<&'static str>,
    /// Tells who watches over it that it waits for the server.
    waits: Waits,
    /// Listings that showed other names than the first.
    pub changed: u64,
}

/// How long all may take, and how fast it may go.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub whole: Duration,
    pub listings_per_second: f64,
}

impl LiveTarget {
    /// Lists the directory for the first time, or a scratch directory in its place, and makes a local one like it.
    pub fn new(
        mounted: Mounted,
        stats: MountStats,
        scratch: Option<ScratchDir>,
        budget: Budget,
        waits: Waits,
    ) -> Result<Self> {
        let mut lister = Lister::new(ReadMethod::getdents(GETDENTS_BUFFER_BYTES));
        // By its descriptor: whose directory it is in may put a link in its place.
        let dir = scratch.as_ref().map_or_else(|| mounted.dir.clone(), ScratchDir::path_by_descriptor);
        let shown = scratch.as_ref().map_or(mounted.dir.as_path(), ScratchDir::path).display();
        let (mut first, mut lengths) = (NameDigest::default(), NameLengths::default());
        let listed = waits.for_server(|| {
            lister.list(&dir, |record| {
                waits.goes_on();
                first.add(record.name);
                lengths.add(record.name);
            })
        });
        listed.map_err(|failed| Error::machine(format!("cannot list {shown}: {failed}")))?;
        if first.count == 0 {
            return Err(Error::usage(format!(
                "{shown} is empty; name a directory with files, or make some with --scratch"
            )));
        }
        Ok(Self {
            local: make_local_directory(first.count)?,
            mounted,
            stats,
            dir,
            lister,
            pace: Pace::new(budget.listings_per_second),
            deadline: (Instant::now() + budget.whole, budget.whole),
            first: scratch.as_ref().map_or(first, |scratch| scratch.names),
            lengths,
            ours: scratch.as_ref().map(|_| "scratch directory"),
            scratch,
            lets_go: false,
            waits,
            changed: 0,
        })
    }

    /// Has the pages of the directories, which hold the names, be gone before each reading.
    pub fn letting_go(self) -> Self {
        Self { lets_go: true, ..self }
    }

    /// Says that these names were made, which nobody else is to change, in what is called so.
    pub fn expecting(self, names: NameDigest, called: &'static str) -> Self {
        Self { first: names, ours: Some(called), ..self }
    }

    /// Returns another holder of the local directory.
    pub fn local_twin(&self) -> std::io::Result<OwnDirectory> {
        self.local.twin()
    }

    /// Returns a path to the local directory.
    pub fn local(&self) -> PathBuf {
        self.local.path_by_descriptor()
    }

    /// Removes what was made.
    pub fn clear_away(&mut self) -> Result<()> {
        self.scratch.take().map_or(Ok(()), ScratchDir::remove)
    }

    /// Waits until it may go on; fails if the time is used up, or somebody wants us to stop.
    fn may_go_on(&mut self) -> Result<()> {
        signals::check()?;
        let (end, whole) = self.deadline;
        if Instant::now() > end {
            let seconds = whole.as_secs_f64();
            return Err(Error::kernel(format!("the budget of {seconds} s was used up; give more with --budget")));
        }
        self.pace.wait()
    }

    /// Makes one cold listing, up to so many entries.
    fn list(&mut self, most: u64) -> Result<UnitStats> {
        self.may_go_on()?;
        evict(&self.dir)?;
        let mut names = NameDigest::default();
        let (lister, dir, waits) = (&mut self.lister, &self.dir, &self.waits);
        let counts = waits.for_server(|| list(lister, dir, most, &mut names, waits));
        let mut played = UnitStats::default();
        match counts {
            Ok(calls) => played.getdents_calls = calls,
            Err(failed) => played.broken = Some(failed.to_string()),
        }
        if played.broken.is_none() && most == u64::MAX && names != self.first {
            self.changed += 1;
            let (seen, first) = (names.count, self.first.count);
            played.broken = self.ours.map(|called| {
                format!("a listing of the {called} showed {seen} entries, not the {first} that were made in it")
            });
        }
        Ok(played)
    }
}

/// Reads a directory to so many entries; gives the calls.
fn list(
    lister: &mut Lister,
    dir: &Path,
    most: u64,
    names: &mut NameDigest,
    waits: &Waits,
) -> std::result::Result<u64, ListError> {
    let mut reading = lister.open(dir)?;
    reading.go_on(|record| {
        waits.goes_on();
        names.add(record.name);
        if names.count < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(reading.counts().getdents_calls)
}

impl Target for LiveTarget {
    fn unit_name(&self) -> &str {
        "listing"
    }

    fn list_nfs(&mut self) -> Result<UnitStats> {
        self.list(u64::MAX)
    }

    fn list_local(&mut self) -> Result<()> {
        self.may_go_on()?;
        evict(self.local.path())?;
        let listed = list(&mut self.lister, self.local.path(), u64::MAX, &mut NameDigest::default(), &self.waits);
        listed.machine(|| format!("cannot list {}", self.local.path().display())).map(drop)
    }

    fn list_plainly(&mut self) -> Result<UnitStats> {
        self.list(MOST_LISTED_PLAINLY)
    }

    fn let_go(&self) -> Result<()> {
        if self.lets_go {
            evict(&self.dir)?;
            evict(self.local.path())?;
        }
        Ok(())
    }

    fn rpcs(&self) -> Result<Rpcs> {
        self.stats.rpcs(self.mounted.mount.path())
    }

    fn entries(&self) -> u64 {
        self.first.count
    }

    fn name_allocations(&self) -> Vec<(u64, u64)> {
        self.lengths.counts()
    }
}

/// Makes a local directory with as many files, gone when this is dropped.
fn make_local_directory(entries: u64) -> Result<OwnDirectory> {
    let tree = Tree::new(&Directory::flat(entries.min(MOST_LOCAL_ENTRIES), Naming::pattern("dirleak-{n}")), 0);
    let dir = OwnDirectory::make_local()?;
    populate::tree(&dir.path_by_descriptor(), &tree)?;
    Ok(dir)
}

/// No more than so many listings in a second.
struct Pace {
    apart: Duration,
    next: Instant,
}

impl Pace {
    fn new(per_second: f64) -> Self {
        Self { apart: Duration::from_secs_f64((1.0 / per_second).min(SLOWEST_SECONDS)), next: Instant::now() }
    }

    /// Waits for the turn of the next listing.
    fn wait(&mut self) -> Result<()> {
        signals::wait_until(self.next)?;
        self.next = Instant::now() + self.apart;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use std::fs;

    const FAST: Budget = Budget { whole: Duration::from_secs(600), listings_per_second: 1e6 };

    /// Makes a directory with these files.
    fn directory(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        dir
    }

    fn target(dir: &tempfile::TempDir, budget: Budget) -> Result<LiveTarget> {
        LiveTarget::new(Mounted::made_up(dir.path()), stats(dir.path()), None, budget, Waits::default())
    }

    /// Returns the statistics of an NFS mount on this directory, which has sent seven calls.
    fn stats(dir: &Path) -> MountStats {
        MountStats::open(&MadeFiles::with_mount(dir, 7).files).unwrap()
    }

    #[test]
    fn directory_is_listed_whole_and_told_when_it_changes() {
        let dir = directory(&["a", "b", "ccc"]);
        let mut target = target(&dir, FAST).unwrap();
        assert_eq!((target.unit_name(), target.entries(), target.changed), ("listing", 3, 0));
        assert_eq!(target.name_allocations(), [(2, 2), (4, 1)]);
        let listed = target.list_nfs().unwrap();
        assert_eq!((listed.broken, listed.getdents_calls > 0, target.changed), (None, true, 0));
        fs::write(dir.path().join("d"), "").unwrap();
        // A directory of others may change, which is counted where a listing is a unit.
        let plain = target.list_plainly().unwrap();
        assert_eq!((plain.broken, plain.getdents_calls > 0), (None, true));
        assert_eq!(target.changed, 0);
        assert_eq!(target.list_nfs().unwrap().broken, None);
        assert_eq!(target.changed, 1);
        assert_eq!(target.rpcs().unwrap(), [("READDIR".to_owned(), 7)].into());
        target.list_local().unwrap();
        assert_eq!(fs::read_dir(target.local.path()).unwrap().count(), 3);
        let mut record = crate::result::record::RunRecord::begin("/mnt", Default::default(), 1);
        record.complete_listings = 5;
        super::super::amend(&mut record, &target);
        assert_eq!((record.complete_listings, record.notes.len()), (4, 1));
        target.changed = 0;
        super::super::amend(&mut record, &target);
        assert_eq!((record.complete_listings, record.notes.len()), (4, 1));
    }

    #[test]
    fn scratch_directory_that_changes_is_a_wrong_listing_and_is_gone_at_the_end() {
        let dir = directory(&["of the user"]);
        let scratch = ScratchDir::make(&Mounted::made_up(dir.path()), 5, 1).unwrap();
        let path = scratch.path().to_owned();
        let mut target =
            LiveTarget::new(Mounted::made_up(dir.path()), stats(dir.path()), Some(scratch), FAST, Waits::default())
                .unwrap();
        assert_eq!((target.entries(), target.list_nfs().unwrap().broken), (5, None));
        let (away, elsewhere) = (dir.path().join("away"), directory(&["secret"]));
        fs::rename(&path, &away).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        assert_eq!(target.list_nfs().unwrap().broken, None, "what is put in its place is not listed");
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
        fs::write(path.join("of somebody else"), "").unwrap();
        let broken = target.list_nfs().unwrap().broken.unwrap();
        assert_eq!(broken, "a listing of the scratch directory showed 6 entries, not the 5 that were made in it");
        target.clear_away().unwrap();
        assert!(!path.exists() && dir.path().join("of the user").exists());
    }

    #[test]
    fn listing_that_shows_other_names_than_were_made_is_wrong() {
        let dir = directory(&["a"]);
        let mut target = target(&dir, FAST).unwrap().expecting(NameDigest::default(), "synthetic directory");
        let broken = target.list_nfs().unwrap().broken.unwrap();
        assert_eq!(broken, "a listing of the synthetic directory showed 1 entries, not the 0 that were made in it");
    }

    #[test]
    fn pages_are_let_go_where_nobody_drops_all() {
        let dir = directory(&["a"]);
        let target = target(&dir, FAST).unwrap();
        target.let_go().unwrap();
        fs::remove_dir_all(dir.path()).unwrap();
        target.let_go().unwrap();
        let error = target.letting_go().let_go().unwrap_err();
        assert!(error.to_string().starts_with("cannot evict the pages of "), "{error}");
    }

    #[test]
    fn listing_that_is_cut_short_shows_no_more_names() {
        let dir = directory(&["a", "b", "c", "d"]);
        let mut names = NameDigest::default();
        let calls = list(
            &mut Lister::new(ReadMethod::getdents(GETDENTS_BUFFER_BYTES)),
            dir.path(),
            2,
            &mut names,
            &Waits::default(),
        );
        assert_eq!((names.count, calls.is_ok_and(|calls| calls == 1)), (2, true));
    }

    #[test]
    fn listing_after_the_budget_is_refused_and_so_is_an_empty_directory() {
        let dir = directory(&["a"]);
        let mut late = target(&dir, Budget { whole: Duration::ZERO, ..FAST }).unwrap();
        let error = late.list_nfs().unwrap_err();
        assert_eq!(error.to_string(), "the budget of 0 s was used up; give more with --budget");
        assert!(late.list_local().is_err());
        let error = target(&directory(&[]), FAST).err().unwrap();
        assert!(error.to_string().contains("is empty; name a directory with files"), "{error}");
    }

    #[test]
    fn listings_are_no_faster_than_is_allowed() {
        let mut pace = Pace::new(20.0);
        let begin = Instant::now();
        (0..4).for_each(|_| pace.wait().unwrap());
        assert!(begin.elapsed() >= Duration::from_millis(150), "{:?}", begin.elapsed());
    }
}
