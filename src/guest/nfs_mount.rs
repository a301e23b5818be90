//! The client's side: loopback up, and mount(2) of NFS without any helper program.

use crate::error::{Context, Error, Result};
use crate::scenario::NfsVersion;
pub use crate::scenario::mount_options::ADDRESS;
use crate::scenario::mount_options::asks_for_lockd;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::time::{ClockId, clock_gettime};
use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the client mounts first.
pub const POINT: &str = "/mnt";
/// Where a unit mounts the export a second time.
pub const SECOND: &str = "/run/second";
/// The same server under another address, for which the kernel makes a client and a connection of their own (nfs_match_client in
/// fs/nfs/client.c), so that a second mount begins from nothing.
pub const SECOND_ADDRESS: &str = "127.0.0.2";

/// Where the name is that tells clients of version 4 on one machine apart (Documentation/filesystems/nfs/client-identifier.rst).
const CLIENT_NAME: &str = "/sys/module/nfs/parameters/nfs4_unique_id";

/// Returns the address of the server under which the nth mount asks for it if each is a client of its own.
pub fn address(number: u32) -> String {
    format!("127.0.1.{number}")
}

/// A name of its own for the client of version 4 that is made as long as this is there. Without it the kernel finds that two addresses lead to
/// one server that knows the client already, and uses that one (nfs41_walk_client_list in fs/nfs/nfs4client.c).
pub struct OwnClient(NfsVersion);

impl OwnClient {
    /// Gives the next client the number of its mount as its name.
    pub fn begin(version: NfsVersion, number: u32) -> Result<Self> {
        if version.is_4() {
            let cannot = |e| Error::kernel(format!("clients cannot have names of their own: {CLIENT_NAME}: {e}"));
            fs::write(CLIENT_NAME, format!("mount-{number}")).map_err(cannot)?;
        }
        Ok(Self(version))
    }
}

impl Drop for OwnClient {
    fn drop(&mut self) {
        if self.0.is_4() {
            let _ = fs::write(CLIENT_NAME, "\n");
        }
    }
}

/// Returns where the client mounts for the nth time, counted from 1.
pub fn point(number: u32) -> PathBuf {
    if number == 1 { PathBuf::from(POINT) } else { PathBuf::from(format!("/run/mount-{number}")) }
}

/// Brings `lo` up, or takes it down.
pub fn loopback(up: bool) -> Result<()> {
    let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|e| Error::kernel(format!("cannot open a socket: {e}; does the kernel have CONFIG_INET?")))?;
    // SAFETY: an all-zero ifreq is valid; the name is a C string within its array.
    let result = unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = if up { (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short } else { 0 };
        libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request)
    };
    Errno::result(result)
        .machine(|| format!("cannot bring the loopback interface {}", if up { "up" } else { "down" }))?;
    Ok(())
}

/// Returns the file system type, source and data of an NFS mount of `path` from the server at `address`. The ports are
/// those of the NFS and the MOUNT program, so that rpcbind need not be asked.
pub fn arguments(
    version: NfsVersion,
    (address, path): (&str, &str),
    [port, mount_port]: [u16; 2],
    rsize_bytes: u32,
    options: &str,
) -> (&'static str, String, String) {
    let mut data = format!("addr={address},vers={version},proto=tcp,port={port},rsize={rsize_bytes}");
    let kind = if version.is_4() {
        data += &format!(",clientaddr={ADDRESS}");
        "nfs4"
    } else {
        // lockd needs rpcbind, which not every guest has.
        data += if asks_for_lockd(options) { "" } else { ",nolock" };
        data += &format!(",mountproto=tcp,mountvers=3,mountaddr={address},mountport={mount_port}");
        "nfs"
    };
    if !options.is_empty() {
        data += &format!(",{options}");
    }
    (kind, format!("{address}:{path}"), data)
}

/// Mounts on `point`.
pub fn mount_nfs(point: &Path, (kind, source, data): &(&'static str, String, String), flags: MsFlags) -> Result<()> {
    mount(Some(source.as_str()), point, Some(*kind), flags, Some(data.as_str())).map_err(|e| {
        let beside = if flags.is_empty() { String::new() } else { format!(" and {flags:?}") };
        Error::kernel(format!("cannot mount {kind} {source} with {data}{beside}: {e}"))
    })
}

/// When the kernel's own count of seconds, which lags by a tick or more, has surely left 0.
const FIRST_SECOND_IS_OVER: Duration = Duration::from_millis(1500);

/// Waits until the first second of the machine is over. nfsd writes down in which second a client of version 4 was seen last, and 0 means
/// that the client has expired (is_client_expired in fs/nfsd/nfs4state.c), so that one that comes in the first second is refused. Seen
/// of 7.2 with a clock that counts instructions.
pub fn wait_for_first_second() -> Result<()> {
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME).machine(|| "cannot tell how long the machine is up".into())?;
    std::thread::sleep(FIRST_SECOND_IS_OVER.saturating_sub(Duration::from(up)));
    Ok(())
}

/// Mounts an empty tmpfs on `point`.
pub fn mount_local(point: &Path) -> Result<()> {
    mount(Some("tmpfs"), point, Some("tmpfs"), MsFlags::empty(), None::<&str>)
        .machine(|| format!("cannot mount a tmpfs on {}", point.display()))
}

/// Unmounts what is mounted on `point`.
pub fn unmount(point: &Path) -> Result<()> {
    umount2(point, MntFlags::empty()).machine(|| format!("cannot unmount {}", point.display()))
}

/// Returns the device number of what is mounted on `point`, which asks no server.
pub fn device(point: &Path) -> Result<(u32, u32)> {
    let found = look_at(point, libc::AT_STATX_DONT_SYNC, 0)?;
    Ok((found.stx_dev_major, found.stx_dev_minor))
}

/// Asks the server for the attributes of what is mounted on `point`, however good those are that the client has.
pub fn ask_for_attributes(point: &Path) -> Result<()> {
    look_at(point, libc::AT_STATX_FORCE_SYNC, libc::STATX_BASIC_STATS).map(drop)
}

fn look_at(point: &Path, sync: libc::c_int, mask: libc::c_uint) -> Result<libc::statx> {
    let cannot = || format!("cannot look at {}", point.display());
    let name = CString::new(point.as_os_str().as_bytes()).machine(cannot)?;
    let flags = sync | libc::AT_NO_AUTOMOUNT;
    // SAFETY: the name ends in a NUL and the struct is the kernel's to fill; all zeroes are a valid one.
    let (result, found) = unsafe {
        let mut found: libc::statx = std::mem::zeroed();
        (libc::statx(libc::AT_FDCWD, name.as_ptr(), flags, mask, &mut found), found)
    };
    Errno::result(result).machine(cannot)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_3_names_the_ports_of_both_programs() {
        let (kind, source, data) = arguments(NfsVersion::V3, (ADDRESS, "/export"), [2049, 20048], 1024, "actimeo=0");
        assert_eq!((kind, source.as_str()), ("nfs", "127.0.0.1:/export"));
        assert_eq!(
            data,
            "addr=127.0.0.1,vers=3,proto=tcp,port=2049,rsize=1024,nolock,mountproto=tcp,mountvers=3,\
             mountaddr=127.0.0.1,mountport=20048,actimeo=0"
        );
    }

    #[test]
    fn version_3_starts_lockd_where_the_last_of_its_options_asks_for_it() {
        let data = |options| arguments(NfsVersion::V3, (ADDRESS, "/"), [2049, 20048], 1024, options).2;
        assert!(!data("actimeo=0,lock").contains("nolock"));
        assert!(data("lock,nolock").contains(",nolock,"));
        assert!(data("local_lock=all").contains(",nolock,"));
        assert!(!data("hard,local_lock=none").contains("nolock"));
        assert!(data("context=\"u:r:t:s0:c1,lock,c2\"").contains(",nolock,"), "within quotes it is none");
    }

    #[test]
    fn version_4_needs_no_mount_program() {
        let (kind, source, data) = arguments(NfsVersion::V4_2, (ADDRESS, "/"), [2049, 0], 1024, "");
        assert_eq!((kind, source.as_str()), ("nfs4", "127.0.0.1:/"));
        assert_eq!(data, "addr=127.0.0.1,vers=4.2,proto=tcp,port=2049,rsize=1024,clientaddr=127.0.0.1");
    }
}
