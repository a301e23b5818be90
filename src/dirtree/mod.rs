//! What directories hold, as a formula that making, serving and checking share: nothing of it is stored.

pub mod name_spec;
pub mod names;
pub mod spec;
pub mod tree;
