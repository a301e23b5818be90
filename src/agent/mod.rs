//! Carries out the requests of a run, in a guest or on this machine: rounds, readings, controls, call sites and traces.

pub mod executor;
pub(crate) mod round;
pub(crate) mod target;
