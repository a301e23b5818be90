//! A dose round and the control round after it.

use crate::sample::Growth;

/// A dose round and the control round after it.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Units made in the dose round.
    pub dose: u64,
    /// Growth over both rounds.
    pub growth: Growth,
    /// Growth over the control round alone.
    pub control: Growth,
}
