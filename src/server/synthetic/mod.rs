//! An NFSv3 server in userspace whose directories are a formula: any number of entries costs nothing, the kernel
//! needs no nfsd, every listing can be made cold without dropping caches, and it fails on purpose.
//!
//! It speaks the MOUNT and NFS programs of RFC 1813 on one TCP port, over the types of the nfs3_types crate; threads
//! instead of an async runtime keep it small enough to live in process 1 of a guest.

mod answer;
mod export;
mod fault;
mod fault_check;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod handle;
mod listing;
mod mount;
mod overlay;
mod procedure;
mod procedures;
mod rpc;
mod schedule;
mod server;
mod xdr;

pub use export::Export;
pub use fault::{Fault, FaultAction, FaultScope, FaultTrigger, Garbage, Moment, Nfs3Error, OldVerifiers};
pub use files::fileid_of_entry;
pub use procedure::Procedure;
pub use schedule::FaultCount;
pub use server::Server;
