//! Sets the stage that a plan describes and carries out one order after the other on it.

use super::link::Link;
use super::protocol::{Answer, Order, Plan, Worked};
use super::served::Served;
use super::{files, mount};
use crate::error::{Context, Result};
use crate::probe::hold::Hold;
use crate::probe::mountstats;
use crate::probe::rest::Rest;
use crate::probe::slab::Slabs;
use crate::probe::traces;
use crate::scenario::Scenario;
use crate::workload::check::Expected;
use crate::workload::listing::{Counts, Lister};
use crate::workload::names::NameMaker;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// The stage: a server, a mount, a local directory, and the probe.
pub struct Worker {
    scenario: Scenario,
    served: Served,
    names: NameMaker,
    lister: Lister,
    expected: Expected,
    rest: Rest,
    hold: Option<Hold>,
    local: PathBuf,
}

impl Worker {
    /// Starts the server, makes the directories, mounts, and opens the probe last, so that it sees every cache.
    pub fn set_up(plan: &Plan, link: &mut Link) -> Result<Self> {
        let scenario = plan.scenario.clone();
        let entries = scenario.directory.entries;
        let names = NameMaker::new(&scenario.directory.names, entries, plan.seed);
        files::require_file_system("nfs", "CONFIG_NFS_FS and CONFIG_NFS_V3")?;
        let mut steps = Steps::new(link);
        mount::loopback_up()?;
        files::make_dir(Path::new(mount::POINT))?;
        let (served, local) = Served::start(&scenario, &names, |part| steps.done(part))?;
        let rest = Rest::new(Slabs::open()?)?;
        let expected = Expected::new(&names, entries);
        let lister = Lister::new(scenario.listing.getdents_buffer_bytes);
        steps.done("probe")?;
        Ok(Self { scenario, served, names, lister, expected, rest, hold: None, local })
    }

    /// What the host needs to know of the stage.
    pub fn ready(&self) -> Answer {
        let mut name_allocations: BTreeMap<u64, u64> = BTreeMap::new();
        let mut name = Vec::new();
        for number in 0..self.scenario.directory.entries {
            name.clear();
            self.names.write(number, &mut name);
            *name_allocations.entry(name.len() as u64 + 1).or_default() += 1;
        }
        Answer::Ready {
            object_bytes: self.rest.slabs().object_bytes(),
            name_allocations: name_allocations.into_iter().collect(),
        }
    }

    /// Carries out one order.
    pub fn obey(&mut self, order: Order, link: &mut Link) -> Result<Answer> {
        Ok(match order {
            Order::Work { listings, fillers, at_least_seconds } => {
                Answer::Worked(self.work(listings, fillers, at_least_seconds.map(Duration::from_secs_f64), link)?)
            }
            Order::Hold => {
                self.hold = Some(Hold::new()?);
                Answer::Done
            }
            Order::Release => {
                self.hold = None;
                Answer::Done
            }
            Order::Glance => Answer::Sample { sample: self.rest.glance()?, settled_seconds: None },
            Order::Settle => {
                let rested = self.rest.settle()?;
                Answer::Sample { sample: rested.sample, settled_seconds: rested.settled.map(|d| d.as_secs_f64()) }
            }
            Order::Sites { caches } => {
                let known = |cache: String| traces::read(&cache).map(|sites| (cache, sites));
                Answer::Sites { sites: caches.into_iter().filter_map(known).collect() }
            }
            Order::Unmount => {
                mount::unmount()?;
                Answer::Done
            }
            Order::Finish => Answer::Bye,
        })
    }

    /// One round. NFS and local listings are mixed so that both are spread over the whole round.
    fn work(&mut self, listings: u64, fillers: u64, at_least: Option<Duration>, link: &mut Link) -> Result<Worked> {
        let begin = Instant::now();
        let mut beat = begin;
        let mut worked = Worked::default();
        let total = listings + fillers;
        let before = mountstats::read(mount::POINT)?;
        let mut rpcs = before.clone();
        for slot in 0..total {
            // Bresenham's line: slot is an NFS listing where the line of slope listings/total takes a step.
            if (slot + 1) * listings / total > slot * listings / total {
                self.list_nfs(&mut worked)?;
            } else {
                self.list_local()?;
            }
            let now = mountstats::read(mount::POINT)?;
            worked.cold_listings += u64::from(readdirs(&now) > readdirs(&rpcs));
            rpcs = now;
            if beat.elapsed() > BEAT {
                link.step(&format!("listing {} of {total}", slot + 1), begin.elapsed().as_secs_f64())?;
                beat = Instant::now();
            }
        }
        worked.rpcs = mountstats::since(&before, &rpcs);
        let at_least = at_least.unwrap_or_else(|| as_if_all_were_nfs(&worked, total));
        std::thread::sleep(at_least.saturating_sub(begin.elapsed()));
        worked.seconds = begin.elapsed().as_secs_f64();
        Ok(worked)
    }

    /// One cold listing of the NFS mount, checked.
    fn list_nfs(&mut self, worked: &mut Worked) -> Result<()> {
        self.served.touch()?;
        let begin = Instant::now();
        self.expected.begin();
        let expected = &mut self.expected;
        let wrong = match self.lister.list(Path::new(mount::POINT), |name| expected.see(name)) {
            Ok(Counts { getdents_calls, .. }) => {
                worked.getdents_calls += getdents_calls;
                self.expected.end().err()
            }
            Err(failed) => {
                Some(format!("{} failed with {} after {} entries", failed.call, failed.errno, failed.entries))
            }
        };
        worked.listing_seconds += begin.elapsed().as_secs_f64();
        worked.listings += 1;
        worked.complete_listings += u64::from(wrong.is_none());
        worked.broken = worked.broken.take().or(wrong);
        Ok(())
    }

    fn list_local(&mut self) -> Result<()> {
        self.lister
            .list(&self.local, |_| ())
            .map(|_| ())
            .map_err(|f| f.errno)
            .machine(|| format!("cannot list {}", self.local.display()))
    }
}

/// How long a round of `slots` listings of the NFS mount would take, with a little to spare.
fn as_if_all_were_nfs(worked: &Worked, slots: u64) -> Duration {
    Duration::from_secs_f64(1.02 * worked.listing_seconds * slots as f64 / worked.listings.max(1) as f64)
}

fn readdirs(rpcs: &mountstats::Rpcs) -> u64 {
    ["READDIR", "READDIRPLUS"].iter().filter_map(|name| rpcs.get(*name)).sum()
}

/// Tells the host how long each part of the setting-up took.
struct Steps<'a> {
    link: &'a mut Link,
    begin: Instant,
}

impl<'a> Steps<'a> {
    fn new(link: &'a mut Link) -> Self {
        Self { link, begin: Instant::now() }
    }

    fn done(&mut self, name: &str) -> Result<()> {
        self.link.step(name, self.begin.elapsed().as_secs_f64())?;
        self.begin = Instant::now();
        Ok(())
    }
}
