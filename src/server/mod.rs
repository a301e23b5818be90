//! The two NFS servers that a guest can run, both over loopback.

pub mod knfsd;
pub mod synthetic;
