//! Results as one page that needs nothing but itself: no network, no script; light and dark, on a phone, in print.

pub mod badge;
pub(crate) mod bench;
pub(crate) mod cards;
pub(crate) mod chapter;
pub mod coverage;
pub(crate) mod document;
pub(crate) mod draw;
pub mod page;
pub(crate) mod plot;
pub(crate) mod record;
pub(crate) mod stack;

pub use page::Html;
#[cfg(any(test, fuzzing))]
pub use page::page;
