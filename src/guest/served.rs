//! The server of a guest: started, populated, mounted, and made to look changed before each listing.

use super::{files, labels, mount};
use crate::error::{Context, Error, Result};
use crate::scenario::{Made, Nfs3Error, Scenario, ServerKind};
use crate::server::knfsd;
use crate::server::{Export, Fault, On, Server, What};
use crate::workload::check::ADDED;
use crate::workload::names::NameMaker;
use crate::workload::populate;
use crate::workload::tree::Tree;
use nix::sys::stat::{UtimensatFlags, stat, utimensat};
use nix::sys::time::TimeSpec;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What knfsd exports.
const EXPORT: &str = "/export";
/// The local directory of control rounds where the server's own cannot be listed.
const LOCAL: &str = "/run/local";
/// That directory need not be huge: its listing stands for opening and closing, not for names.
const MOST_LOCAL_ENTRIES: u64 = 10_000;
/// The directory that is mounted, by its number in the tree.
const MOUNTED: usize = 0;
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
    /// Starts the scenario's server and makes the directory, if it is made on the export; `step` hears of each part that
    /// is done. Also gives the local directory of control rounds.
    pub fn start(
        scenario: &Scenario,
        names: &NameMaker,
        seed: u64,
        mut step: impl FnMut(&str) -> Result<()>,
    ) -> Result<(Self, PathBuf)> {
        let entries = scenario.directory.entries;
        match scenario.server {
            ServerKind::Synthetic => {
                let local = PathBuf::from(LOCAL);
                files::make_dir(&local)?;
                populate::files(&local, names, entries.min(MOST_LOCAL_ENTRIES))?;
                step("populate")?;
                let server = Server::start(Export::new(Tree::new(&scenario.directory, seed), seed))?;
                step("server")?;
                Ok((Self::Synthetic(server), local))
            }
            ServerKind::Knfsd => {
                // The server starts while the files are made.
                let labels = scenario.guest.security_labels;
                let starting = knfsd::start(Path::new(EXPORT), &scenario.mount.version, labels);
                if scenario.directory.made == Made::Export {
                    populate::files(Path::new(EXPORT), names, entries)?;
                    step("populate")?;
                }
                starting.ready()?;
                step("server")?;
                Ok((Self::Knfsd, PathBuf::from(EXPORT)))
            }
        }
    }

    /// Mounts the export.
    pub fn mount(&self, scenario: &Scenario) -> Result<()> {
        self.mount_path(scenario, (mount::ADDRESS, self.exported(scenario)), mount::POINT, "")
    }

    /// Mounts it once more, as from another server.
    pub fn mount_again(&self, scenario: &Scenario) -> Result<()> {
        self.mount_path(scenario, (mount::SECOND_ADDRESS, self.exported(scenario)), mount::SECOND, "nosharecache")
    }

    /// Tries to mount a path that is not exported.
    pub fn mount_what_is_refused(&self, scenario: &Scenario) -> Result<()> {
        self.mount_path(scenario, (mount::SECOND_ADDRESS, "/not-exported"), mount::SECOND, "nosharecache")
    }

    fn exported(&self, scenario: &Scenario) -> &'static str {
        let v3_of_knfsd = matches!(self, Self::Knfsd) && scenario.mount.version == "3";
        if v3_of_knfsd { EXPORT } else { "/" }
    }

    fn mount_path(&self, scenario: &Scenario, from: (&str, &str), point: &str, options: &str) -> Result<()> {
        let ports = match self {
            Self::Synthetic(server) => [server.port(); 2],
            Self::Knfsd => [knfsd::NFS_PORT, knfsd::MOUNT_PORT],
        };
        let m = &scenario.mount;
        let options = [m.options.as_str(), options];
        let options: Vec<&str> = options.into_iter().filter(|o| !o.is_empty()).collect();
        mount::mount_nfs(point, &mount::arguments(&m.version, from, ports, m.rsize_bytes, &options.join(",")))
    }

    /// Fails unless labels of the server's files come over the mount.
    pub fn prove_labels(&self, names: &NameMaker) -> Result<()> {
        labels::prove(Path::new(EXPORT), names)
    }

    /// The next READDIR or READDIRPLUS is answered with an error.
    pub fn fail(&self, error: Nfs3Error) -> Result<()> {
        self.export("fail")?.arm(Fault::next(What::Error(error)))
    }

    /// What only the synthetic server does on purpose; scenarios are checked for it.
    fn export(&self, what: &str) -> Result<&Export> {
        match self {
            Self::Synthetic(server) => Ok(server.export()),
            Self::Knfsd => Err(Error::machine(format!("knfsd cannot be told to {what}"))),
        }
    }

    /// The reply to the next READDIR is the first to show a newer change time.
    pub fn touch_in_reply(&self) -> Result<()> {
        self.export("change the directory in a reply")?.arm(Fault::next(What::NewerChangeTime))
    }

    /// The entry with this cookie is gone.
    pub fn remove_entry(&self, cookie: i64) -> Result<()> {
        self.export("remove the entry of a cookie")?.set_aside(MOUNTED, cookie as u64)
    }

    /// It is there again.
    pub fn restore_entry(&self) -> Result<()> {
        self.export("restore an entry")?.restore()
    }

    /// The next reply to READDIRPLUS has no file handles.
    pub fn hide_handles(&self) -> Result<()> {
        self.export("hide handles")?.arm(Fault { on: On::Readdirplus, ..Fault::next(What::NoHandles) })
    }

    /// One file more in the directory.
    pub fn add(&self) -> Result<()> {
        let path = Path::new(EXPORT).join(ADDED);
        fs::File::create(&path).map(|_| ()).machine(|| format!("cannot make {}", path.display()))
    }

    /// That file is taken away, if it is there.
    pub fn remove(&self) -> Result<()> {
        let path = Path::new(EXPORT).join(ADDED);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).machine(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Gives the directory a newer change time, so that a client that looks again drops what it has cached.
    pub fn touch(&self) -> Result<()> {
        match self {
            Self::Synthetic(server) => server.export().touch(MOUNTED),
            Self::Knfsd => touch_export(),
        }
    }
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
