//! One run on the page: its sentence, what was done, who allocated what, the rounds, the time, and the console, folded away.

use super::stack;
use crate::report::console::{Console, Logs};
use crate::report::headline::{Status, verdict_status};
use crate::report::{allocation_sites, other_evidence, text};
use crate::result::finding::Finding;
use crate::result::parts::{Round, RoundKind};
use crate::result::record::RunRecord;
use crate::result::sentence;
use crate::text::number;
use crate::text::plural::counted;
use maud::{Markup, html};

/// Counters that the table of rounds has; the result file has them all.
const COUNTERS: usize = 3;

/// Shows a run, folded unless there is something to see.
pub fn section(record: &RunRecord, logs: &Logs) -> Markup {
    let tone = verdict_status(record.verdict);
    html! {
        details class="run" open[tone != Status::Pass] {
            summary {
                (super::badge::badge(tone, record.verdict.as_str()))
                span class="what" { strong { (record.scenario) } " on " code { (record.kernel.spec) } }
            }
            div class="body" {
                p { (sentence::render(record)) }
                (facts(record))
                (findings(record))
                @if !record.console_lines.is_empty() {
                    h4 { "What the kernel said" }
                    pre { (record.console_lines.join("\n")) }
                }
                (rounds(record))
                (timings(record))
                (console(&logs.read_console(record.console_log.as_deref())))
            }
        }
    }
}

/// Returns what was pinned and done, and why it can be believed.
fn facts(record: &RunRecord) -> Markup {
    let kernel = &record.kernel;
    let source = kernel.source_version.as_ref().map(|version| format!(", source {version}")).unwrap_or_default();
    let patches = if kernel.patches.is_empty() { "none".to_owned() } else { kernel.patches.join(", ") };
    let lines = text::work(record) + &text::trust(record) + &other_evidence::render(record);
    html! {
        dl {
            (fact("Kernel", &format!("{}{source}, image {}", or_unknown(&kernel.release), or_unknown(&kernel.image_sha256))))
            (fact("Patches", &patches))
            @if let Some(s) = &record.setup {
                @let options = if s.mount_options.is_empty() { String::new() } else { format!(", {}", s.mount_options) };
                (fact("Server and mount", &format!("{}, NFS {}{options}, rsize {} bytes", s.server, s.nfs_version, s.rsize_bytes)))
                (fact("Guest", &format!(
                    "{} MiB, {}, {}, getdents buffer of {} bytes{}", s.memory_mib, processors(s.cpus), record.accelerator,
                    s.getdents_buffer_bytes, if s.stock { ", without slub_debug and page_owner" } else { "" }
                )))
            }
            (fact("Seed", &record.seed.to_string()))
            @if !lines.is_empty() {
                dt { "Done and seen" }
                dd { @for line in lines.lines() { p { (line.trim()) } } }
            }
        }
    }
}

pub(super) fn processors(number: u64) -> String {
    counted(number as usize, "processor", "processors")
}

pub(super) fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

pub(super) fn fact(name: &str, value: &str) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

fn findings(record: &RunRecord) -> Markup {
    let with_sites = record.findings.iter().filter(|finding| !finding.call_sites.is_empty());
    html! {
        @for finding in with_sites {
            h4 { "Who allocated it: " (sentence::amount(finding, &record.unit)) }
            p class="note" { (also(record, finding)) }
            (stack::tree(&finding.call_sites))
        }
        @if !record.allocation_sites.is_empty() {
            h4 { "By line of source" }
            p class="note" {
                "What the kernel itself counts by the line that allocates, per unit (" (allocation_sites::source(record)) ")."
            }
            div class="wide" {
                table class="numbers" {
                    thead { tr { th { "bytes" } th { "allocations" } th { "line" } } }
                    tbody {
                        @for site in &record.allocation_sites {
                            tr {
                                td { (number::bytes(site.bytes_per_listing)) }
                                td { (number::rate(site.calls_per_listing)) }
                                td { code { (allocation_sites::place(site)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the other rates of a finding.
fn also(record: &RunRecord, finding: &Finding) -> String {
    let mut parts = vec![format!("{} per unit", number::bytes(finding.bytes_per_listing))];
    let rates = [("READDIR call", finding.objects_per_rpc), ("entry", finding.objects_per_entry)];
    let rates = rates.iter().filter_map(|(of, rate)| Some((of, (*rate)?.estimate)));
    parts.extend(rates.map(|(of, rate)| format!("{} objects per {of}", number::rate(rate))));
    parts.push(format!("{} objects in the whole run", finding.net_objects));
    if record.unmounted() {
        parts.push(if finding.survives_unmount { "survives unmount".into() } else { "freed only by unmount".into() });
    }
    parts.join("; ") + "."
}

fn rounds(record: &RunRecord) -> Markup {
    if record.rounds.is_empty() {
        return html! {};
    }
    let counters = counters(record);
    html! {
        details {
            summary { "Rounds: " (record.rounds.len()) " readings" }
            div class="wide" {
                table class="numbers" {
                    thead { tr { th { "round" } th { "units" } th { "seconds" } @for name in &counters { th { (name) } } } }
                    tbody {
                        @for (i, round) in record.rounds.iter().enumerate() {
                            tr {
                                td { (kind(round.kind)) }
                                td { (round.dose) }
                                td { (format!("{:.1}", round.seconds)) }
                                @for name in &counters { td { (reading(&record.rounds, i, name)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the counters that leak, then those that may grow most, as far as they moved.
fn counters(record: &RunRecord) -> Vec<&str> {
    let bounds = record.bounds.iter().flat_map(|bounds| bounds.highest.iter().map(|bound| bound.name.as_str()));
    let mut names: Vec<&str> = Vec::new();
    for name in record.findings.iter().map(|finding| finding.name.as_str()).chain(bounds) {
        let moves = record.rounds.iter().any(|round| round.samples.contains_key(name));
        if moves && !names.contains(&name) && names.len() < COUNTERS {
            names.push(name);
        }
    }
    names
}

/// Returns the objects, and how many more than in the reading before.
fn reading(rounds: &[Round], index: usize, name: &str) -> String {
    let read = |round: &Round| round.samples.get(name).copied().unwrap_or(0);
    let now = read(&rounds[index]);
    match index.checked_sub(1).map(|before| now.saturating_sub(read(&rounds[before]))) {
        None | Some(0) => now.to_string(),
        Some(grown) => format!("{now} ({grown:+})"),
    }
}

fn kind(kind: RoundKind) -> &'static str {
    match kind {
        RoundKind::Warmup => "warm up",
        RoundKind::Dose => "dose",
        RoundKind::Control => "control",
        RoundKind::Held => "held on purpose",
        RoundKind::Proof => "proof",
        RoundKind::Cgroup => "cgroup removed",
        RoundKind::Unmount => "unmounted",
        RoundKind::Watched => "watched",
    }
}

/// Shows a bar for each phase; phases of the guest are parts of the one in which it boots.
fn timings(record: &RunRecord) -> Markup {
    if record.timings.is_empty() {
        return html! {};
    }
    let longest = record.timings.iter().map(|timing| timing.seconds).fold(record.seconds, f64::max).max(1e-9);
    html! {
        details {
            summary { "Time: " (number::seconds(record.seconds)) " from start to verdict" }
            table class="numbers bars" {
                tbody {
                    @for timing in &record.timings {
                        tr {
                            td { (timing.phase) }
                            td { (format!("{:.2} s", timing.seconds)) }
                            td { span class="bar" {
                                span style=(format!("width:{:.1}%", (timing.seconds / longest * 100.0).clamp(0.0, 100.0))) {}
                            } }
                        }
                    }
                }
            }
        }
    }
}

pub(super) fn console(console: &Console) -> Markup {
    html! {
        @match console {
            Console::Missing(why) => p class="note" { (why) },
            Console::Text { text, left_out } => details class="console" {
                summary { "Console of the guest: " (text.lines().count()) " lines" }
                @if *left_out > 0 { p class="note" { "The first " (number::bytes(*left_out as f64)) " are left out." } }
                pre { (text) }
            },
        }
    }
}
