//! Results as lists of tests, which CI jobs show: what each record counts as, and the formats.

pub(crate) mod bench;
pub mod junit;
pub mod ktap;
pub mod suites;
pub mod test;

pub use suites::suites;
pub use test::{Suite, Test, TestStatus};
