//! What directories hold, as a formula that making, serving and checking share: nothing of it is stored.

pub(crate) mod name_spec;
pub mod names;
pub(crate) mod spec;
pub mod tree;
