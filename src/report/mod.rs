//! What a verdict looks like: as a file, as text on a terminal.

pub mod json;
pub mod record;
