//! What a verdict looks like: as a file, as text on a terminal, as a page, as tests of a CI job, as Markdown.

mod beside;
pub mod bisection;
pub mod branches;
pub mod ci;
pub mod cluster;
pub mod console;
#[cfg(test)]
pub(crate) mod example;
mod finding;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod headline;
pub mod html;
pub mod json;
pub mod mail;
pub mod markdown;
pub mod merge;
mod parts;
pub mod proof;
pub mod record;
pub mod reproduce;
pub mod schema;
pub mod sentence;
mod shards;
pub mod table;
pub mod text;
