//! A scenario: a TOML file that says what to do to an NFS mount, and what makes such a file valid.

pub mod check;
pub(crate) mod cluster;
pub mod fail_nth;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub(crate) mod load;
pub(crate) mod memory;
pub mod mount_options;
pub(crate) mod nfs_version;
pub(crate) mod overrides;
pub(crate) mod pass;
pub mod program;
#[cfg(test)]
mod schema;
pub(crate) mod step;
pub mod types;
pub(crate) mod unit;
pub(crate) mod write;

pub use cluster::Cluster;
pub use load::{is_scenario, load, names, select};
pub use nfs_version::NfsVersion;
pub use overrides::Overrides;
pub use pass::{DirSelector, Errno, Position, ReadCall};
pub use step::Step;
pub use types::{FileSystem, Rounds, Scenario, ServerKind};
pub use unit::Unit;
