//! Directory listing measured: guests that time listings, kernels side by side, what of the difference is noise, and how cost grows with
//! the directory.
//!
//! The way of the data: [`fit`] says whether a scenario can be timed and makes it so; [`guest`] boots it and asks for listings, which
//! [`course`] interleaves; [`summary`] makes medians of them, [`statistics`] and [`compare`] ratios with bounds and a word. [`growth`] draws
//! lines through several sizes. [`record`] is what is written; [`figures`] and [`words`] say it, as [`text`] and in reports, and [`plot`] draws it.

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
