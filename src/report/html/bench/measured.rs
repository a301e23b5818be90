//! One scenario on one kernel as it was timed: what was pinned, medians with their range, every listing, and the console, folded away.

use crate::report::bench::{format, phrases};
use crate::report::console::Logs;
use crate::report::headline::Status;
use crate::report::html::cards::cells;
use crate::report::html::record::{console, fact, or_unknown, processors};
use crate::result::bench::{BenchFile, BenchRecord, Measured, StateRecord};
use crate::result::bench_metrics::{RPCS, figures as figures_of};
use maud::{Markup, html};

/// Shows a record, folded unless it is all there is.
pub fn section(record: &BenchRecord, file: &BenchFile, logs: &Logs) -> Markup {
    html! {
        details class="run" open[file.results.len() == 1] {
            summary {
                span class="what" {
                    strong { (record.scenario) } " on " code { (record.kernel.spec) } ", " (record.entries) " entries"
                }
            }
            div class="body" {
                (facts(record, file))
                h4 { "Medians" }
                (medians(record))
                (listings(&record.listings))
                (console(&logs.read_console(record.console_log.as_deref())))
            }
        }
    }
}

/// Returns what was pinned, and why it can be believed.
fn facts(record: &BenchRecord, file: &BenchFile) -> Markup {
    let (kernel, setup, machine) = (&record.kernel, &record.setup, &file.machine);
    let patches = if kernel.patches.is_empty() { "none".to_owned() } else { kernel.patches.join(", ") };
    let (release, image) = (or_unknown(&kernel.release), or_unknown(&kernel.image_sha256));
    let guest = &setup.guest;
    html! {
        dl {
            (fact("Kernel", &format!("{release}, image {image}")))
            (fact("Patches", &patches))
            (fact("Listed", &format!("{}, rsize {} bytes", phrases::listed(record), setup.mount.rsize_bytes)))
            (fact("Guest", &format!("{} MiB, {}, {}", guest.memory_mib, processors(guest.cpus.into()), file.accelerator)))
            (fact("Machine", &format!(
                "{}, {}, {} MiB, Linux {}, {}", or_unknown(&machine.processor), processors(machine.processors),
                machine.memory_mib, or_unknown(&machine.host_release), or_unknown(&machine.qemu)
            )))
            (fact("Seed", &record.seed.to_string()))
            dt { "Done and seen" }
            dd { p { (phrases::effort(record)) } @for line in phrases::memory(record) { p { (line) } } }
        }
    }
}

/// Returns a row for each figure, and a column for each state.
fn medians(record: &BenchRecord) -> Markup {
    let head: Vec<&str> =
        std::iter::once("of a listing").chain(record.states.iter().map(|state| state.state.as_str())).collect();
    let row = |(name, called, format): format::Row| {
        let cell = |state: &StateRecord| {
            let median = format(format::median(state, name));
            match format::range(record, state, name).map(|(least, most)| (format(least), format(most))) {
                Some((least, most)) if least != most => format!("{median} ({least} to {most})"),
                _ => median,
            }
        };
        let cells = std::iter::once(part(called)).chain(record.states.iter().map(cell));
        (None::<Status>, cells.collect::<Vec<_>>())
    };
    html! {
        (cells(&head, format::rows(record).map(row)))
        p class="note" { "In brackets are the least and the most of the listings, where they differ." }
    }
}

/// Marks what is a part of the row above it, as no column shows that it is set in.
fn part(called: &str) -> String {
    match called.trim_start() {
        whole if whole == called => whole.to_owned(),
        part => format!("· {part}"),
    }
}

fn listings(listings: &[Measured]) -> Markup {
    let rows = ["names_per_second", RPCS, "READDIR", "READDIRPLUS", "GETATTR"];
    let shown = |measured: &Measured, (name, _, format): &format::Row| {
        format(figures_of(measured).get(*name).copied().unwrap_or(0.0))
    };
    let all: Vec<format::Row> = format::ROWS
        .into_iter()
        .filter(|(name, ..)| name.ends_with("seconds") && !name.contains("getdents") || rows.contains(name))
        .collect();
    html! {
        @if !listings.is_empty() {
            details {
                summary { "Rounds: " (listings.len()) " listings" }
                div class="wide" { table class="numbers" {
                    thead { tr { th { "listing" } th { "cache" } @for (_, called, _) in &all { th { (called.trim()) } } } }
                    tbody { @for (i, measured) in listings.iter().enumerate() { tr {
                        td { (i + 1) }
                        td { (measured.listing.state.as_str()) }
                        @for row in &all { td { (shown(measured, row)) } }
                    } } }
                } }
            }
        }
    }
}
