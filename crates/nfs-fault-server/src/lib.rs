//! An NFSv3 server in userspace that fails on purpose, on schedule.
//!
//! Directories are a formula: any number of entries costs nothing, the kernel needs no nfsd, and every listing can be made cold
//! without dropping caches. It speaks the MOUNT and NFS programs of RFC 1813 on one TCP port, over the types of the nfs3_types
//! crate; threads instead of an async runtime keep it small enough to live in process 1 of a guest.
//!
//! [`Server`] is an NFSv3 server in userspace (RFC 1813, over TCP and ONC RPC, RFC 5531) for testing clients. What it serves
//! is an [`Export`]: directories of any shape whose entries are computed, not stored, so that a directory with a million of
//! them costs nothing. They can be changed while they are listed, and [faults](Fault) can be armed: errors, delays, replies
//! that are short, empty or undecodable, an end that comes too early or too late, wrong cookies, connections that drop or fall
//! silent. Which call each of them hits is told in advance, and that it did is counted.
//!
//! ```
//! use nfs_fault_server::dirtree::name_spec::Names;
//! use nfs_fault_server::dirtree::spec::{Directory, Shape};
//! use nfs_fault_server::dirtree::tree::Tree;
//! use nfs_fault_server::{Export, Fault, FaultAction, FaultScope, FaultTrigger, Nfs3Error, Procedure, Server};
//!
//! // A million names of 24 bytes in 20 directories; the same seed gives the same names.
//! let names = Names::random(24, 24);
//! let directory = Directory { shape: Shape::Many { directories: 20 }, ..Directory::flat(1_000_000, names) };
//! let server = Server::start(Export::new(Tree::new(&directory, 42), 42))?;
//!
//! // The reply that would hold the 5000th entry of a directory is refused twice, as if it were on tape.
//! let jukebox = Fault {
//!     on: FaultScope::Readdir,
//!     when: FaultTrigger::Entry(5_000),
//!     what: FaultAction::Error(Nfs3Error::Jukebox),
//!     times: Some(2),
//! };
//! server.export().arm(jukebox)?;
//!
//! // Here a client mounts port `server.port()` with the path `/`, and lists.
//!
//! println!("{} calls of READDIRPLUS", server.export().calls(Procedure::Readdirplus));
//! assert_eq!(server.export().fired(&jukebox), 0, "nobody has listed anything");
//!
//! // Another client makes a file; then the server restarts, with the same port and the same file handles.
//! server.export().create(0, b"new")?;
//! server.stop();
//! server.start_again()?;
//! # Ok::<(), nfs_fault_server::Error>(())
//! ```
//!
//! Which procedures there are: [`Procedure`]. Of NFS these are the ones that look at files and list directories; what would
//! write is answered with PROC_UNAVAIL. All files are empty. Every address may mount, and everybody may read.
//!
//! Calls of one connection are answered one after the other. Everything is deterministic given the calls, in the order in
//! which they arrive, except for faults that wait for a moment ([`FaultTrigger::AfterMs`]).
//!
//! What cannot be done is an [`Error`] of one sentence: a port that is taken, an entry that is not there,
//! a fault that cannot happen.

#![warn(missing_docs)]

pub mod dirtree;
mod dispatch;
mod error;
mod export;
mod fault;
mod fault_check;
mod fault_schedule;
mod file_handle;
mod file_table;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod mount3;
mod nfs3;
mod object;
mod overlay;
mod procedure;
mod readdir;
mod rpc;
mod server;
mod xdr;

pub use error::{Error, Result};
pub use export::Export;
pub use fault::{Fault, FaultAction, FaultScope, FaultTrigger, Garbage, Moment, Nfs3Error, OldVerifiers};
pub use fault_schedule::FaultCount;
pub use file_table::fileid_of_entry;
pub use procedure::Procedure;
pub use server::Server;
