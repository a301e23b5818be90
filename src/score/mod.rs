//! How often the checker is right: every known leak and every honest growth, judged by it and by others.

pub mod bound;
pub(crate) mod by_patch;
pub mod catches;
pub mod clean;
pub mod explored;
pub mod header;
pub mod other_tools;
pub mod report;
pub mod row;
pub mod table;

pub use row::{Row, patches};
