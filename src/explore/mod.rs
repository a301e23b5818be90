//! Random workloads: many small scenarios are drawn by lot, tried one after the other in guests that they share, and what looks suspicious is
//! judged as any scenario is, and made as small as it still shows it.

pub(crate) mod corpus;
pub(crate) mod draw;
pub(crate) mod finds;
pub(crate) mod group;
pub(crate) mod guest;
pub mod known;
pub(crate) mod lot;
pub(crate) mod mutate;
pub mod search;
pub(crate) mod shrink;
pub(crate) mod symptom;
pub(crate) mod trial;
