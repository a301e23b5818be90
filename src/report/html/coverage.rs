//! What code of NFS scenarios executed, as a page: by directory, by file with the lines of each function that nothing executed, by scenario.

use super::cards::cells;
use super::document::{Parts, document};
use crate::report::coverage::text::percent;
use crate::report::headline::Status;
use crate::report::reproduce::coverage_command;
use crate::result::coverage::{
    Alone, CoverageFile, FileCoverage, FunctionCoverage, ScenarioCoverage, Share, by_directory, in_all,
};
use crate::text::number;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Runs of lines that are told of a function, and how many more there are.
const MOST_RUNS: usize = 24;

/// Returns the page. Whatever is from the result is text in it.
pub fn page(file: &CoverageFile) -> String {
    let kernel = &file.kernel;
    let directories = by_directory(&file.files);
    let [all, ..] = in_all(&directories);
    let sentence =
        format!("{} ({}): {all} lines of NFS's code executed, {}", kernel.spec, kernel.release, percent(all));
    document(&Parts {
        title: &sentence,
        about: "dirleak: which code of NFS was executed",
        heading: html! { span class="what" { (sentence) } },
        main: html! {
            @for scenario in &file.scenarios {
                @if let Some(why) = &scenario.ended_by { p { (scenario.scenario) " ended early: " (why) } }
            }
            h3 { "By directory" }
            (shares(&directories))
            h3 { "By scenario" }
            (scenarios(&file.scenarios))
            h3 { "By file" }
            p class="note" { "Of each function how many of its lines were executed, how often it was called, and the lines that nothing executed." }
            @for file in file.files.iter().filter(|file| file.lines.reached > 0) { (of_file(file)) }
            (not_reached(&file.files))
            h3 { "To see it again" }
            pre class="command" { (coverage_command(file)) }
        },
        footer: html! {
            p { "Counted by the kernel itself, told by " (file.gcov) " and dirleak " (file.dirleak) "." }
        },
    })
}

/// Returns a bar of a share.
fn bar(share: Share) -> Markup {
    let percent = if share.of == 0 { 0.0 } else { share.reached.min(share.of) as f64 / share.of as f64 * 100.0 };
    html! { span class="bar" { span style=(format!("width:{percent:.1}%")) {} } }
}

fn shares(directories: &BTreeMap<&str, [Share; 3]>) -> Markup {
    html! {
        table class="numbers bars" {
            thead { tr { @for head in ["directory", "lines", "", "functions", "branches", ""] { th { (head) } } } }
            tbody {
                @for (directory, [lines, functions, branches]) in directories {
                    tr {
                        td { (directory) }
                        td { (lines) } td { (percent(*lines)) }
                        td { (functions) } td { (branches) }
                        td { (bar(*lines)) }
                    }
                }
            }
        }
    }
}

fn scenarios(scenarios: &[ScenarioCoverage]) -> Markup {
    let row = |scenario: &ScenarioCoverage| {
        let counts = [scenario.units, scenario.failures, scenario.lines, scenario.functions, scenario.lines_alone()];
        let [units, failures, lines, functions, alone] = counts.map(|count| count.to_string());
        let tone = scenario.ended_by.as_ref().map(|_| Status::Inconclusive);
        let seconds = number::seconds(scenario.seconds);
        (tone, [scenario.scenario.clone(), units, failures, lines, functions, alone, seconds])
    };
    let head = ["scenario", "units", "failed allocations", "lines", "functions", "lines that no other reached", "time"];
    html! {
        (cells(&head, scenarios.iter().map(row)))
        @for scenario in scenarios.iter().filter(|scenario| scenarios.len() > 1 && !scenario.alone.is_empty()) {
            details {
                summary { "What " (scenario.scenario) " alone reached" }
                (cells(&["file", "lines", "functions"], scenario.alone.iter().map(alone)))
            }
        }
    }
}

fn alone(alone: &Alone) -> (Option<Status>, [String; 3]) {
    let functions = if alone.functions.is_empty() { "-".into() } else { alone.functions.join(", ") };
    (None, [alone.file.clone(), alone.lines.to_string(), functions])
}

fn of_file(file: &FileCoverage) -> Markup {
    let row = |function: &FunctionCoverage| {
        let tone = if function.calls == 0 { Status::Inconclusive } else { Status::Pass };
        let [calls, scenarios] = [function.calls, function.scenarios].map(|count| count.to_string());
        (tone, [function.function.clone(), function.lines.to_string(), calls, scenarios, not_executed(file, function)])
    };
    html! {
        details {
            summary { code { (file.file) } " " (file.lines) " lines, " (percent(file.lines)) (bar(file.lines)) }
            (cells(&["function", "lines", "calls", "scenarios", "lines not executed"], file.by_function.iter().map(row)))
        }
    }
}

/// Names the files of which nothing was executed.
fn not_reached(files: &[FileCoverage]) -> Markup {
    let files: Vec<_> = files.iter().filter(|file| file.lines.reached == 0).collect();
    let row = |file: &&FileCoverage| {
        (None::<Status>, [file.file.clone(), file.lines.of.to_string(), file.functions.of.to_string()])
    };
    html! {
        @if !files.is_empty() {
            details {
                summary { "Files of which nothing was executed: " (files.len()) }
                (cells(&["file", "lines", "functions"], files.iter().map(row)))
            }
        }
    }
}

/// Returns the lines of a function that nothing executed, runs of them as "12-15": lines between two of a run have no code.
fn not_executed(file: &FileCoverage, function: &FunctionCoverage) -> String {
    if function.calls == 0 {
        return format!("all: {}-{}", function.line, function.last_line);
    }
    let is_of_it = |line: u32| (function.line..=function.last_line).contains(&line);
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut goes_on = false;
    for (line, count) in file.line_counts.iter().filter(|(line, _)| is_of_it(*line)) {
        match runs.last_mut() {
            Some(last) if *count == 0 && goes_on => last.1 = *line,
            _ if *count == 0 => runs.push((*line, *line)),
            _ => {}
        }
        goes_on = *count == 0;
    }
    let shown = runs.iter().take(MOST_RUNS).map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    match runs.len().saturating_sub(MOST_RUNS) {
        _ if runs.is_empty() => "-".into(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::coverage::tests::example;

    #[test]
    fn page_has_shares_scenarios_functions_and_the_command() {
        let text = page(&example());
        for part in [
            "6.1 (6.1.192): 3 of 4 lines of NFS's code executed, 75 %",
            "<td>fs/nfs</td><td>3 of 4</td><td>75 %</td>",
            "width:75.0%",
            "other ended early: the guest&#39;s kernel died",
            "What other alone reached",
            "all: 9-11",
            "dirleak coverage",
        ] {
            assert!(text.contains(part) || text.contains(&part.replace("&#39;", "'")), "{part}: {text}");
        }
        assert!(!text.contains("What quick alone reached"));
    }

    #[test]
    fn lines_that_nothing_executed_are_told_in_runs() {
        let mut file = example().files.remove(0);
        file.line_counts = vec![(2, 1), (3, 0), (5, 0), (6, 2), (8, 0), (10, 0)];
        file.by_function[0].last_line = 8;
        assert_eq!(not_executed(&file, &file.by_function[0]), "3-5, 8");
        file.line_counts = (2..200).map(|line| (line, u64::from(line % 2 == 0))).collect();
        file.by_function[0].last_line = 199;
        assert!(not_executed(&file, &file.by_function[0]).ends_with("49 and 75 more"));
        file.line_counts.clear();
        assert_eq!(not_executed(&file, &file.by_function[0]), "-");
    }

    #[test]
    fn file_of_which_nothing_was_executed_is_named_alone() {
        let mut file = example();
        assert!(!page(&file).contains("of which nothing was executed"));
        let mut other = file.files[0].clone();
        (other.file, other.lines.reached, other.by_function[0].function) = ("fs/nfs/x.c".into(), 0, "in_x".into());
        file.files.push(other);
        let text = page(&file);
        assert!(text.contains("Files of which nothing was executed: 1") && text.contains("fs/nfs/x.c"), "{text}");
        assert!(!text.contains("in_x"));
    }

    #[test]
    fn names_of_a_kernel_are_text() {
        let mut file = example();
        file.kernel.spec = "<script>x</script>\u{1b}[1m".into();
        file.files[0].by_function[0].function = "<img src=x>".into();
        let text = page(&file);
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains('\u{1b}'), "{text}");
    }
}
