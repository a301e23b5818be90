//! The two NFS servers that a guest can run, both over loopback.

pub mod knfsd;
mod synthetic;

pub use synthetic::*;
