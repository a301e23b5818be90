//! The server of a guest: started, populated, mounted, changed, stopped and started again.

use super::{export_fs, file_churn, init, knfsd, nfs_mount, selinux};
use crate::error::{Context, Error, Result};
use crate::scenario::{NfsVersion, Scenario, ServerKind, mount_options};
use crate::workload::check::{ADDED, Inodes, RENAMED};
use crate::workload::listing::Lister;
use crate::workload::listing::entry::ReadMethod;
use crate::workload::populate;
use nfs_fault_server::dirtree::spec::{Directory, Made};
use nfs_fault_server::dirtree::tree::Tree;
use nfs_fault_server::{Export, Fault, FaultAction, FaultCount, FaultScope, Nfs3Error, Server, fileid_of_entry};
use nix::sys::stat::{UtimensatFlags, stat, utimensat};
use nix::sys::time::TimeSpec;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What knfsd exports.
const EXPORT: &str = "/export";
/// The local directory of control rounds where the server's own cannot be listed.
const LOCAL: &str = "/run/local";
/// That directory need not be huge: its listing stands for opening and closing, not for names.
const MOST_LOCAL_ENTRIES: u64 = 10_000;
/// The directory that is mounted, by its number in the tree.
const MOUNTED: usize = 0;
/// Of the getdents buffer that reads the export itself.
const LISTED_BYTES: usize = 256 << 10;
/// How long the kernel's clock may take to tick.
const TICK_LIMIT: Duration = Duration::from_secs(1);

/// A server that runs.
pub enum RunningServer {
    /// In a thread of ours.
    Synthetic(Arc<Server>),
    /// In the kernel, with real files.
    Knfsd { version: NfsVersion, directories: Vec<PathBuf> },
}

/// A server that was stopped.
pub enum StoppedServer {
    Synthetic(Arc<Server>),
    Knfsd { version: NfsVersion },
}

impl StoppedServer {
    /// Serves again what it served before.
    pub fn start_again(self) -> Result<()> {
        match self {
            Self::Synthetic(server) => Ok(server.start_again()?),
            Self::Knfsd { version } => knfsd::start_again(version),
        }
    }
}

impl RunningServer {
    /// Starts the scenario's server and makes the directories, if they are made on the export; `step` hears of each part that
    /// is done. Also gives the local directories of control rounds.
    pub fn start(
        scenario: &Scenario,
        tree: &Arc<Tree>,
        seed: u64,
        mut step: impl FnMut(&str) -> Result<()>,
    ) -> Result<(Self, Local)> {
        match scenario.server {
            ServerKind::Synthetic => {
                if scenario.mount.has_lockd() {
                    knfsd::start_rpcbind()?;
                }
                let local = local(&scenario.directory, seed)?;
                step("populate")?;
                let server = Server::start(Export::new(Tree::clone(tree), seed))?;
                step("server")?;
                Ok((Self::Synthetic(Arc::new(server)), local))
            }
            ServerKind::Knfsd => {
                let (root, version) = (Path::new(EXPORT), scenario.mount.version);
                export_fs::make(scenario)?;
                // The server starts while the files are made.
                let starting = knfsd::start(root, version, scenario.guest.security_labels);
                if scenario.directory.made == Made::Export {
                    populate::tree(root, tree)?;
                    step("populate")?;
                }
                starting.ready()?;
                step("server")?;
                let directories = directories(tree);
                Ok((Self::Knfsd { version, directories }, Local { root: root.to_owned(), tree: tree.clone() }))
            }
        }
    }

    /// Serves the directories of another scenario in place of its own; gives the server that does, and the directories of control rounds.
    pub fn serve_another(&self, scenario: &Scenario, tree: &Arc<Tree>, seed: u64) -> Result<(Self, Local)> {
        match self {
            Self::Synthetic(server) => {
                server.stop();
                empty(Path::new(LOCAL))?;
                let local = local(&scenario.directory, seed)?;
                let server = Server::start(Export::new(Tree::clone(tree), seed))?;
                Ok((Self::Synthetic(Arc::new(server)), local))
            }
            Self::Knfsd { version, .. } => {
                let root = Path::new(EXPORT);
                empty(root)?;
                if scenario.directory.made == Made::Export {
                    populate::tree(root, tree)?;
                }
                let local = Local { root: root.to_owned(), tree: tree.clone() };
                Ok((Self::Knfsd { version: *version, directories: directories(tree) }, local))
            }
        }
    }

    /// Returns the inode number of each entry, as the server has it.
    pub fn inodes(&self, tree: &Tree) -> Result<Inodes> {
        match self {
            Self::Synthetic(_) => Ok(Inodes::Formula(fileid_of_entry)),
            Self::Knfsd { .. } => {
                Inodes::listed(&mut Lister::new(ReadMethod::getdents(LISTED_BYTES)), Path::new(EXPORT), tree)
            }
        }
    }

    /// Mounts the export as often as the scenario says.
    pub fn mount(&self, scenario: &Scenario) -> Result<()> {
        let exported = self.exported(scenario);
        // Else lockd would run all the time, and no unit would start it.
        let options = if scenario.mount.has_lockd() && scenario.unit.mounts() { "nolock" } else { "" };
        (1..=scenario.mount.count).try_for_each(|number| {
            let point = nfs_mount::point(number);
            init::make_dir(&point)?;
            if number == 1 || !scenario.mount.own_clients {
                return self.mount_path(scenario, (nfs_mount::ADDRESS, exported), &point, options);
            }
            let _name = nfs_mount::OwnClient::begin(scenario.mount.version, number)?;
            self.mount_path(scenario, (&nfs_mount::address(number), exported), &point, options)
        })
    }

    /// Mounts it once more, as from another server.
    pub fn mount_again(&self, scenario: &Scenario) -> Result<()> {
        let from = (nfs_mount::SECOND_ADDRESS, self.exported(scenario));
        self.mount_path(scenario, from, Path::new(nfs_mount::SECOND), "nosharecache")
    }

    /// Tries to mount a path that is not exported.
    pub fn mount_what_is_refused(&self, scenario: &Scenario) -> Result<()> {
        let from = (nfs_mount::SECOND_ADDRESS, "/not-exported");
        self.mount_path(scenario, from, Path::new(nfs_mount::SECOND), "nosharecache")
    }

    fn exported(&self, scenario: &Scenario) -> &'static str {
        let v3_of_knfsd = matches!(self, Self::Knfsd { .. }) && !scenario.mount.version.is_4();
        if v3_of_knfsd { EXPORT } else { "/" }
    }

    fn mount_path(&self, scenario: &Scenario, from: (&str, &str), point: &Path, options: &str) -> Result<()> {
        let ports = match self {
            Self::Synthetic(server) => [server.port(); 2],
            Self::Knfsd { .. } => [mount_options::NFS_PORT, mount_options::MOUNT_PORT],
        };
        let m = &scenario.mount;
        let asked = mount_options::for_kernel(m, scenario.server).map_err(Error::usage)?;
        let options = [asked.data.as_str(), options];
        let options: Vec<&str> = options.into_iter().filter(|o| !o.is_empty()).collect();
        let arguments = nfs_mount::arguments(m.version, from, ports, m.rsize_bytes, &options.join(","));
        nfs_mount::mount_nfs(point, &arguments, asked.flags)
    }

    /// Fails unless labels of the server's files come over the mount.
    pub fn check_labels(&self, tree: &Tree) -> Result<()> {
        selinux::check_labels(Path::new(EXPORT), tree)
    }

    /// Returns the faults that were armed, each with how often it was armed and how often it happened.
    pub fn faults(&self) -> Vec<FaultCount> {
        let Self::Synthetic(server) = self else { return Vec::new() };
        server.export().faults()
    }

    /// Has the next READDIR or READDIRPLUS answered with an error.
    pub fn fail(&self, error: Nfs3Error) -> Result<()> {
        self.arm(Fault::next(FaultAction::Error(error)))
    }

    /// Arms a fault.
    pub fn arm(&self, fault: Fault) -> Result<()> {
        Ok(self.export("fail")?.arm(fault)?)
    }

    /// Returns what only the synthetic server does on purpose; scenarios are checked for it.
    fn export(&self, what: &str) -> Result<&Export> {
        match self {
            Self::Synthetic(server) => Ok(server.export()),
            Self::Knfsd { .. } => Err(Error::machine(format!("knfsd cannot be told to {what}"))),
        }
    }

    /// Has the reply to the next READDIR be the first to show a newer change time.
    pub fn touch_in_reply(&self) -> Result<()> {
        self.arm(Fault::next(FaultAction::NewerChangeTime))
    }

    /// Takes the entry with this cookie away.
    pub fn remove_entry(&self, cookie: i64) -> Result<()> {
        Ok(self.export("remove the entry of a cookie")?.set_aside(MOUNTED, cookie as u64)?)
    }

    /// Brings that entry back.
    pub fn restore_entry(&self) -> Result<()> {
        Ok(self.export("restore an entry")?.restore()?)
    }

    /// Has the next reply to READDIRPLUS come without file handles.
    pub fn hide_handles(&self) -> Result<()> {
        self.arm(Fault { on: FaultScope::Readdirplus, ..Fault::next(FaultAction::NoHandles) })
    }

    /// Returns whether a client can write to it.
    pub fn can_be_written(&self) -> bool {
        matches!(self, Self::Knfsd { .. })
    }

    /// Has it forget the replies that it keeps for calls that may come again.
    pub fn forget_replies(&self) -> Result<()> {
        match self {
            Self::Synthetic(_) => Ok(()),
            Self::Knfsd { version, .. } => knfsd::forget_replies(*version),
        }
    }

    /// Adds one file more to the directory.
    pub fn add(&self) -> Result<()> {
        match self {
            Self::Synthetic(server) => Ok(server.export().create(MOUNTED, ADDED.as_bytes())?),
            Self::Knfsd { .. } => file_churn::add(Path::new(EXPORT)),
        }
    }

    /// Gives that file another name, or its first one back.
    pub fn rename(&self) -> Result<()> {
        match self {
            Self::Synthetic(server) => {
                let export = server.export();
                let [from, to] =
                    if export.has(MOUNTED, ADDED.as_bytes()) { [ADDED, RENAMED] } else { [RENAMED, ADDED] };
                if !export.has(MOUNTED, from.as_bytes()) {
                    return Ok(());
                }
                Ok(export.rename(MOUNTED, from.as_bytes(), to.as_bytes())?)
            }
            Self::Knfsd { .. } => file_churn::rename(Path::new(EXPORT)),
        }
    }

    /// Takes that file away, if it is there.
    pub fn remove(&self) -> Result<()> {
        match self {
            Self::Synthetic(server) => {
                let export = server.export();
                let there = [ADDED, RENAMED].into_iter().filter(|name| export.has(MOUNTED, name.as_bytes()));
                Ok(there.map(str::as_bytes).try_for_each(|name| export.remove(MOUNTED, name))?)
            }
            Self::Knfsd { .. } => file_churn::remove(Path::new(EXPORT)),
        }
    }

    /// Stops serving; what runs into it sees its connections closed.
    pub fn stop(&self) -> Result<StoppedServer> {
        match self {
            Self::Synthetic(server) => {
                server.stop();
                Ok(StoppedServer::Synthetic(server.clone()))
            }
            Self::Knfsd { version, .. } => {
                knfsd::stop()?;
                Ok(StoppedServer::Knfsd { version: *version })
            }
        }
    }

    /// Gives all directories of the shape a newer change time, so that a client that looks again drops what it has cached.
    pub fn touch(&self, tree: &Tree) -> Result<()> {
        match self {
            Self::Synthetic(server) => Ok((0..tree.nodes().len()).try_for_each(|node| server.export().touch(node))?),
            Self::Knfsd { directories, .. } => directories.iter().try_for_each(|directory| touch(directory)),
        }
    }
}

/// Takes away all that is in a directory.
fn empty(dir: &Path) -> Result<()> {
    let cannot = || format!("cannot empty {}", dir.display());
    for entry in fs::read_dir(dir).machine(cannot)? {
        let entry = entry.machine(cannot)?;
        let path = entry.path();
        let is_dir = entry.file_type().machine(cannot)?.is_dir();
        if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.machine(cannot)?;
    }
    Ok(())
}

/// Returns the directories of control rounds beside the synthetic server: of the same shape, but not as huge.
fn local(directory: &Directory, seed: u64) -> Result<Local> {
    let tree = Tree::new(&directory.with_at_most(MOST_LOCAL_ENTRIES), seed);
    let root = PathBuf::from(LOCAL);
    init::make_dir(&root)?;
    populate::tree(&root, &tree)?;
    Ok(Local { root, tree: Arc::new(tree) })
}

/// Returns where knfsd's directories are.
fn directories(tree: &Tree) -> Vec<PathBuf> {
    let path = |node| {
        let mut path = Vec::new();
        tree.path(node, &mut path);
        Path::new(EXPORT).join(OsStr::from_bytes(&path))
    };
    (0..tree.nodes().len()).map(path).collect()
}

/// Gives a directory a newer change time. It has the granularity of the kernel's tick, so a second touch within one
/// changes nothing that a client could see.
fn touch(directory: &Path) -> Result<()> {
    let shown = directory.display();
    let changed = || {
        let seen = stat(directory).machine(|| format!("cannot look at {shown}"))?;
        Ok::<_, Error>((seen.st_ctime, seen.st_ctime_nsec))
    };
    let before = changed()?;
    let begin = Instant::now();
    let now = TimeSpec::UTIME_NOW;
    loop {
        utimensat(nix::fcntl::AT_FDCWD, directory, &now, &now, UtimensatFlags::FollowSymlink)
            .machine(|| format!("cannot touch {shown}"))?;
        if changed()? != before {
            return Ok(());
        }
        if begin.elapsed() > TICK_LIMIT {
            return Err(Error::kernel(format!("the change time of {shown} does not move")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The directories of control rounds.
pub struct Local {
    pub root: PathBuf,
    pub tree: Arc<Tree>,
}
