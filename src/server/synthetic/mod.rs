//! An NFSv3 server in userspace whose only directory is a formula: any number of entries costs nothing, the kernel
//! needs no nfsd, and every listing can be made cold without dropping caches.
//!
//! It speaks the MOUNT and NFS programs of RFC 1813 on one TCP port, over the types of the nfs3_types crate; threads
//! instead of an async runtime keep it small enough to live in process 1 of a guest.

mod directory;
mod procedures;
mod rpc;

pub use directory::Directory;

use crate::error::{Context, Result};
use crate::scenario::Nfs3Error;
use std::io::BufReader;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

/// A running server. Its threads live as long as the process.
pub struct Server {
    directory: Arc<Directory>,
    port: u16,
}

impl Server {
    /// Serves `directory` on a free port, under every address that the guest has, which are those of its loopback interface.
    pub fn start(directory: Directory) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))
            .machine(|| "cannot listen on the loopback interface".into())?;
        let port = listener.local_addr().machine(|| "cannot tell the server's port".into())?.port();
        let directory = Arc::new(directory);
        let served = directory.clone();
        std::thread::Builder::new()
            .name("nfs-accept".into())
            .spawn(move || accept(&listener, &served))
            .machine(|| "cannot start the server's thread".into())?;
        Ok(Self { directory, port })
    }

    /// The TCP port of both programs.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next READDIR or READDIRPLUS is answered with this error.
    pub fn fail_next(&self, error: Nfs3Error) {
        self.directory.fail_next(error);
    }

    /// The next READDIR or READDIRPLUS is the first reply that shows a newer change time.
    pub fn touch_in_reply(&self) {
        self.directory.touch_in_reply();
    }

    /// Removes the entry with this cookie.
    pub fn remove(&self, cookie: u64) {
        self.directory.remove(cookie);
    }

    /// Makes the removed entry again.
    pub fn restore(&self) {
        self.directory.restore();
    }

    /// The next reply to READDIRPLUS has no file handles.
    pub fn hide_handles(&self) {
        self.directory.hide_handles();
    }

    /// Gives the directory a newer modification time, so that a client that looks again drops what it has cached.
    pub fn touch(&self) {
        self.directory.touch();
    }
}

fn accept(listener: &TcpListener, directory: &Arc<Directory>) {
    while let Ok((stream, _)) = listener.accept() {
        let served = directory.clone();
        // A client that cannot be served sees its connection closed.
        let _ = std::thread::Builder::new().name("nfs-serve".into()).spawn(move || serve(stream, &served));
    }
}

/// Answers calls until the client hangs up or sends something that is no call.
fn serve(stream: TcpStream, directory: &Directory) {
    let _ = stream.set_nodelay(true);
    let Ok(mut replies) = stream.try_clone() else { return };
    let mut calls = BufReader::with_capacity(64 * 1024, stream);
    let mut call = Vec::new();
    let mut reply = Vec::new();
    while rpc::read_record(&mut calls, &mut call).is_ok() {
        reply.clear();
        if rpc::answer(&call, directory, &mut reply).is_err() || rpc::write_record(&mut replies, &mut reply).is_err() {
            return;
        }
    }
}
