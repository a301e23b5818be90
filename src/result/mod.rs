//! Every JSON file that is written, field by field, as users' scripts read it: runs, verify, bisect, bench, coverage, forecast, cluster
//! and doctor. Nothing here measures, draws or boots.

pub mod bench;
pub mod bench_metrics;
pub mod bisection;
pub mod branch;
pub mod cluster;
pub mod coverage;
pub mod doctor;
#[cfg(test)]
pub mod example;
pub mod explore;
pub mod file;
pub mod finding;
pub mod forecast;
pub mod parts;
pub mod proof;
pub mod read;
pub mod record;
pub mod schema;
pub mod sentence;
pub mod shard;
pub mod sweep;
