//! The two NFS servers that a guest can run, both over loopback: the kernel's own ([`knfsd`]), and one of ours that fails
//! on purpose.
//!
//! # A server that fails on purpose
//!
//! [`Server`] is an NFSv3 server in userspace (RFC 1813, over TCP and ONC RPC, RFC 5531) for testing clients. What it serves
//! is an [`Export`]: directories of any shape whose entries are computed, not stored, so that a directory with a million of
//! them costs nothing. They can be changed while they are listed, and [faults](Fault) can be armed: errors, delays, replies
//! that are short, empty or undecodable, an end that comes too early or too late, wrong cookies, connections that drop or fall
//! silent. Which call each of them hits is told in advance, and that it did is counted.
//!
//! ```
//! use dirleak::scenario::{Directory, Names, Shape};
//! use dirleak::server::{Export, Fault, Nfs3Error, On, Procedure, Server, What, When};
//! use dirleak::workload::tree::Tree;
//!
//! // A million names of 24 bytes in 20 directories; the same seed gives the same names.
//! let names = Names::random(24, 24);
//! let directory = Directory { shape: Shape::Many { directories: 20 }, ..Directory::flat(1_000_000, names) };
//! let server = Server::start(Export::new(Tree::new(&directory, 42), 42))?;
//!
//! // The reply that would hold the 5000th entry of a directory is refused twice, as if it were on tape.
//! let jukebox = Fault {
//!     on: On::Readdir,
//!     when: When::Entry(5_000),
//!     what: What::Error(Nfs3Error::Jukebox),
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
//! # Ok::<(), dirleak::error::Error>(())
//! ```
//!
//! Which procedures there are: [`Procedure`]. Of NFS these are the ones that look at files and list directories; what would
//! write is answered with PROC_UNAVAIL. All files are empty. Every address may mount, and everybody may read.
//!
//! Calls of one connection are answered one after the other. Everything is deterministic given the calls, in the order in
//! which they arrive, except for faults that wait for a moment ([`When::AfterMs`]).
//!
//! What cannot be done is an [`Error`](crate::error::Error) of one sentence: a port that is taken, an entry that is not there,
//! a fault that cannot happen.

pub mod knfsd;
mod synthetic;

#[cfg(any(test, fuzzing))]
pub use synthetic::fuzz;
pub use synthetic::{
    Export, Fault, FaultAction, FaultCount, FaultScope, FaultTrigger, Garbage, Moment, Nfs3Error, OldVerifiers,
    Procedure, Server, fileid_of_entry,
};
