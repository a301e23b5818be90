//! Making each thread of knfsd work once, so that what a thread keeps for ever is there before anything is counted.
//!
//! A thread that replies for the first time takes 8 pages for what it copies into packets (skb_page_frag_refill in
//! net/core/sock.c). One thread does all of the work until a request comes while it is busy, which on a machine with other jobs
//! is at any time.

use crate::guest::onc_rpc::{call, read_record};
use crate::scenario::NfsVersion;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// The NFS program (RFC 1813, RFC 7530).
const PROGRAM: u32 = 100_003;
/// Its procedure that does nothing.
const NULL: u32 = 0;
/// For a reply.
const PATIENCE: Duration = Duration::from_secs(2);
/// The least that goes before all other programs.
const PRIORITY: libc::c_int = 1;
/// The first call of each connection has it taken in, so that the second needs no more than a thread.
const CALLS: u32 = 2;

/// Calls the procedure that does nothing (NULL) on as many connections at once as knfsd has `threads`. None of them runs between
/// the calls on the processor that makes them, so that each call wakes another. A server that does not answer is left as it
/// is: this serves quiet, not correctness.
pub fn warm(version: NfsVersion, port: u16, threads: u32) {
    let major = if version.is_4() { 4 } else { 3 };
    let _ = call_at_once(major, port, threads);
}

fn call_at_once(version: u32, port: u16, threads: u32) -> io::Result<()> {
    let mut connections = (0..threads).map(|_| connect(port)).collect::<io::Result<Vec<_>>>()?;
    for _ in 0..CALLS {
        before_all_others(|| {
            connections.iter_mut().try_for_each(|stream| stream.write_all(&call(PROGRAM, version, NULL, &[])))
        })?;
        connections.iter_mut().try_for_each(|stream| read_record(stream).map(drop))?;
    }
    Ok(())
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Does it before every program that is no real-time one.
fn before_all_others(work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    set_policy(libc::SCHED_FIFO, PRIORITY)?;
    let done = work();
    set_policy(libc::SCHED_OTHER, 0)?;
    done
}

/// Sets the policy of this thread alone.
fn set_policy(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the parameters live as long as the call.
    match unsafe { libc::sched_setscheduler(0, policy, &parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
