//! Samples in, verdict out: pure functions, no I/O.
//!
//! A leak of listing is growth that follows the dose. Rounds of different doses come in random order, each with a
//! control round of the same length after it, and growth is booked over both (a *block*), so that what is freed late
//! is still freed within the block. [`fit`] draws a line through growth against dose, [`judge`] compares its bounds
//! with the smallest rate that counts.

pub mod doses;
pub mod fit;
pub mod follow;
pub mod judge;
pub mod net;

use std::collections::BTreeMap;

/// Growth of every counter over some time, in objects.
pub type Growth = BTreeMap<String, i64>;

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

/// What grew from one reading to a later one. A counter missing from one of them was 0 there.
pub fn growth(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> Growth {
    let names = before.keys().chain(after.keys());
    let grown = |name: &String| after.get(name).unwrap_or(&0) - before.get(name).unwrap_or(&0);
    names.map(|name| (name.clone(), grown(name))).collect()
}
