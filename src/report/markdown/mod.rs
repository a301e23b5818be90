//! Results as Markdown, for a mail or a merge request: readable as it is, and rendered as tables.

pub(crate) mod bench;
pub mod document;
pub mod escape;

pub use document::Markdown;
#[cfg(test)]
pub use document::render;
