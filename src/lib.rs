//! dirleak reproduces, proves and bisects kernel memory leaks in NFS directory listing.
//!
//! It is a program. What is a library of it are the files that it writes: [`result`] has their types, field by field, as users' scripts
//! read them, and [`result::read`] reads what was written by this version or an older one. The NFS server that fails on purpose, which
//! its guests run, is a crate of its own, [`nfs_fault_server`].
//!
//! ```
//! use dirleak::result::record::{RunRecord, Verdict};
//!
//! let leaks = |record: &RunRecord| record.verdict == Verdict::Leak;
//! # let _ = leaks;
//! ```

pub use nfs_fault_server;

#[warn(missing_docs)]
pub mod result;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod internals;

mod agent;
mod apt;
mod bench;
mod bisect;
mod boot;
mod cli;
mod coverage;
mod doctor;
mod error;
mod explore;
mod fleet;
mod guest;
mod host;
mod kernel;
mod os;
mod probe;
mod protocol;
mod report;
mod run;
mod sample;
mod scenario;
mod score;
mod stats;
mod text;
mod verdict;
mod vm;
mod workload;
