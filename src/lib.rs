//! dirleak reproduces, proves and bisects kernel memory leaks in NFS directory listing.
//!
//! The way of the data: a [`scenario`] and a [`kernel`] are booted by [`vm`]; inside, [`guest`] starts a
//! [`server`], mounts it and lets [`workload`] list directories while [`probe`] reads the kernel's memory;
//! [`run`] asks for the rounds, [`verdict`] judges the samples and [`report`] shows them.

pub mod apt;
pub mod assets;
pub mod bench;
pub mod bisect;
pub mod bug;
pub mod cache;
pub mod child;
pub mod ci;
pub mod cli;
pub mod cluster;
pub mod columns;
pub mod doctor;
pub mod error;
pub mod exit;
pub mod forecast;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod guest;
pub mod host;
pub mod kernel;
mod owned;
mod plain;
pub mod probe;
pub mod report;
pub mod run;
pub mod scenario;
mod schema;
pub mod score;
pub mod scratch;
pub mod search_path;
pub mod server;
pub mod shard;
pub mod stop;
pub mod ui;
pub mod verdict;
pub mod vm;
pub mod worker;
pub mod workload;
