//! Command lines of dirleak in a guest, each a process of its own, as on a machine where people work.

use super::selinux_policy::CONFINED_LABEL;
use crate::error::{Context, Error, Result};
use crate::os::assets::OURSELVES;
use crate::probe::privileges::SYS_ADMIN;
use crate::protocol::message::{CommandLine, CommandOutput, Confinement};
use crate::workload::progress;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Between two looks at who still runs.
const POLL: Duration = Duration::from_millis(50);

/// Runs all of them at once to their end; `meanwhile` is done again and again, and hears how many still run.
pub fn execute(commands: &[CommandLine], mut meanwhile: impl FnMut(usize) -> Result<()>) -> Result<Vec<CommandOutput>> {
    let mut running: Vec<Running> =
        commands.iter().enumerate().map(|(number, command)| Running::start(number, command)).collect::<Result<_>>()?;
    loop {
        for one in &mut running {
            one.look()?;
        }
        let left = running.iter().filter(|one| one.status.is_none()).count();
        if left == 0 {
            return running.iter().map(Running::ended).collect();
        }
        meanwhile(left)?;
        progress::made();
        std::thread::sleep(POLL);
    }
}

struct Running<'c> {
    command: &'c CommandLine,
    child: Child,
    said: [PathBuf; 2],
    begin: Instant,
    signalled: bool,
    status: Option<std::process::ExitStatus>,
}

impl<'c> Running<'c> {
    fn start(number: usize, command: &'c CommandLine) -> Result<Self> {
        let cannot = || format!("cannot run dirleak {}", command.arguments.join(" "));
        let said = ["stdout", "stderr"].map(|name| PathBuf::from(format!("/run/{name}-{number}")));
        let [stdout, stderr] = [&said[0], &said[1]].map(File::create);
        let mut process = Command::new(OURSELVES);
        process.args(&command.arguments).env_clear().stdin(Stdio::null());
        process.stdout(stdout.machine(cannot)?).stderr(stderr.machine(cannot)?);
        if command.user != 0 {
            process.uid(command.user);
        }
        let confined = command.confined.clone();
        // SAFETY: between fork and exec nothing is done but system calls.
        unsafe { process.pre_exec(move || confined.iter().try_for_each(|one| confine(*one)).map_err(Into::into)) };
        let child = process.spawn().machine(cannot)?;
        Ok(Self { command, child, said, begin: Instant::now(), signalled: false, status: None })
    }

    fn look(&mut self) -> Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        self.status = self.child.try_wait().machine(|| "cannot wait for a command line".into())?;
        match self.command.signal {
            Some((after, number)) if !self.signalled && self.is_time_for_signal(after) => {
                self.signalled = true;
                let signal = Signal::try_from(number).map_err(|_| Error::machine(format!("no signal is {number}")))?;
                // It may just have ended.
                let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Returns whether it has run for so many seconds and what its signal waits for has come.
    fn is_time_for_signal(&self, after_seconds: f64) -> bool {
        let file = self.command.signal_file.as_ref();
        let is_written = |file: &String| contents(file).is_some_and(|text| !text.trim_ascii().is_empty());
        self.begin.elapsed().as_secs_f64() > after_seconds && file.is_none_or(is_written)
    }

    fn ended(&self) -> Result<CommandOutput> {
        let read = |path: &PathBuf| fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned());
        let [stdout, stderr] = [&self.said[0], &self.said[1]].map(read);
        let cannot = || "cannot read what a command line said".to_owned();
        let file = |path: &String| Some((path.clone(), contents(path)?));
        Ok(CommandOutput {
            status: self.status.and_then(|status| status.code()),
            stdout: stdout.machine(cannot)?,
            stderr: stderr.machine(cannot)?,
            files: self.command.files.iter().filter_map(file).collect(),
        })
    }
}

/// Keeps something from this process and what it starts.
fn confine(how: Confinement) -> nix::Result<()> {
    let own_mounts = || unshare(CloneFlags::CLONE_NEWNS);
    let read_only = |path: &str| {
        own_mounts()?;
        let bind = |flags| mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | flags, None::<&str>);
        bind(MsFlags::empty())?;
        bind(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY)
    };
    match how {
        Confinement::ReadOnlySys => read_only("/sys"),
        Confinement::ReadOnlyProcSys => read_only("/proc/sys"),
        Confinement::WithoutTracefs => own_mounts().and_then(|()| umount2("/sys/kernel/tracing", MntFlags::MNT_DETACH)),
        Confinement::OneProcessor => {
            let mut first = CpuSet::new();
            first.set(0)?;
            sched_setaffinity(Pid::from_raw(0), &first)
        }
        Confinement::MemoryCgroupV1 => enter_memory_cgroup("cgroup", Some("memory")),
        Confinement::MemoryCgroupV2 => enter_memory_cgroup("cgroup2", None),
        Confinement::SelinuxDomain => put("/proc/thread-self/attr/current", CONFINED_LABEL),
        Confinement::WithoutSysAdmin => {
            // SAFETY: it touches no memory of ours.
            Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(SYS_ADMIN), 0, 0, 0) })
                .map(drop)
        }
    }
}

/// Puts this process into a cgroup of its own whose memory is accounted.
fn enter_memory_cgroup(file_system: &str, options: Option<&str>) -> nix::Result<()> {
    const HOME: &str = "/run/cgroups-of-a-process";
    unshare(CloneFlags::CLONE_NEWNS)?;
    let made = |result: nix::Result<()>| if result == Err(Errno::EEXIST) { Ok(()) } else { result };
    let mode = nix::sys::stat::Mode::S_IRWXU;
    made(nix::unistd::mkdir(HOME, mode))?;
    mount(Some("cgroup"), HOME, Some(file_system), MsFlags::empty(), options)?;
    if options.is_none() {
        put(&format!("{HOME}/cgroup.subtree_control"), "+memory")?;
    }
    made(nix::unistd::mkdir(format!("{HOME}/dirleak").as_str(), mode))?;
    put(&format!("{HOME}/dirleak/cgroup.procs"), "0")
}

/// Writes a text into a file of the kernel's.
fn put(file: &str, text: &str) -> nix::Result<()> {
    fs::write(file, text).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))
}

/// Returns what is in a file, or the names in a directory, a line each; where a part of the path is `*` those of the first directory that has
/// it. `None` if there is none.
fn contents(path: &str) -> Option<Vec<u8>> {
    if let Some((above, below)) = path.split_once("/*/") {
        return names(above)?.lines().find_map(|name| contents(&format!("{above}/{name}/{below}")));
    }
    names(path).map(String::into_bytes).or_else(|| fs::read(path).ok())
}

/// Returns the names in a directory, a line each, in their order; `None` if it is none.
fn names(dir: &str) -> Option<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Some(names.iter().map(|name| format!("{name}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_those_of_files_and_names_of_directories_whatever_they_are_called() {
        let home = tempfile::tempdir().unwrap();
        for dir in ["instances/a", "instances/b/events", "empty"] {
            fs::create_dir_all(home.path().join(dir)).unwrap();
        }
        fs::write(home.path().join("instances/b/set_event"), "kmem:kmalloc").unwrap();
        let told = |path: &str| {
            contents(&format!("{}/{path}", home.path().display()))
                .map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        assert_eq!(told("instances").as_deref(), Some("a\nb\n"));
        assert_eq!(told("instances/*/set_event").as_deref(), Some("kmem:kmalloc"));
        assert_eq!(told("empty").as_deref(), Some(""));
        assert_eq!((told("empty/*/set_event"), told("missing"), told("missing/*/x")), (None, None, None));
    }
}
