//! Sets the stage that a plan describes and carries out one order after the other on it.

use super::cgroup::Workload;
use super::link::Link;
use super::player::{Player, Where};
use super::protocol::{Answer, MOST_LISTED_PLAINLY, Order, Plan, Worked};
use super::served::Served;
use super::{files, labels, modules, mount};
use crate::error::Result;
use crate::probe::Sample;
use crate::probe::counters::Counters;
use crate::probe::hold::Hold;
use crate::probe::mountstats::{self, Rpcs};
use crate::probe::rest::Rest;
use crate::probe::trace::{Extent, Tracing, Wanted};
use crate::probe::traces::Site;
use crate::probe::{kmemleak, slabinfo};
use crate::scenario::{Made, Pass, Place, Step, Unit};
use crate::workload::tree::Tree;
use crate::workload::{populate, progress};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);

/// A getdents buffer that any name fits.
const PLAIN_BUFFER_BYTES: usize = 280;

/// What a mount that cannot be taken down cleanly holds on to.
pub const BUSY_CACHES: [&str; 2] = ["dentry", "nfs_inode_cache"];

/// The stage: a server, a mount, a local directory, and the probe.
pub struct Worker {
    pub(super) player: Player,
    pub(super) rest: Rest,
    workload: Option<Workload>,
    hold: Option<Hold>,
    tracing: Option<Tracing>,
    before_mount: Sample,
    sites_before_mount: BTreeMap<String, Vec<Site>>,
}

impl Worker {
    /// Starts the server, makes the directories, opens the probe, so that it sees every cache, reads what there is
    /// without a mount, and mounts.
    pub fn set_up(plan: &Plan, link: &mut Link) -> Result<Self> {
        let scenario = plan.scenario.clone();
        let mut steps = Steps::new(link);
        modules::load(&plan.modules)?;
        steps.done("modules")?;
        files::require_file_system("nfs", "CONFIG_NFS_FS and CONFIG_NFS_V3")?;
        mount::loopback(true)?;
        files::make_dir(Path::new(mount::SECOND))?;
        if scenario.guest.security_labels {
            labels::load_policy()?;
            steps.done("policy")?;
        }
        let tree = Arc::new(Tree::new(&scenario.directory, plan.seed));
        let (served, local) = Served::start(&scenario, &tree, plan.seed, |part| steps.done(part))?;
        let workload = match &scenario.cgroup {
            Some(cgroup) => Some(Workload::enter(cgroup.memory_high_mib)?),
            None => None,
        };
        kmemleak::scan_only_when_asked();
        let rest = Rest::new(Counters::open()?)?;
        let before_mount = rest.glance()?;
        let sites_before_mount = sites(rest.counters(), BUSY_CACHES.map(str::to_owned))?;
        steps.done("probe")?;
        if scenario.mount.version.starts_with('4') {
            mount::wait_for_first_second()?;
        }
        served.mount(&scenario)?;
        steps.done("mount")?;
        if scenario.directory.made == Made::Mount {
            populate::tree(Path::new(mount::POINT), &tree)?;
            steps.done("populate")?;
        }
        let inodes = served.inodes(&tree)?;
        if scenario.guest.security_labels {
            served.prove_labels(&tree)?;
            steps.done("labels")?;
        }
        let mut player = Player::new(scenario, served, tree, local, inodes, plan.seed);
        player.start_readers()?;
        Ok(Self { player, rest, workload, hold: None, tracing: None, before_mount, sites_before_mount })
    }

    /// What the host needs to know of the stage.
    pub fn ready(&self) -> Answer {
        let mut name_allocations: BTreeMap<u64, u64> = BTreeMap::new();
        let tree = self.player.tree();
        let names = tree.names();
        let mut name = Vec::new();
        for number in 0..tree.all_entries() {
            name.clear();
            names.write(number, &mut name);
            *name_allocations.entry(name.len() as u64 + 1).or_default() += 1;
        }
        Answer::Ready {
            object_bytes: self.rest.counters().slabs().object_bytes(),
            name_allocations: name_allocations.into_iter().collect(),
            missing_sources: self.rest.counters().missing(),
            before_mount: self.before_mount.clone(),
            sites_before_mount: self.sites_before_mount.clone(),
            site_source: self.rest.counters().site_source(),
        }
    }

    /// Carries out one order.
    pub fn obey(&mut self, order: Order, link: &mut Link) -> Result<Answer> {
        Ok(match order {
            Order::Work { listings, fillers, at_least_seconds } => {
                Answer::Worked(self.work(listings, fillers, at_least_seconds.map(Duration::from_secs_f64), link)?)
            }
            Order::ListPlainly => Answer::Worked(self.list_plainly()?),
            Order::Time { states } => self.time(&states, link)?,
            Order::Footprint => Answer::Footprint(self.footprint()?),
            Order::Hold => {
                let (hold, held) = Hold::new(self.rest.counters().slabs())?;
                self.hold = Some(hold);
                Answer::Held(held)
            }
            Order::Release => {
                self.hold = None;
                self.rest.wait_for_frees()?;
                Answer::Done
            }
            Order::Glance => Answer::Sample { sample: self.rest.glance()?, settled_seconds: None },
            Order::Settle => {
                let rested = self.rest.settle()?;
                Answer::Sample { sample: rested.sample, settled_seconds: rested.settled.map(|d| d.as_secs_f64()) }
            }
            Order::Sites { caches } => Answer::Sites { sites: sites(self.rest.counters(), caches)? },
            Order::Charged => {
                let charged = self.workload.as_ref().map(Workload::charged).transpose()?;
                Answer::Charged(charged.unwrap_or_default())
            }
            Order::TakeCgroupAway => {
                // They would keep it from going.
                self.player.end_readers();
                self.workload.take().map_or(Ok(()), Workload::take_away)?;
                Answer::Done
            }
            Order::TraceBegin { counters, stacks } => {
                self.tracing = None;
                let wanted = Wanted::new(&counters, &self.rest.counters().slabs().layouts());
                self.tracing =
                    Tracing::begin(wanted, Extent { entries: self.player.scenario.directory.entries, stacks });
                Answer::Done
            }
            Order::Traced => {
                let sites = self.tracing.as_mut().map(Tracing::sites).transpose()?.flatten();
                Answer::Traced { sites }
            }
            Order::TraceEnd => {
                let sites = self.tracing.take().map(Tracing::end).transpose()?.flatten();
                Answer::Traced { sites }
            }
            Order::Slabinfo => Answer::Slabinfo { objects: slabinfo::read()? },
            Order::Kmemleak => Answer::Kmemleak { reported: kmemleak::scan()? },
            Order::Unmount => {
                // What the kernel complains of comes between the two, and so does through if they do.
                files::say_on_console();
                self.player.unmount()?;
                files::say_on_console();
                Answer::Done
            }
            Order::Finish => Answer::Bye,
        })
    }

    /// One round. NFS and local units are mixed so that both are spread over the whole round.
    fn work(&mut self, listings: u64, fillers: u64, at_least: Option<Duration>, link: &mut Link) -> Result<Worked> {
        let begin = Instant::now();
        let mut beat = begin;
        let mut worked = Worked::default();
        let total = listings + fillers;
        let before = self.player.rpcs()?;
        let mut rpcs = before.clone();
        for slot in 0..total {
            // Bresenham's line: slot is an NFS unit where the line of slope listings/total takes a step.
            if (slot + 1) * listings / total > slot * listings / total {
                self.unit(&mut worked, &mut rpcs)?;
            } else {
                self.player.play(Where::Local)?;
            }
            if beat.elapsed() > BEAT {
                link.step(
                    &format!("{} {} of {total}", self.player.scenario.unit.name, slot + 1),
                    begin.elapsed().as_secs_f64(),
                )?;
                beat = Instant::now();
            }
        }
        add(&mut worked.rpcs, &mountstats::since(&before, &rpcs));
        let at_least = at_least.unwrap_or_else(|| as_if_all_were_nfs(&worked, total));
        wait_until(begin + at_least);
        worked.seconds = begin.elapsed().as_secs_f64();
        worked.faults = self.player.served.faults();
        Ok(worked)
    }

    /// A plain listing, so that names are in the client's cache.
    fn list_plainly(&mut self) -> Result<Worked> {
        let buffer = self.player.scenario.listing.getdents_buffer_bytes.max(PLAIN_BUFFER_BYTES);
        let is_larger = self.player.scenario.directory.entries > MOST_LISTED_PLAINLY;
        let to = if is_larger { Place::After(MOST_LISTED_PLAINLY) } else { Place::Outside };
        let plain = Pass { getdents_buffer_bytes: Some(buffer), to, ..Pass::default() };
        self.list_once(vec![Step::Touch, Step::List(plain)])
    }

    /// One unit of other steps than the scenario's.
    pub(super) fn list_once(&mut self, steps: Vec<Step>) -> Result<Worked> {
        let unit = std::mem::replace(&mut self.player.scenario.unit, Unit { steps, ..Unit::default() });
        let mut worked = Worked::default();
        let mut rpcs = self.player.rpcs()?;
        let result = self.unit(&mut worked, &mut rpcs);
        self.player.scenario.unit = unit;
        result.map(|()| worked)
    }

    /// One unit on the NFS mount; `rpcs` is what the mount had sent before, and then after it.
    fn unit(&mut self, worked: &mut Worked, rpcs: &mut Rpcs) -> Result<()> {
        let begin = Instant::now();
        let played = self.player.play(Where::Nfs)?;
        worked.listing_seconds += begin.elapsed().as_secs_f64();
        let now = self.player.rpcs()?;
        worked.listings += 1;
        worked.cold_listings += u64::from(readdirs(&now) > readdirs(rpcs) || readdirs(&played.rpcs) > 0);
        worked.complete_listings += u64::from(played.broken.is_none());
        worked.refused_mounts += played.refused_mounts;
        worked.signals += played.signals;
        worked.getdents_calls += played.getdents_calls;
        worked.broken = worked.broken.take().or(played.broken);
        add(&mut worked.rpcs, &played.rpcs);
        *rpcs = now;
        self.tracing.as_mut().map_or(Ok(()), Tracing::drain)
    }
}

/// Who allocated what these counters count; a counter of which the kernel does not say it is missing.
fn sites(counters: &Counters, names: impl IntoIterator<Item = String>) -> Result<BTreeMap<String, Vec<Site>>> {
    let mut sites = BTreeMap::new();
    for name in names {
        if let Some(of_it) = counters.sites(&name)? {
            sites.insert(name, of_it);
        }
    }
    Ok(sites)
}

fn add(sum: &mut Rpcs, more: &Rpcs) {
    for (name, calls) in more {
        *sum.entry(name.clone()).or_default() += calls;
    }
}

/// Waits, which is work of a control round.
pub(super) fn wait_until(end: Instant) {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(BEAT));
        progress::made();
    }
}

/// How long a round of `slots` units on the NFS mount would take, with a little to spare.
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
