//! What a verdict looks like: as a file, as text on a terminal, as a page, as tests of a CI job, as Markdown.

pub mod allocation_sites;
pub mod bench;
pub mod bisection;
pub mod branches;
pub mod cluster;
pub mod console;
pub mod coverage;
mod explore;
pub mod forecast;
pub mod formats;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod headline;
pub mod html;
pub mod mail;
pub mod markdown;
pub mod merge;
mod other_evidence;
pub mod reproduce;
mod shards;
mod sweep;
pub mod table;
pub mod test_results;
pub mod text;
