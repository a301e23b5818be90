//! What every page has around it.

use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");
/// Should anything ever come through as markup, a browser still runs and fetches nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The parts of a page.
pub struct Parts<'a> {
    /// What a browser calls it.
    pub title: &'a str,
    /// What it is about, above the heading.
    pub about: &'a str,
    pub heading: Markup,
    pub main: Markup,
    pub footer: Markup,
}

/// Returns the page.
pub fn document(parts: &Parts) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "dirleak: " (parts.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header { p class="note" { (parts.about) } h1 { (parts.heading) } }
                main { (parts.main) }
                footer { (parts.footer) }
            }
        }
    };
    // What a terminal takes for colours means nothing here.
    page.into_string().chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}
