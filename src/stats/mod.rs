//! Estimates with bounds: pure mathematics, each function with the source of its formula.

pub mod bootstrap;
pub mod estimate;
pub mod kendall;
pub mod net_growth;
pub mod theil_sen;
