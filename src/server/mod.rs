//! The NFS servers that run in the guest.

pub mod knfsd;
