//! A mount of our own to list, for who has none at hand or lets nobody touch it: our NFSv3 server on the loopback address, mounted in a mount
//! namespace that nobody else is in. The kernel takes the mount away with the last process in there, however that ends.

use super::left::OwnDirectory;
use super::listing_digest::NameDigest;
use super::made_tree::MadeTree;
use super::mount::Mounted;
use crate::error::{Error, Result};
use crate::guest::nfs_mount::{self, ADDRESS};
use crate::probe::privileges;
use crate::result::record::RunRecord;
use crate::scenario::NfsVersion;
use nfs_fault_server::{Export, Server};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::Path;
use std::time::Duration;

/// What a measurement of it is called where others have the directory.
pub const NAME: &str = "synthetic";
/// In bytes: such names are in kmalloc-256, the quietest of the size classes.
const NAME_BYTES: (usize, usize) = (200, 200);
/// What clients ask for unless they are told otherwise; also the most that READDIR asks for.
const RSIZE_BYTES: u32 = 1 << 20;
/// A server that is killed answers no more: whatever waits for it fails after some seconds (soft; timeo is in tenths of a second) instead of
/// never. Of the ports below 1024, which are few on a machine with many mounts, none is taken (noresvport).
const OPTIONS: &str = "soft,timeo=50,retrans=2,noresvport";
/// How long a connection over the loopback may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// A server and a mount of it; both are gone when this is dropped.
pub struct SyntheticMount {
    // Taken away in this order: no unmounting waits for a server that is gone.
    point: MountPoint,
    _server: Server,
    /// What a listing must show.
    pub names: NameDigest,
}

impl SyntheticMount {
    /// Serves so many names and mounts them for this process alone.
    pub fn make(entries: u64, seed: u64) -> Result<Self> {
        // Before there are threads, which stand back as who starts them does.
        privileges::stand_back();
        let MadeTree { tree, names } = MadeTree::new(entries, NAME_BYTES, seed);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
        let server =
            Server::start_at(Export::new(tree, seed), address).map_err(|e| loopback_is_down(&e.to_string()))?;
        let port = server.port();
        TcpStream::connect_timeout(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(), CONNECTED_WITHIN)
            .map_err(|e| loopback_is_down(&e.to_string()))?;
        // The server's threads stay outside, so that the namespace ends with this thread.
        leave_mounts_of_others()?;
        let point = MountPoint { dir: Some(OwnDirectory::make_local()?) };
        point.mount(port)?;
        Ok(Self { point, _server: server, names })
    }

    /// Finds the mount as if it was one of the machine's.
    pub fn mounted(&self) -> Result<Mounted> {
        Mounted::find(self.point.path())
    }

    /// Takes the mount away, and then the server; what was left is told.
    pub fn take_away(mut self) -> Result<()> {
        self.point.take_away()
    }
}

/// Has a record tell the measurement of such a mount by its name: where it was and at which port says nothing to anybody.
pub fn call_so(record: &mut RunRecord) {
    record.scenario = NAME.into();
    if let Some(setup) = &mut record.setup {
        setup.server = NAME.into();
    }
}

/// A directory of our own that the export is mounted on.
struct MountPoint {
    dir: Option<OwnDirectory>,
}

impl MountPoint {
    fn path(&self) -> &Path {
        self.dir.as_ref().map_or(Path::new(""), OwnDirectory::path)
    }

    fn mount(&self, port: u16) -> Result<()> {
        let from = (ADDRESS, "/");
        let (kind, source, data) = nfs_mount::arguments(NfsVersion::V3, from, [port; 2], RSIZE_BYTES, OPTIONS);
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some(source.as_str()), self.path(), Some(kind), flags, Some(data.as_str()))
            .map_err(|errno| refusal(errno, privileges::owns_the_machine()))
    }

    fn take_away(&mut self) -> Result<()> {
        let Some(dir) = self.dir.take() else { return Ok(()) };
        unmount(dir.path());
        dir.remove()
    }
}

impl Drop for MountPoint {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            unmount(dir.path());
        }
    }
}

/// Unmounts, or takes away from where it is if somebody still has it open. If it is not mounted nothing is done.
fn unmount(point: &Path) {
    let _ = umount2(point, MntFlags::UMOUNT_NOFOLLOW)
        .or_else(|_| umount2(point, MntFlags::UMOUNT_NOFOLLOW | MntFlags::MNT_DETACH));
}

/// Enters a mount namespace of our own. What others mount and unmount is still seen in it, so that no mount of theirs is kept in use; what is
/// mounted in it nobody else sees.
fn leave_mounts_of_others() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|errno| match errno {
        Errno::EPERM => Error::usage(format!(
            "dirleak host --synthetic mounts something where nobody else sees it, for which it {}",
            privileges::why_it_may_not_mount()
        )),
        other => Error::kernel(format!("cannot enter a mount namespace of its own: {other}; name a directory instead")),
    })?;
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(|errno| {
        Error::usage(format!(
            "cannot keep a mount from others: {errno}; in a chroot whose root is nothing that was mounted that cannot be, so call \
             dirleak host --synthetic outside of it"
        ))
    })
}

fn loopback_is_down(why: &str) -> Error {
    Error::machine(format!(
        "nothing comes through over the loopback address {ADDRESS}, on which dirleak host --synthetic serves: {why}; bring it up with \
         `ip link set lo up`"
    ))
}

/// Returns why the kernel refuses to mount, and the way out.
fn refusal(errno: Errno, owns_the_machine: bool) -> Error {
    match errno {
        Errno::ENODEV => Error::kernel(
            "this kernel has no NFS client: its module nfs is not there, or must not be loaded; where it is, `modprobe nfs` says why",
        ),
        Errno::EPROTONOSUPPORT => Error::kernel(
            "this kernel's NFS client does not speak version 3: its module nfsv3 is not there, or must not be loaded; name a directory \
             of another version's mount",
        ),
        Errno::EPERM if !owns_the_machine => Error::usage(format!(
            "dirleak host --synthetic mounts NFS, for which it {}",
            privileges::why_it_may_not_mount()
        )),
        Errno::EPERM | Errno::EACCES => Error::usage(format!(
            "a policy of this machine does not let dirleak host --synthetic mount NFS ({errno}): seccomp, AppArmor or SELinux; name a \
             directory of a mount that there is"
        )),
        other => {
            Error::kernel(format!("cannot mount our own server from {ADDRESS}: {other}; name a directory instead"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn refusal_to_mount_is_told_by_its_reason_and_has_a_way_out() {
        for (errno, owns, exit, reason) in [
            (Errno::ENODEV, true, Exit::CannotJudge, "has no NFS client"),
            (Errno::EPROTONOSUPPORT, true, Exit::CannotJudge, "does not speak version 3"),
            (Errno::EPERM, false, Exit::Usage, "CAP_SYS_ADMIN"),
            (Errno::EPERM, true, Exit::Usage, "a policy of this machine"),
            (Errno::EACCES, true, Exit::Usage, "a policy of this machine"),
            (Errno::ETIMEDOUT, true, Exit::CannotJudge, "cannot mount our own server"),
        ] {
            let error = refusal(errno, owns);
            assert_eq!(error.exit(), exit, "{error}");
            assert!(error.to_string().contains(reason), "{error}");
        }
        let error = loopback_is_down("Network is unreachable");
        assert!(error.exit() == Exit::Machine && error.to_string().contains("`ip link set lo up`"), "{error}");
    }

    #[test]
    fn made_names_are_what_their_server_shows() {
        let made = MadeTree::new(3, NAME_BYTES, 7);
        let same = MadeTree::new(3, NAME_BYTES, 7);
        assert_eq!((made.names.count, made.names == same.names), (3, true));
        assert!(made.names != MadeTree::new(3, NAME_BYTES, 8).names);
    }
}
