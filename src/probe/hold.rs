//! The positive control: a known number of kernel objects, held on purpose, that the probe must see.

use crate::error::{Error, Result};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Objects that are held.
pub const HELD: u64 = 512;
/// The cache they are in: every open file is one object of it, on every kernel.
pub const CACHE: &str = "filp";

/// Open files that exist only to be counted; dropping it closes them.
pub struct Hold {
    _files: Vec<EventFd>,
}

impl Hold {
    /// Opens `HELD` files: eventfds, which need no file system.
    pub fn new() -> Result<Self> {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(|e| fail(&e))?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(|e| fail(&e))?;
        let files: nix::Result<Vec<_>> = (0..HELD).map(|_| EventFd::from_flags(EfdFlags::EFD_CLOEXEC)).collect();
        Ok(Self { _files: files.map_err(|e| fail(&e))? })
    }
}

fn fail(error: &nix::Error) -> Error {
    Error::machine(format!("cannot hold {HELD} files open as a control: {error}"))
}
