//! What the documentation has people type: the parser takes it, and in the tour all that is named exists.

use super::arguments::Arguments;
use crate::kernel::source::catalog::{self, Catalog};
use crate::scenario::load;
use clap::{ArgMatches, CommandFactory};
use command_lines::{Typed, commands, documents, root};

#[path = "../../tests/support/command_lines.rs"]
mod command_lines;

/// Options and arguments that name kernels, and scenarios.
const KERNELS: [&str; 4] = ["kernel", "vs", "unpatched", "patched"];
const SCENARIOS: [&str; 2] = ["scenarios", "scenario"];

impl Typed {
    fn parsed(&self) -> ArgMatches {
        let words = std::iter::once("dirleak").chain(self.line.split_whitespace().map(|word| word.trim_matches('\'')));
        let parsed = Arguments::command().try_get_matches_from(words);
        parsed.unwrap_or_else(|e| panic!("{}: dirleak {}: {e}", self.at, self.line))
    }
}

#[test]
fn command_lines_of_the_documentation_are_taken() {
    let all: Vec<Typed> = documents().iter().flat_map(|file| commands(file, "")).collect();
    assert!(all.len() > 40, "{} commands are found", all.len());
    let has = |begin: &str, at: &str| all.iter().any(|typed| typed.line.starts_with(begin) && typed.at.starts_with(at));
    assert!(
        has("host /srv/www", "README.md") && has("verify --json", "README.md"),
        "those of root, and behind another"
    );
    all.iter().for_each(|typed| drop(typed.parsed()));
}

fn named<'a>(matches: &'a ArgMatches, ids: &[&str]) -> Vec<&'a str> {
    let raw = ids.iter().filter_map(|id| matches.try_get_raw(id).ok().flatten());
    raw.flatten().map(|word| word.to_str().unwrap()).collect()
}

/// Where the tour's history of 2019 has something to boot (examples/history_2019).
const PLACES: [&str; 3] = ["first", "leaks", "main"];

/// Returns whether it is a series with leaks of it, or a place in the history that the reader makes.
fn exists(spec: &str) -> bool {
    if let Some(rev) = spec.strip_prefix("../linux@") {
        return PLACES.contains(&rev);
    }
    let mut parts = spec.split('+');
    let series = parts.next().unwrap_or_default();
    Catalog::load().unwrap().series(series).is_some() && parts.all(|patch| catalog::patch(series, patch).is_ok())
}

#[test]
fn tour_has_ten_commands_and_all_that_they_name_exists() {
    let tour = commands(&root().join("docs/tour.md"), "$ ");
    let lines: Vec<&str> = tour.iter().map(|typed| typed.line.as_str()).collect();
    assert_eq!(lines.len(), 10, "{lines:#?}");
    for typed in &tour {
        let matches = typed.parsed();
        let (_, of) = matches.subcommand().unwrap();
        for spec in named(of, &KERNELS).into_iter().filter(|spec| !spec.starts_with('/')) {
            assert!(exists(spec), "{}: there is no kernel {spec}", typed.at);
        }
        for scenario in named(of, &SCENARIOS) {
            assert!(load(scenario).is_ok(), "{}: there is no scenario {scenario}", typed.at);
        }
    }
}

/// Checks that what a command needs that is not there is written by a command before it.
#[test]
fn tour_reads_no_result_that_it_has_not_written() {
    let mut written = Vec::new();
    for typed in commands(&root().join("docs/tour.md"), "$ ") {
        let matches = typed.parsed();
        let (_, of) = matches.subcommand().unwrap();
        for result in named(of, &["results"]) {
            assert!(written.contains(&result.to_owned()), "{}: {result} is read before it is written", typed.at);
        }
        written.extend(named(of, &["json"]).into_iter().map(str::to_owned));
    }
}
