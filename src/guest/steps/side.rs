//! Where a unit is made, and how its passes ended.

use crate::workload::listing::entry::{Counts, ListError};

/// How a pass went, as far as the kernel is concerned.
pub type Listed = std::result::Result<Counts, ListError>;

/// Where a unit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// On the NFS mount.
    Nfs,
    /// In the local directory of control rounds.
    Local,
}

impl Side {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Nfs => "nfs:",
            Self::Local => "local:",
        }
    }
}
