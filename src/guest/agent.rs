//! Sets the stage that a plan describes and carries out the orders that only a guest can.

use super::cgroup::Workload;
use super::serial::SerialLink;
use super::server::RunningServer;
use super::steps::program::Programs;
use super::steps::runner::UnitRunner;
use super::{coverage, exec, init, modules, nfs_mount, selinux, status_monitor};
use crate::agent::executor::{self, sites};
use crate::agent::target::Target;
use crate::error::{Error, Result};
use crate::probe::counters::Counters;
use crate::probe::kernel_files::KernelFiles;
use crate::probe::quiesce::{QuiesceMode, Quiescer};
use crate::probe::{kmemleak, slabinfo};
use crate::protocol::guest_paths::{BUSY_CACHES, LINES_ARE_COUNTED_LATER};
use crate::protocol::message::{Plan, Request, Response, RoundStats};
use crate::sample::{Sample, Site};
use crate::scenario::{Scenario, Step};
use crate::workload::populate;
use nfs_fault_server::dirtree::spec::Made;
use nfs_fault_server::dirtree::tree::Tree;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// How long units are made, and then not made, while command lines run.
const BURST_SECONDS: u64 = 2;

/// The stage: a server, a mount, a local directory, and the probe.
pub struct GuestAgent {
    pub(super) measuring: executor::Executor<UnitRunner>,
    workload: Option<Workload>,
    is_mounted: bool,
    before_mount: Sample,
    sites_before_mount: BTreeMap<String, Vec<Site>>,
}

impl GuestAgent {
    /// Starts the server, makes the directories, opens the probe, so that it sees every cache, reads what there is
    /// without a mount, and mounts.
    pub fn set_up(plan: &Plan, link: &mut SerialLink) -> Result<Self> {
        let scenario = plan.scenario.clone();
        let mut steps = Steps::new(link);
        modules::load(&plan.modules)?;
        steps.done("modules")?;
        init::require_processors(&KernelFiles::of_this_machine(), scenario.guest.cpus)?;
        init::require_file_system("nfs", "CONFIG_NFS_FS and CONFIG_NFS_V3")?;
        nfs_mount::loopback(true)?;
        init::make_dir(Path::new(nfs_mount::SECOND))?;
        if scenario.guest.security_labels {
            selinux::load_policy()?;
            steps.done("policy")?;
        }
        let tree = Arc::new(Tree::new(&scenario.directory, plan.seed));
        let (served, local) = RunningServer::start(&scenario, &tree, plan.seed, |part| steps.done(part))?;
        if scenario.mount.has_lockd() {
            status_monitor::start()?;
        }
        let workload = match &scenario.cgroup {
            Some(cgroup) => Some(Workload::enter(cgroup.memory_high_mib)?),
            None => None,
        };
        let files = KernelFiles::of_this_machine();
        kmemleak::scan_only_when_asked(&files);
        let rest = Quiescer::new(Counters::open(&files)?, QuiesceMode::Full)?.writing_back();
        let before_mount = rest.read_once()?;
        let sites_before_mount = sites(rest.counters(), BUSY_CACHES.map(str::to_owned))?;
        steps.done("probe")?;
        if scenario.mount.version.is_4() {
            nfs_mount::wait_for_first_second()?;
        }
        served.mount(&scenario)?;
        steps.done("mount")?;
        if scenario.directory.made == Made::Mount {
            populate::tree(Path::new(nfs_mount::POINT), &tree)?;
            steps.done("populate")?;
        }
        let inodes = served.inodes(&tree)?;
        if scenario.guest.security_labels {
            served.check_labels(&tree)?;
            steps.done("labels")?;
        }
        let programs = Programs::new(plan.programs.clone(), plan.seed);
        let mut player = UnitRunner::new(scenario, served, tree, local, inodes, plan.seed).with_programs(programs);
        player.start_readers()?;
        let measuring = executor::Executor::new(player, rest);
        Ok(Self { measuring, workload, is_mounted: true, before_mount, sites_before_mount })
    }

    /// Returns what the host needs to know of the stage.
    pub fn ready(&self) -> Response {
        Response::Ready(self.measuring.ready(self.before_mount.clone(), self.sites_before_mount.clone()))
    }

    /// Carries out one order.
    pub fn handle(&mut self, order: Request, link: &mut SerialLink) -> Result<Response> {
        if matches!(order, Request::AllocinfoBegin) {
            count_lines();
        }
        if let Some(answer) = self.measuring.handle(&order, &mut |name, seconds| link.step(name, seconds))? {
            return Ok(answer);
        }
        Ok(match order {
            Request::Time { states } => self.time(&states, link)?,
            Request::Footprint => Response::Footprint(self.footprint()?),
            Request::SetUp { scenario, seed } => {
                self.set_up_another(*scenario, seed)?;
                Response::Done
            }
            Request::FailInEachUnit { fail } => {
                self.measuring.place.failing.each_unit(fail);
                Response::Done
            }
            Request::ResetCoverage => {
                coverage::reset()?;
                Response::Done
            }
            Request::Coverage => Response::Coverage { files: coverage::read()? },
            Request::Charged => {
                let charged = self.workload.as_ref().map(Workload::usage).transpose()?;
                Response::Charged(charged.unwrap_or_default())
            }
            Request::TakeCgroupAway => {
                // They would keep it from going.
                self.measuring.place.end_readers();
                self.workload.take().map_or(Ok(()), Workload::take_away)?;
                Response::Done
            }
            Request::Slabinfo => {
                Response::Slabinfo { objects: slabinfo::read(self.measuring.rest.counters().files())? }
            }
            Request::Kmemleak => {
                Response::Kmemleak { reported: kmemleak::scan(self.measuring.rest.counters().files())? }
            }
            Request::Execute { commands, meanwhile } => {
                let begin = Instant::now();
                let player = &mut self.measuring.place;
                let mut unit = || player.list_nfs().map(drop);
                let ended = exec::execute(&commands, |running| {
                    link.step(&format!("{running} command lines"), 0.0)?;
                    // As people list: now and then, so that what follows it can be told from what does not.
                    let lists = meanwhile && begin.elapsed().as_secs() % (2 * BURST_SECONDS) < BURST_SECONDS;
                    if lists { unit() } else { Ok(()) }
                })?;
                Response::Executed { ended }
            }
            Request::Unmount => {
                self.unmount()?;
                Response::Done
            }
            Request::Finish => Response::Bye,
            other => return Err(Error::machine(format!("a bug of dirleak: nobody obeys {other:?} in a guest"))),
        })
    }

    fn unmount(&mut self) -> Result<()> {
        // What the kernel complains of comes between the two, and so does through if they do.
        init::say_on_console();
        self.measuring.place.unmount()?;
        self.is_mounted = false;
        init::say_on_console();
        Ok(())
    }

    /// Takes the directories and mounts of a scenario away, and makes those of another one that can share the guest with it.
    fn set_up_another(&mut self, scenario: Scenario, seed: u64) -> Result<()> {
        self.measuring.place.end_readers();
        if self.is_mounted {
            self.unmount()?;
        }
        let tree = Arc::new(Tree::new(&scenario.directory, seed));
        let (served, local) = self.measuring.place.served.serve_another(&scenario, &tree, seed)?;
        served.mount(&scenario)?;
        self.is_mounted = true;
        if scenario.directory.made == Made::Mount {
            populate::tree(Path::new(nfs_mount::POINT), &tree)?;
        }
        let inodes = served.inodes(&tree)?;
        self.measuring.place = UnitRunner::new(scenario, served, tree, local, inodes, seed);
        self.measuring.place.start_readers()
    }

    /// Makes one unit of other steps than the scenario's.
    pub(super) fn list_once(&mut self, steps: Vec<Step>) -> Result<RoundStats> {
        self.measuring.once(|player| player.run_steps(steps))
    }
}

/// Tells the host how long each part of the setting-up took.
struct Steps<'a> {
    link: &'a mut SerialLink,
    begin: Instant,
}

impl<'a> Steps<'a> {
    fn new(link: &'a mut SerialLink) -> Self {
        Self { link, begin: Instant::now() }
    }

    fn done(&mut self, name: &str) -> Result<()> {
        self.link.step(name, self.begin.elapsed().as_secs_f64())?;
        self.begin = Instant::now();
        Ok(())
    }
}

/// Has the kernel count from now on what each line of source allocates, if the command line says so and it can. What was allocated before is
/// not subtracted when it is freed.
fn count_lines() {
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    if command_line.split_whitespace().any(|word| word == LINES_ARE_COUNTED_LATER) {
        // A kernel without the file counts nothing.
        let _ = fs::write("/proc/sys/vm/mem_profiling", "1");
    }
}
