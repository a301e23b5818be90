//! The kernel's own NFS server, set up by the distribution's own nfs-utils: the system that users run.

mod packages;

pub use packages::{NfsUtils, packages};
