//! The kernel's own NFS server, set up by the distribution's own nfs-utils: the system that users run.

mod client_tracking;
mod reply_cache;
mod start;
mod warm_threads;

pub use reply_cache::forget as forget_replies;
pub use start::{start, start_again, start_rpcbind, stop};
