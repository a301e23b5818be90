//! A chapter on the page: the verdict, the picture, the table of what was run on what, the command, and each run.

use super::cards::cells;
use super::draw::{NARROW, WIDE, svg};
use super::plot::{Plot, plots};
use super::record;
use crate::report::console::Logs;
use crate::report::headline::{self, Status, verdict_status};
use crate::report::merge::ReportSection;
use crate::report::{bisection, branches, cluster, reproduce, table};
use crate::result::bisection::BisectionRecord;
use crate::result::cluster::ServerRecord;
use crate::result::record::{RunRecord, Verdict};
use crate::text::number;
use maud::{Markup, PreEscaped, html};

/// Plots of a page; of a set with more scenarios those that are clean have none.
const MOST_PLOTS: usize = 8;

pub fn section(chapter: &ReportSection, logs: &Logs, is_only: bool) -> Markup {
    let file = &chapter.file;
    html! {
        section {
            @if !is_only {
                h2 { (super::badge::verdict(&headline::for_section(chapter))) }
                p class="note" { (chapter.title()) }
            }
            @for cluster in &file.clusters {
                h3 { "Servers of " (cluster.scenario) " on " (cluster.kernel) }
                @if headline::for_section(chapter).sentence != cluster.sentence() { p { (cluster.sentence()) } }
                (cells(&cluster::HEAD, cluster.servers.iter().map(tone_of_server).zip(cluster.cells())))
                p class="note" { "Lost in an hour, and what was forecast; the ratio is what was measured divided by that." }
            }
            (pictures(&pictured(chapter)))
            @if let Some(found) = &file.bisection { (bisected(found)) }
            @if !file.branches.is_empty() {
                h3 { "The fix on each branch" }
                (cells(&branches::HEAD, file.branches.iter().map(|b| (headline::proof_status(b.proof.outcome), branches::cells(b, &file.results)))))
            }
            h3 { "What was run on what" }
            (overview(&file.results))
            h3 { "To see it again" }
            pre class="command" { (reproduce::commands(chapter).join("\n")) }
            h3 { "Each run" }
            @for record in &file.results { (record::section(record, logs)) }
        }
    }
}

fn tone_of_server(server: &ServerRecord) -> Status {
    match server.measured_bytes_per_hour {
        Some(lost) if lost.estimate > 0.0 => Status::Fail,
        Some(_) => Status::Pass,
        None => Status::Inconclusive,
    }
}

/// Returns the records whose rounds are drawn: of a bisection those of its confirmation, which come last; of a large set those
/// that are not clean.
fn pictured(chapter: &ReportSection) -> Vec<Plot> {
    let records = &chapter.file.results;
    if let Some(found) = &chapter.file.bisection {
        let confirmed = records.len().saturating_sub((found.guests_of_confirmation as usize).max(2));
        return plots(&records[confirmed..]);
    }
    // What was listed alone is in the table of the servers, as their forecast.
    let is_alone = |plot: &Plot| chapter.file.clusters.iter().any(|cluster| cluster.lists_alone(&plot.scenario));
    let all: Vec<Plot> = plots(records).into_iter().filter(|plot| !is_alone(plot)).collect();
    if all.len() <= MOST_PLOTS {
        return all;
    }
    let is_clean = |plot: &Plot| records.iter().all(|r| r.scenario != plot.scenario || r.verdict == Verdict::Clean);
    all.into_iter().filter(|plot| !is_clean(plot)).take(MOST_PLOTS).collect()
}

/// What the marks in a picture mean.
const KEY: &str = "Each reading at rest is a point: a dot after a round of listings, a ring after the control round that follows it, a \
                   triangle after a further round that proves a leak, a cross after unmounting. The line is the rate, and the fan \
                   around it holds its bounds.";

fn pictures(plots: &[Plot]) -> Markup {
    html! {
        @for plot in plots {
            figure role="img" aria-label=(plot.alt_text()) {
                h3 { (plot.counter) " objects kept in " (plot.scenario) }
                // Drawn by plotters, which escapes the text in it.
                div class="plot wide-only" { (PreEscaped(svg(plot, WIDE))) }
                div class="plot narrow-only" { (PreEscaped(svg(plot, NARROW))) }
                figcaption {
                    ul class="legend" {
                        @for (i, series) in plot.series.iter().enumerate() {
                            li { span class=(format!("swatch s{i}")) {} code { (series.kernel) } ": " (series.legend(&plot.unit)) }
                        }
                    }
                    @if plot.left_out > 0 { p class="note" { (plot.left_out) " more runs are not drawn." } }
                }
            }
        }
        @if !plots.is_empty() { p class="note" { (KEY) } }
    }
}

fn overview(records: &[RunRecord]) -> Markup {
    let head = ["scenario", "kernel", "verdict", "objects per unit", "bytes per unit", "counter", "time"];
    let row = |record: &RunRecord| {
        let cells = table::Cells::from_record(record);
        let (scenario, spec) = (record.scenario.clone(), record.kernel.spec.clone());
        let site = if cells.site.is_empty() { "-".to_owned() } else { cells.site };
        let row = [scenario, spec, cells.verdict.to_owned(), cells.objects, cells.bytes, site, cells.seconds];
        (verdict_status(record.verdict), row)
    };
    cells(&head, records.iter().map(row))
}

fn bisected(found: &BisectionRecord) -> Markup {
    html! {
        dl {
            @if let Some(commit) = &found.commit { dt { "Commit" } dd { code { (commit.id) } " " (commit.subject) } }
            @if !found.before.is_empty() { dt { "Before" } dd { (found.before) } dt { "With it" } dd { (found.after) } }
            dt { "Guests" }
            dd {
                (found.guests) ", " (found.guests_of_confirmation) " of them for the confirmation, in " (number::seconds(found.seconds))
                "; at most " (bisection::percent(found.error_of_path)) " that a verdict on the way is wrong, and "
                (bisection::percent(found.error_of_result)) " that both on this commit or its parent are"
            }
        }
        @if !found.message.is_empty() { details { summary { "Message of the commit" } pre { (found.message) } } }
        h3 { "The way there" }
        (cells(&["commit", "subject", "verdict", "what was seen", "time"], found.steps.iter().map(|step| {
            let tone = match step.state.as_str() { "leak" => Status::Fail, "clean" => Status::Pass, _ => Status::Inconclusive };
            let id = crate::text::truncate::short(&step.commit.id).to_owned();
            let what = if step.what.is_empty() { "-".to_owned() } else { step.what.clone() };
            (tone, [id, step.commit.subject.clone(), step.state.clone(), what, number::seconds(step.seconds)])
        })))
        details { summary { "git bisect log" } pre { (found.log) } }
    }
}
