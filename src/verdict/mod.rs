//! Samples in, verdict out: pure functions, no I/O.
//!
//! A leak of listing is growth that follows the dose. Rounds of different doses come in random order, each with a
//! control round of the same length after it, and growth is booked over both (a *block*), so that what is freed late
//! is still freed within the block. [`crate::stats::theil_sen`] draws a line through growth against dose, [`judge`] compares its bounds
//! with the smallest rate that counts.

pub mod block;
pub mod dose_order;
pub mod judge;
