//! The kernel's own NFS server, set up by the distribution's own nfs-utils: the system that users run.

mod guest;
mod packages;
mod tracking;

pub use guest::{Knfsd, MOUNT_PORT, NFS_PORT, Starting, start};
pub use packages::{NfsUtils, packages};
