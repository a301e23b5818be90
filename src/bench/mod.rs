//! Directory listing measured: guests that time listings, kernels side by side, what of the difference is noise, and how cost grows with
//! the directory.
//!
//! The way of the data: [`eligible`] says whether a scenario can be timed and makes it so; [`guest`] boots it and asks for listings, which
//! [`session`] interleaves; [`summary`] makes medians of them, and [`compare`] ratios with bounds and a word. [`scaling`] draws lines through
//! several sizes. What is written is in `result/bench.rs`; `report/bench/` says and draws it.

pub mod baseline;
pub mod compare;
pub mod eligible;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod guest;
pub mod machine;
pub mod scaling;
pub mod session;
pub mod summary;
