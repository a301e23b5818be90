//! What a verdict looks like: as a file, as text on a terminal.

mod beside;
pub mod bisection;
pub mod branches;
#[cfg(test)]
pub(crate) mod example;
mod finding;
pub mod json;
pub mod mail;
pub(crate) mod number;
mod parts;
pub mod record;
pub mod sentence;
pub mod table;
pub mod text;
