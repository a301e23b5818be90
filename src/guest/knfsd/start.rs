//! Knows how to start knfsd inside the guest, quickly: what depends on what, and when each part answers.

use super::{client_tracking, warm_threads};
use crate::error::{Context, Error, Result};
use crate::scenario::NfsVersion;
use crate::scenario::mount_options::{MOUNT_PORT, NFS_PORT};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// For each program to say that it is ready. The slowest takes a quarter of a second under TCG.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(2);
/// One process lists; a second thread serves whatever the kernel asks beside it.
const THREADS: u32 = 2;

/// knfsd while it starts, beside whatever the guest does meanwhile.
pub struct Starting {
    thread: JoinHandle<Result<()>>,
}

/// Starts to serve the directory `export` by NFS `version` (`3`, `4.1`, `4.2` ...), with the files' security labels if
/// these are wanted. The loopback interface is up and `/proc` is mounted.
pub fn start(export: &Path, version: NfsVersion, labels: bool) -> Starting {
    let export = export.to_owned();
    Starting { thread: thread::spawn(move || serve(&export, version, labels)) }
}

impl Starting {
    /// Waits until the server answers. It runs until the machine is off.
    pub fn ready(self) -> Result<()> {
        self.thread.join().unwrap_or_else(|_| Err(Error::machine("the thread that starts knfsd panicked; report this")))
    }
}

/// Starts rpcbind alone: lockd, which a client of version 3 starts, registers with it. The loopback interface is up.
pub fn start_rpcbind() -> Result<()> {
    make_dir_of_rpcbind()?;
    run("rpcbind", &[])
}

fn make_dir_of_rpcbind() -> Result<()> {
    fs::create_dir_all("/run/rpcbind").machine(|| "cannot make /run/rpcbind in the guest".into())
}

fn serve(export: &Path, version: NfsVersion, labels: bool) -> Result<()> {
    mount_for_server("nfsd", "/proc/fs/nfsd", "CONFIG_NFSD")?;
    make_files(export, version, labels)?;
    let v4 = version.is_4();
    client_tracking::answer();
    thread::scope(|scope| {
        let exports = scope.spawn(|| run("exportfs", &["-ra"]));
        // NFSv3 and its MOUNT protocol are registered with rpcbind; a server of version 4 does without.
        if !v4 {
            run("rpcbind", &[])?;
        }
        let daemon = scope.spawn(|| run("rpc.nfsd", &[&THREADS.to_string()]));
        run("rpc.mountd", &[])?;
        exports.join().expect("it does not panic")?;
        daemon.join().expect("it does not panic")
    })?;
    if v4 {
        end_grace();
    }
    warm_threads::warm(version, NFS_PORT, THREADS);
    Ok(())
}

/// Stops serving: connections are closed, and what was served is served again by [`start_again`].
pub fn stop() -> Result<()> {
    write_proc_file("threads", "0")
}

/// Serves NFS `version` again, as [`start`] did, whose versions the kernel keeps. This is what rpc.nfsd does; without its two
/// processes a restart leaves nothing of processes in the counters.
pub fn start_again(version: NfsVersion) -> Result<()> {
    let port = TcpListener::bind((Ipv4Addr::UNSPECIFIED, NFS_PORT))
        .map_err(|e| Error::machine(format!("knfsd cannot have its port {NFS_PORT} again: {e}")))?;
    write_proc_file("portlist", &port.as_raw_fd().to_string())?;
    write_proc_file("threads", &THREADS.to_string())?;
    if version.is_4() {
        end_grace();
    }
    warm_threads::warm(version, NFS_PORT, THREADS);
    Ok(())
}

/// Writes to a file of nfsd's own file system (fs/nfsd/nfsctl.c).
fn write_proc_file(file: &str, what: &str) -> Result<()> {
    let file = Path::new("/proc/fs/nfsd").join(file);
    fs::write(&file, what).map_err(|e| Error::kernel(format!("cannot write {what} to {}: {e}", file.display())))
}

fn end_grace() {
    // With no client to wait for the server ends its grace period itself; where it was not told so it waits to be
    // told, and until then refuses to make files.
    let _ = fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
}

/// Returns the configuration of rpc.nfsd and rpc.mountd: no version but the wanted one, whatever the defaults are.
fn configuration(version: NfsVersion) -> String {
    let version = version.as_str();
    let (major, minor) = version.split_once('.').unwrap_or((version, ""));
    let mut text = String::from("[nfsd]\nudp=n\ntcp=y\n");
    for known in ["2", "3", "4"] {
        text.push_str(&format!("vers{known}={}\n", if known == major { 'y' } else { 'n' }));
    }
    // Version 4.0 is no minor version that old kernels can switch off apart from 4.
    for known in ["1", "2"].iter().filter(|_| major == "4") {
        text.push_str(&format!("vers4.{known}={}\n", if *known == minor { 'y' } else { 'n' }));
    }
    text.push_str(&format!("[mountd]\nport={MOUNT_PORT}\n"));
    text
}

fn make_files(export: &Path, version: NfsVersion, labels: bool) -> Result<()> {
    let failed = |e: std::io::Error| Error::machine(format!("cannot prepare knfsd's files in the guest: {e}"));
    make_dir_of_rpcbind()?;
    fs::create_dir_all("/var/lib/nfs/v4recovery").map_err(failed)?;
    let labels = if labels { ",security_label" } else { "" };
    let options = format!("rw,insecure,no_root_squash,no_subtree_check,async,fsid=0{labels}");
    fs::write("/etc/exports", format!("{} 127.0.0.1({options})\n", export.display())).map_err(failed)?;
    fs::write("/etc/nfs.conf", configuration(version)).map_err(failed)
}

/// Mounts a file system that the server's kernel half brings.
fn mount_for_server(kind: &str, target: &str, option: &str) -> Result<()> {
    let lacks = |e: &dyn std::fmt::Display| {
        Error::kernel(format!(
            "this kernel cannot be an NFS server: cannot mount {kind} on {target} ({e}); is {option} set?"
        ))
    };
    fs::create_dir_all(target).or_else(|e| Path::new(target).is_dir().then_some(()).ok_or(e)).map_err(|e| lacks(&e))?;
    match mount(Some(kind), target, Some(kind), MsFlags::empty(), None::<&str>) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(e) => Err(lacks(&e)),
    }
}

/// Runs one of the programs to its end. The daemons among them go into the background once they answer, so the end
/// is the sign that they are ready.
fn run(name: &'static str, arguments: &[&str]) -> Result<()> {
    // A file and not a pipe: a daemon that kept a pipe open would keep us waiting for its end.
    let mut said =
        tempfile::tempfile_in("/run").map_err(|e| Error::machine(format!("cannot write in the guest: {e}")))?;
    let console = || said.try_clone().map(Stdio::from).map_err(|e| Error::machine(e.to_string()));
    let mut command = Command::new(Path::new("/usr/sbin").join(name));
    command.args(arguments).stdin(Stdio::null()).stdout(console()?).stderr(console()?);
    let status = wait(&mut command).map_err(|e| Error::kernel(format!("knfsd did not start: {name}: {e}")))?;
    let words = read_output(&mut said);
    match status {
        Some(status) if status.success() => {
            if !words.is_empty() {
                eprintln!("{name}: {words}");
            }
            Ok(())
        }
        Some(status) => Err(Error::kernel(format!("knfsd did not start: {name} failed ({status}): {words}"))),
        None => {
            let seconds = PATIENCE.as_secs();
            Err(Error::kernel(format!("knfsd did not start: {name} was not ready after {seconds} s: {words}")))
        }
    }
}

/// Starts `command` and waits for its end. Not [`crate::os::process::Child`], which kills what is left of the process group: a
/// daemon may not have left it yet when its parent ends.
fn wait(command: &mut Command) -> std::io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let end = Instant::now() + PATIENCE;
    loop {
        match child.try_wait()? {
            None if Instant::now() < end => thread::sleep(POLL),
            None => return child.kill().map(|()| None),
            ended => return Ok(ended),
        }
    }
}

/// Reads what a program printed, as one line.
fn read_output(said: &mut File) -> String {
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.read_to_end(&mut text));
    match read {
        Ok(_) => String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" "),
        Err(e) => format!("(its output cannot be read: {e})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_version_is_served() {
        let three = configuration(NfsVersion::V3);
        assert!(three.contains("vers3=y\n") && three.contains("vers4=n\n") && !three.contains("vers4."), "{three}");
        let four = configuration(NfsVersion::V4_2);
        assert!(four.contains("vers3=n\nvers4=y\nvers4.1=n\nvers4.2=y\n"), "{four}");
        assert!(four.ends_with("[mountd]\nport=20048\n"));
    }
}
