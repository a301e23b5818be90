//! The formats of reports, one of the command line's options each. A new one is a file here and its row in the table.

pub mod csv;
pub mod format;
pub mod junit;
pub mod ktap;

use crate::report::html::Html;
use crate::report::markdown::Markdown;
use format::Format;

/// All formats, in the order in which `--help` has their options.
pub static FORMATS: &[&dyn Format] = &[&Html, &junit::Junit, &ktap::Ktap, &Markdown, &csv::Csv];
