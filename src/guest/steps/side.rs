//! Where a unit is made, and how its passes ended.

use crate::workload::check::Check;
use crate::workload::listing::entry::{Counts, Dirent, ListError};
use std::ops::ControlFlow;

/// Has a check see every record, and ends a listing that goes round.
pub fn seeing(check: &mut Check) -> impl FnMut(&Dirent) -> ControlFlow<()> + Send {
    |record| {
        check.see(record);
        if check.goes_round() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

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
