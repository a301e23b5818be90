//! A table that becomes a list of cards where there is no room for it.

use crate::report::headline::Status;
use maud::{Markup, html};

/// Shows a table whose rows may have a tone.
pub fn cells<Row: AsRef<[String]>>(
    head: &[impl AsRef<str>],
    rows: impl Iterator<Item = (impl Into<Option<Status>>, Row)>,
) -> Markup {
    html! {
        table class="cards" {
            thead { tr { @for cell in head { th { (cell.as_ref()) } } } }
            tbody { @for (tone, row) in rows { (line(head, tone.into(), row.as_ref())) } }
        }
    }
}

fn line(head: &[impl AsRef<str>], tone: Option<Status>, row: &[String]) -> Markup {
    html! {
        tr class=[tone.map(super::badge::class)] {
            @for (name, cell) in head.iter().zip(row) {
                td class=(extent(cell)) data-label=(name.as_ref()) { span { (cell) } }
            }
        }
    }
}

/// Tells how long a cell is: what is short stays on one line, and what says nothing need not be on a card.
fn extent(cell: &str) -> &'static str {
    match cell.chars().count() {
        _ if cell == "-" => "none",
        0..=16 => "short",
        _ => "long",
    }
}
