//! Strings for people: sanitised, wrapped, aligned, rounded, quoted. Nothing here opens a file or starts a program.

pub(crate) mod json_schema;
pub mod layout;
pub(crate) mod number;
pub mod plural;
pub mod quote;
pub(crate) mod sanitize;
pub mod truncate;
