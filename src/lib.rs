//! dirleak reproduces, proves and bisects kernel memory leaks in NFS directory listing.
//!
//! The way of the data: a [`scenario`] and a [`kernel`] are booted by [`vm`]; inside, [`guest`] starts a
//! [`server`], mounts it and lets [`workload`] list directories while [`probe`] reads the kernel's memory;
//! [`run`] asks for the rounds, [`verdict`] judges the samples and [`report`] shows them.

pub mod agent;
pub mod apt;
pub mod bench;
pub mod bisect;
pub mod boot;
pub mod cli;
pub mod dirtree;
pub mod doctor;
pub mod error;
pub mod fleet;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guest;
pub mod host;
pub mod kernel;
pub mod nfs_server;
pub mod os;
pub mod probe;
pub mod protocol;
pub mod report;
pub mod result;
pub mod run;
pub mod sample;
pub mod scenario;
pub mod score;
pub mod stats;
pub mod text;
pub mod verdict;
pub mod vm;
pub mod workload;
