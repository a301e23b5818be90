//! Results of a bench as people read them.

#[cfg(test)]
pub(crate) mod example;
pub mod format;
pub mod phrases;
pub mod plot;
pub mod text;
