//! The server of a guest: started, populated, mounted, and made to look changed before each listing.

use super::{files, mount};
use crate::error::{Context, Error, Result};
use crate::scenario::{Made, Scenario, ServerKind};
use crate::server::knfsd;
use crate::server::synthetic::{Directory, Server};
use crate::workload::names::NameMaker;
use crate::workload::populate;
use nix::sys::stat::{UtimensatFlags, stat, utimensat};
use nix::sys::time::TimeSpec;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What knfsd exports.
const EXPORT: &str = "/export";
/// The local directory of control rounds where the server's own cannot be listed.
const LOCAL: &str = "/run/local";
/// That directory need not be huge: its listing stands for opening and closing, not for names.
const MOST_LOCAL_ENTRIES: u64 = 10_000;
/// How long the kernel's clock may take to tick.
const TICK_LIMIT: Duration = Duration::from_secs(1);

/// A server that runs.
pub enum Served {
    /// In a thread of ours.
    Synthetic(Server),
    /// In the kernel, with real files.
    Knfsd,
}

impl Served {
    /// Starts the scenario's server, makes the directory, mounts it; `step` hears of each part that is done.
    pub fn start(
        scenario: &Scenario,
        names: &NameMaker,
        mut step: impl FnMut(&str) -> Result<()>,
    ) -> Result<(Self, PathBuf)> {
        let entries = scenario.directory.entries;
        match scenario.server {
            ServerKind::Synthetic => {
                let local = PathBuf::from(LOCAL);
                files::make_dir(&local)?;
                populate::files(&local, names, entries.min(MOST_LOCAL_ENTRIES))?;
                step("populate")?;
                let server = Server::start(Directory::new(names.clone(), entries))?;
                mount_client(scenario, server.port(), server.port())?;
                step("server and mount")?;
                Ok((Self::Synthetic(server), local))
            }
            ServerKind::Knfsd => {
                // The server starts while the files are made.
                let starting = knfsd::start(Path::new(EXPORT), &scenario.mount.version);
                if scenario.directory.made == Made::Export {
                    populate::files(Path::new(EXPORT), names, entries)?;
                    step("populate")?;
                }
                starting.ready()?;
                step("server")?;
                mount_client(scenario, knfsd::NFS_PORT, knfsd::MOUNT_PORT)?;
                step("mount")?;
                if scenario.directory.made == Made::Mount {
                    populate::files(Path::new(mount::POINT), names, entries)?;
                    step("populate")?;
                }
                Ok((Self::Knfsd, PathBuf::from(EXPORT)))
            }
        }
    }

    /// Gives the directory a newer change time, so that a client that looks again drops what it has cached.
    pub fn touch(&self) -> Result<()> {
        match self {
            Self::Synthetic(server) => {
                server.touch();
                Ok(())
            }
            Self::Knfsd => touch_export(),
        }
    }
}

fn mount_client(scenario: &Scenario, port: u16, mount_port: u16) -> Result<()> {
    let m = &scenario.mount;
    let source = if scenario.server == ServerKind::Knfsd && m.version == "3" { EXPORT } else { "/" };
    mount::mount_nfs(&mount::arguments(&m.version, source, [port, mount_port], m.rsize_bytes, &m.options))
}

/// The change time has the granularity of the kernel's tick, so a second touch within one changes nothing that a
/// client could see.
fn touch_export() -> Result<()> {
    let changed = || {
        let seen = stat(EXPORT).machine(|| format!("cannot look at {EXPORT}"))?;
        Ok::<_, Error>((seen.st_ctime, seen.st_ctime_nsec))
    };
    let before = changed()?;
    let begin = Instant::now();
    let now = TimeSpec::UTIME_NOW;
    loop {
        utimensat(nix::fcntl::AT_FDCWD, EXPORT, &now, &now, UtimensatFlags::FollowSymlink)
            .machine(|| format!("cannot touch {EXPORT}"))?;
        if changed()? != before {
            return Ok(());
        }
        if begin.elapsed() > TICK_LIMIT {
            return Err(Error::kernel(format!("the change time of {EXPORT} does not move")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
