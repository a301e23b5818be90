//! What a guest needs before it can boot: an initramfs with this very program and a plan, a place for its log.

use super::job::Job;
use super::kernel_quirks::{counts_by_line, goes_with_alloc_traces, starts_with_page_owner};
use super::{modules, nfs_utils, programs};
use crate::error::{Context, Error, Exit, Result};
use crate::kernel::bootable::Kernel;
use crate::os::cache::LOGS;
use crate::os::search_path::SearchPath;
use crate::os::temp_dir::Scratch;
use crate::protocol::agent::AgentError;
use crate::protocol::guest_paths::{LINES_ARE_COUNTED_LATER, PLAN};
use crate::protocol::message::Plan;
use crate::scenario::{FileSystem, Scenario, ServerKind};
use crate::vm::initramfs::{Archive, Libraries};
use crate::vm::machine::{Limits, Vm};
use crate::vm::qemu::{
    AS_DISTRIBUTIONS_DO, Accelerator, KERNEL_COMMAND_LINE, KMEMLEAK, Machine, SECURITY_LABELS, TRACK_OBJECTS,
    TRACK_PAGES, clock,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Console logs that are kept.
const KEPT_LOGS: usize = 200;

/// What the kernel needs to unpack the initramfs: the packed one, the unpacked one, of which the file system it goes to
/// takes up to half of the memory, and itself.
const INITRAMFS_COPIES: u64 = 3;
const KERNEL_BYTES: u64 = 32 << 20;

/// What the kernel is to keep about its allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelDebug {
    /// Who allocated objects and pages.
    Sites,
    /// Nothing.
    Stock,
    /// What its own leak detector needs, and nothing else.
    Kmemleak,
}

/// Everything on disk that one guest needs.
pub struct GuestImage {
    kernel: PathBuf,
    scratch: Scratch,
    console_log: PathBuf,
    initramfs_bytes: u64,
    memory_mib: u32,
    cpus: u32,
    accelerator: Accelerator,
    seed: u64,
    debugging: KernelDebug,
    /// Whether page_owner may watch.
    page_owner: bool,
    /// Whether allocations may be counted by line of source.
    counts_lines: bool,
    kmemleak: bool,
    limits: Limits,
    pub scenario: Scenario,
}

impl GuestImage {
    /// Packs the initramfs and finds a name for the log.
    pub fn prepare(job: &Job, debugging: KernelDebug) -> Result<Self> {
        let Job { scenario, kernel, options, cache, ui, .. } = *job;
        let accelerator = job.clocked();
        let scratch = Scratch::within(&cache.dir("runs")?)?;
        let mut archive = Archive::new();
        let modules = modules::add(kernel, scenario, &mut archive)?;
        let programs = programs::add(scenario, &mut archive, cache, ui)?;
        let clock_counts = accelerator == Accelerator::Counted;
        let plan = Plan {
            scenario: scenario.clone(),
            seed: options.seed,
            trace: options.trace,
            clock_counts,
            modules,
            programs,
        };
        archive.devices();
        for dir in ["/proc", "/sys", "/run", "/export", "/tmp", "/mnt"] {
            archive.dir(dir, 0o755);
        }
        archive.program(&options.program, "/init", &Libraries::detect())?;
        archive.file(PLAN, 0o644, serde_json::to_vec(&plan).machine(|| "cannot write the plan".into())?);
        // rpcbind is among them.
        if scenario.server == ServerKind::Knfsd || scenario.mount.has_lockd() {
            nfs_utils::packages(cache, ui)?.add_to(&mut archive)?;
        }
        if scenario.export.file_system != FileSystem::Tmpfs {
            archive.program(
                &mkfs(scenario.export.file_system)?,
                crate::protocol::guest_paths::MKFS,
                &Libraries::detect(),
            )?;
        }
        let initramfs_bytes = archive.write(&scratch.path().join("initramfs"))?;
        let logs = cache.dir(LOGS)?;
        forget_old_logs(&logs);
        Ok(Self {
            kernel: kernel.image.clone(),
            scratch,
            console_log: log_name(&logs, scenario, kernel),
            initramfs_bytes,
            memory_mib: scenario.guest.memory_mib,
            cpus: scenario.guest.cpus,
            accelerator,
            seed: options.seed,
            debugging,
            page_owner: goes_with_alloc_traces(&kernel.release)
                && (scenario.server != ServerKind::Knfsd || starts_with_page_owner(&kernel.release)),
            counts_lines: counts_by_line(&kernel.release),
            kmemleak: options.kmemleak,
            limits: options.limits,
            scenario: scenario.clone(),
        })
    }

    /// Does the same for who asks the guest: what this kernel cannot be prepared for is unsupported.
    pub fn prepare_supported(job: &Job, debugging: KernelDebug) -> std::result::Result<Self, AgentError> {
        Self::prepare(job, debugging).map_err(|error| match error.exit() {
            Exit::CannotJudge => AgentError::Unsupported(error.to_string()),
            _ => AgentError::Error(error),
        })
    }

    /// Returns why the guest's memory is too small to start from this initramfs, in a sentence; `None` if it is not.
    pub fn memory_shortfall(&self) -> Option<String> {
        let needed_mib = (INITRAMFS_COPIES * self.initramfs_bytes + KERNEL_BYTES).div_ceil(1 << 20);
        (needed_mib > u64::from(self.memory_mib)).then(|| {
            format!(
                "the guest of {} has {} MiB of memory and needs about {needed_mib} MiB to start; \
                 raise guest.memory_mib in the scenario",
                self.scenario.name, self.memory_mib
            )
        })
    }

    /// Starts the guest.
    pub fn boot(&self) -> Result<Vm> {
        let initramfs = self.scratch.path().join("initramfs");
        let guest = &self.scenario.guest;
        let debugging = match self.debugging {
            KernelDebug::Sites => TRACK_OBJECTS,
            KernelDebug::Kmemleak => KMEMLEAK,
            KernelDebug::Stock => AS_DISTRIBUTIONS_DO,
        };
        let mut command_line = format!("{KERNEL_COMMAND_LINE} {debugging}{}", clock(self.accelerator));
        if self.debugging == KernelDebug::Sites && self.page_owner {
            command_line += &format!(" {TRACK_PAGES}");
        }
        if self.debugging == KernelDebug::Sites && self.counts_lines {
            command_line += &format!(" {LINES_ARE_COUNTED_LATER}");
        }
        if guest.security_labels {
            command_line += &format!(" {SECURITY_LABELS}");
        }
        if self.kmemleak {
            command_line += &format!(" {KMEMLEAK}");
        }
        command_line += &format!(" {}", guest.kernel_arguments);
        let machine = Machine {
            kernel: &self.kernel,
            initramfs: Some(&initramfs),
            command_line: &command_line,
            memory_mib: self.memory_mib,
            cpus: self.cpus,
            accelerator: self.accelerator,
            seed: self.seed,
            console_log: &self.console_log,
        };
        Vm::start(&machine, self.limits)
    }

    /// Returns what executes the guest's instructions.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Returns where the guest's console is written.
    pub fn console_log(&self) -> &Path {
        &self.console_log
    }
}

/// Where programs that make file systems are: not everybody has these directories in `PATH`.
pub const MKFS_PLACES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Returns the program of this machine that makes such a file system.
fn mkfs(kind: FileSystem) -> Result<PathBuf> {
    let name = format!("mkfs.{}", kind.as_str());
    let package = match kind {
        FileSystem::Xfs => "xfsprogs",
        FileSystem::Btrfs => "btrfs-progs",
        FileSystem::Ext4 | FileSystem::Tmpfs => "e2fsprogs",
    };
    let missing = || Error::machine(format!("{name} is not installed; it is in the package {package}"));
    SearchPath::new(&MKFS_PLACES.map(Path::new)).find(&name).ok_or_else(missing)
}

/// Forgets the oldest logs, so that the cache does not grow without end.
fn forget_old_logs(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    let mut logs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    logs.sort();
    for log in &logs[..logs.len().saturating_sub(KEPT_LOGS)] {
        // Another dirleak may have been faster.
        let _ = fs::remove_file(log);
    }
}

/// Begins with the time, so that names sort by age.
fn log_name(dir: &Path, scenario: &Scenario, kernel: &Kernel) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "+-".contains(c) { c } else { '_' }).take(60).collect()
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let (scenario, kernel) = (plain(&scenario.name), plain(&kernel.spec));
    dir.join(format!("{seconds}-{process}-{number}-{scenario}-{kernel}.log"))
}
