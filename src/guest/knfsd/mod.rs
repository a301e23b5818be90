//! The kernel's own NFS server, set up by the distribution's own nfs-utils: the system that users run.

mod client_tracking;
mod start;
mod warm_threads;

pub use start::{start, start_again, start_rpcbind, stop};
