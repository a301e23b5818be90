//! The positive controls: known amounts of kernel memory of every kind, held on purpose, that the probe must see.

use super::page_owner;
use super::slab::Slabs;
use crate::error::{Context, Error, Result};
use crate::sample::{CounterKind, PAGE_BYTES, Sample};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use nix::unistd::{pipe2, write};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsRawFd, OwnedFd};

/// The cache of open files: each is one object of it, on every kernel.
pub const CACHE: &str = "filp";

/// What the function is called that allocates the pages of pipes, at the end of its name.
pub const PIPE_WRITE: &str = "pipe_write";
/// What is in the name of the function that allocates what an eventfd is.
pub const EVENTFD: &str = "eventfd";

/// How the names of the size classes begin, however a kernel divides them.
const KMALLOC: &str = "kmalloc-";
/// Pages that are looked for at their call site.
pub const OWNED_PAGES: i64 = 64;

const EVENTFDS: i64 = 512;
/// The records of this many slots are the largest that still lie in a slab on every kernel.
const PIPE_PAGES: usize = 128;
const PIPES: usize = 4;
const FILTERS: usize = 64;

/// What is held, and what it shows at once.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ControlAllocs {
    /// Open files of all kinds.
    pub files: i64,
    /// Those of them that are eventfds, each with an object that `do_eventfd` allocates.
    pub eventfds: i64,
    /// The size classes that grew with them, one of which has those objects.
    pub eventfd_caches: Vec<String>,
    /// Pages of pipe buffers, which belong to no slab, no process and no page cache.
    pub pages: i64,
    /// Those of them that were looked for and found at their call site; `None` if the kernel does not keep it.
    pub pages_owned: Option<i64>,
    /// Socket filters, each with a vmalloc area and one or two per-CPU allocations; `None` if the kernel has none.
    pub filters: Option<i64>,
}

impl ControlAllocs {
    /// Returns how much is held of a kind, `None` if nothing is: one line for each kind.
    pub fn held(&self, kind: CounterKind) -> Option<i64> {
        match kind {
            CounterKind::Slab => Some(self.files),
            CounterKind::Pages => Some(self.pages),
            CounterKind::Vmalloc | CounterKind::Percpu => self.filters,
            // The guest says something on its console instead.
            CounterKind::Unmount => None,
        }
    }
}

/// Open files that exist only for what the kernel keeps for them; dropping it closes them.
pub struct HeldFiles {
    _eventfds: Vec<EventFd>,
    _pipes: Vec<(OwnedFd, OwnedFd)>,
    _sockets: Vec<OwnedFd>,
}

impl HeldFiles {
    /// Opens eventfds, which need no file system, fills pipes, and attaches filters to sockets.
    pub fn new(slabs: &Slabs) -> Result<(Self, ControlAllocs)> {
        let limit = || "cannot open more files as a control".into();
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).machine(limit)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).machine(limit)?;
        let before = slabs.read()?;
        let eventfds: nix::Result<Vec<_>> = (0..EVENTFDS).map(|_| EventFd::from_flags(EfdFlags::EFD_CLOEXEC)).collect();
        let eventfds = eventfds.machine(|| format!("cannot hold {EVENTFDS} eventfds as a control"))?;
        let eventfd_caches = grown_classes(&before, &slabs.read()?);
        let pipes: Vec<_> = (0..PIPES).map(|_| full_pipe()).collect::<Result<_>>()?;
        let sockets = filtered_sockets()?;
        let held = ControlAllocs {
            files: (eventfds.len() + 2 * pipes.len() + sockets.len()) as i64,
            eventfds: eventfds.len() as i64,
            eventfd_caches,
            pages: (pipes.len() * PIPE_PAGES) as i64,
            pages_owned: page_owner::search(slabs.files(), PIPE_WRITE, OWNED_PAGES),
            filters: (!sockets.is_empty()).then_some(sockets.len() as i64),
        };
        Ok((Self { _eventfds: eventfds, _pipes: pipes, _sockets: sockets }, held))
    }
}

/// Returns the size classes that grew by about as much as there are eventfds.
fn grown_classes(before: &Sample, after: &Sample) -> Vec<String> {
    let held_before = |name: &String| before.objects.get(name).copied().unwrap_or(0);
    let grown = after.objects.iter().filter(|(name, n)| **n - held_before(name) >= EVENTFDS / 2);
    grown.map(|(name, _)| name).filter(|name| name.starts_with(KMALLOC)).cloned().collect()
}

/// Makes a pipe with a page in every slot.
fn full_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let what = || format!("cannot fill a pipe with {PIPE_PAGES} pages as a control");
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).machine(what)?;
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ((PIPE_PAGES * PAGE_BYTES) as i32)).machine(what)?;
    let page = [0; PAGE_BYTES];
    for _ in 0..PIPE_PAGES {
        if write(&writer, &page).machine(what)? != PAGE_BYTES {
            return Err(Error::machine(what()));
        }
    }
    Ok((reader, writer))
}

/// Makes sockets with a filter each; none if the kernel has no filters.
fn filtered_sockets() -> Result<Vec<OwnedFd>> {
    let what = || format!("cannot hold {FILTERS} socket filters as a control");
    let mut sockets = Vec::new();
    for _ in 0..FILTERS {
        let fd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).machine(what)?;
        match attach_filter(&fd) {
            Err(Errno::ENOPROTOOPT) => return Ok(Vec::new()),
            attached => attached.machine(what)?,
        }
        sockets.push(fd);
    }
    Ok(sockets)
}

/// Attaches a filter of its own: the kernel makes a program of its own of each filter, even of the same one
/// (`__get_filter` in net/core/filter.c).
fn attach_filter(socket: &OwnedFd) -> nix::Result<()> {
    let mut accept_all = libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: u32::MAX };
    let program = libc::sock_fprog { len: 1, filter: &mut accept_all };
    // SAFETY: the kernel reads one sock_fprog and the one instruction that it points at, and keeps neither.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the instructions of the filter that a socket has.
    fn instructions(socket: &OwnedFd) -> libc::socklen_t {
        let mut length = 0;
        // SAFETY: a length of 0 asks for the number alone, so nothing is written but that.
        let result = unsafe {
            let none = std::ptr::null_mut();
            libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, none, &mut length)
        };
        result.max(0) as libc::socklen_t + length
    }

    #[test]
    fn full_pipe_has_no_room_and_each_socket_has_its_filter() {
        let (_reader, writer) = full_pipe().unwrap();
        assert_eq!(write(&writer, &[0]), Err(Errno::EAGAIN), "there was room for another page");
        let sockets = filtered_sockets().unwrap();
        assert_eq!(sockets.len(), FILTERS);
        assert!(sockets.iter().all(|socket| instructions(socket) == 1));
    }

    #[test]
    fn class_of_eventfds_is_the_one_that_grew() {
        let sample = |counts: [i64; 3]| {
            let names = ["filp", "kmalloc-64", "kmalloc-rnd-05-64"].map(str::to_owned);
            Sample { objects: names.into_iter().zip(counts).collect() }
        };
        let before = sample([100, 900, 50]);
        assert_eq!(grown_classes(&before, &sample([612, 1420, 60])), ["kmalloc-64"]);
        assert_eq!(grown_classes(&before, &sample([612, 910, 562])), ["kmalloc-rnd-05-64"]);
        assert!(grown_classes(&before, &before).is_empty());
    }
}
