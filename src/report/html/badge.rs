//! Verdicts as the page shows them.

use crate::report::headline::{Headline, Status};
use maud::{Markup, html};

pub(crate) fn verdict(headline: &Headline) -> Markup {
    html! {
        (badge(headline.tone, ""))
        span class="what" { (headline.sentence) }
    }
}

/// Returns a sign and a word, so that the colour is not all there is.
pub(crate) fn badge(tone: Status, word: &str) -> Markup {
    let sign = match tone {
        Status::Pass => "✓",
        Status::Inconclusive => "?",
        Status::Fail => "✗",
    };
    html! { span class=(format!("badge {}", class(tone))) { (sign) @if !word.is_empty() { " " (word) } } }
}

pub(crate) fn class(tone: Status) -> &'static str {
    match tone {
        Status::Pass => "good",
        Status::Inconclusive => "open",
        Status::Fail => "bad",
    }
}
