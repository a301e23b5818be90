//! The life of a server: its port, its threads, its connections, and how all of them end.

use super::dispatch::{Delivery, dispatch};
use super::export::Export;
use super::rpc;
use crate::error::{Context, Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long to wait when no connection can be taken, for instance because there are no file descriptors left.
const BREATH: Duration = Duration::from_millis(10);

/// A server of an [`Export`], which speaks NFS version 3 and MOUNT version 3 on one TCP port. It ends when it is dropped:
/// no thread and no socket of it is left then.
pub struct Server {
    export: Arc<Export>,
    address: SocketAddrV4,
    running: Mutex<Option<Running>>,
}

struct Running {
    end: Arc<End>,
    thread: JoinHandle<()>,
}

/// Tells all threads of a running server that it ends.
struct End {
    is_near: Mutex<bool>,
    came: Condvar,
    /// Can be read as soon as the end is near, so that it wakes who waits for connections.
    bell: EventFd,
}

impl Server {
    /// Serves `export` on a free port of all IPv4 addresses of the machine, which in a guest are those of its loopback
    /// interface.
    pub fn start(export: Export) -> Result<Self> {
        Self::start_at(export, SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))
    }

    /// Serves `export` at an address; port 0 is a free one. Fails if the port is taken.
    pub fn start_at(export: Export, address: SocketAddrV4) -> Result<Self> {
        let export = Arc::new(export);
        let (running, address) = run(&export, address)?;
        Ok(Self { export, address, running: Mutex::new(Some(running)) })
    }

    /// Returns the TCP port of both programs. It stays the same when the server is stopped and started again.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns what is served: change it, arm faults, count calls.
    pub fn export(&self) -> &Export {
        &self.export
    }

    /// Closes the port and all connections, without answering what is still to be answered. Does nothing if the server is
    /// stopped already.
    pub fn stop(&self) {
        let running = lock(&self.running).take();
        if let Some(Running { end, thread }) = running {
            end.announce();
            // It panics for no reason that we know of; then there is nothing left to wait for.
            let _ = thread.join();
        }
    }

    /// Serves again what was served before, at the same port: the same files with the same handles and cookies. Does nothing
    /// if the server runs.
    pub fn start_again(&self) -> Result<()> {
        let mut running = lock(&self.running);
        if running.is_none() {
            *running = Some(run(&self.export, self.address)?.0);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(export: &Arc<Export>, address: SocketAddrV4) -> Result<(Running, SocketAddrV4)> {
    let cannot = || format!("cannot listen on {address}");
    let listener = TcpListener::bind(address).context(cannot)?;
    // Who waits for connections must also hear of the end.
    listener.set_nonblocking(true).context(cannot)?;
    let SocketAddr::V4(address) = listener.local_addr().context(cannot)? else {
        return Err(Error::System(format!("{}: the address is not one of IPv4", cannot())));
    };
    let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).context(cannot)?;
    let end = Arc::new(End { is_near: Mutex::new(false), came: Condvar::new(), bell });
    let (export, heard) = (export.clone(), end.clone());
    let thread = thread::Builder::new()
        .name("nfs-accept".into())
        .spawn(move || accept(listener, &export, &heard))
        .context(|| "cannot start the server's thread".into())?;
    Ok((Running { end, thread }, address))
}

impl End {
    fn announce(&self) {
        *lock(&self.is_near) = true;
        self.came.notify_all();
        // A counter of 64 bits that is written once cannot be full.
        let _ = self.bell.write(1);
    }

    /// Waits so long; `true` if the end came meanwhile.
    fn comes_within(&self, time: Duration) -> bool {
        let is_near = lock(&self.is_near);
        let waited = self.came.wait_timeout_while(is_near, time, |is_near| !*is_near);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits for a connection or the end; `true` if it is the end.
    fn comes_before_a_connection(&self, listener: &TcpListener) -> bool {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut waited = [readable(listener.as_fd()), readable(self.bell.as_fd())];
        // Interrupted or not: what counts is whether the end is near.
        let _ = poll(&mut waited, PollTimeout::NONE);
        *lock(&self.is_near)
    }
}

/// The open connections, so that they can be closed from outside.
#[derive(Default)]
struct Connections(Mutex<HashMap<u64, TcpStream>>);

impl Connections {
    fn close(&self, number: u64) {
        if let Some(stream) = lock(&self.0).remove(&number) {
            // It may be closed already, by the client.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn close_all(&self) {
        lock(&self.0).drain().for_each(|(_, stream)| {
            let _ = stream.shutdown(Shutdown::Both);
        });
    }
}

/// Takes connections until the end, and does not return before all of them are closed and their threads gone.
fn accept(listener: TcpListener, export: &Export, end: &End) {
    let connections = Connections::default();
    thread::scope(|scope| {
        for number in 0.. {
            if end.comes_before_a_connection(&listener) {
                break;
            }
            let taken = listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)));
            let Ok((stream, ours)) = taken else {
                end.comes_within(BREATH);
                continue;
            };
            lock(&connections.0).insert(number, ours);
            let connections = &connections;
            let spawned = thread::Builder::new().name("nfs-serve".into()).spawn_scoped(scope, move || {
                serve(&stream, export, end);
                connections.close(number);
            });
            if spawned.is_err() {
                connections.close(number);
            }
        }
        drop(listener);
        connections.close_all();
    });
}

/// Answers calls until the client hangs up, sends something that is no call, or a fault says so.
fn serve(mut stream: &TcpStream, export: &Export, end: &End) {
    let _ = stream.set_nodelay(true);
    let mut calls = BufReader::with_capacity(64 * 1024, stream);
    let (mut call, mut reply) = (Vec::new(), Vec::new());
    while rpc::read_record(&mut calls, &mut call).is_ok() {
        let Some(outcome) = dispatch(&call, export, &mut reply) else { return };
        if !outcome.delay.is_zero() && end.comes_within(outcome.delay) {
            return;
        }
        if stream.write_all(&reply[..outcome.fate.bytes_to_send(reply.len())]).is_err() {
            return;
        }
        match outcome.fate {
            Delivery::Sent | Delivery::Swallowed => {}
            Delivery::Closed | Delivery::Halved => return,
            Delivery::HalfOpen => {
                // What the client sends is taken, so that it notices nothing, until it hangs up or the server ends.
                let _ = std::io::copy(&mut calls, &mut std::io::sink());
                return;
            }
        }
    }
}
