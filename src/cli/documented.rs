//! What the documentation has people type: the parser takes it, and in the tour all that is named exists.

use super::arguments::Arguments;
use crate::kernel::source::catalog::{self, Catalog};
use crate::scenario::load;
use clap::{ArgMatches, CommandFactory};
use std::path::{Path, PathBuf};

/// Options and arguments that name kernels, and scenarios.
const KERNELS: [&str; 4] = ["kernel", "vs", "unpatched", "patched"];
const SCENARIOS: [&str; 2] = ["scenarios", "scenario"];

/// A command line, and where it stands.
struct Typed {
    at: String,
    line: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the lines of code blocks that begin with the program's name, after a prompt if `prompt`. Continued lines are
/// joined, what is a remark or goes to another program is left out, and so are lines in which something is left to the
/// reader.
fn commands(file: &Path, prompt: &str) -> Vec<Typed> {
    let text = std::fs::read_to_string(file).unwrap().replace("\\\n", " ");
    let is_ours =
        |line: &str| line.strip_prefix("    ")?.strip_prefix(prompt)?.strip_prefix("dirleak ").map(str::to_owned);
    let lines = text.lines().enumerate().filter_map(|(i, line)| Some((i + 1, is_ours(line)?)));
    let open = |line: &str| ["…", "...", "RESULT", "SPEC"].iter().any(|mark| line.contains(mark));
    lines
        .map(|(i, line)| (i, line.split(['#', ';', '|', '>', '&']).next().unwrap_or_default().trim().to_owned()))
        .filter(|(_, line)| !open(line))
        .map(|(i, line)| Typed { at: format!("{}:{i}", file.strip_prefix(root()).unwrap().display()), line })
        .collect()
}

impl Typed {
    fn parsed(&self) -> ArgMatches {
        let words = std::iter::once("dirleak").chain(self.line.split_whitespace().map(|word| word.trim_matches('\'')));
        let parsed = Arguments::command().try_get_matches_from(words);
        parsed.unwrap_or_else(|e| panic!("{}: dirleak {}: {e}", self.at, self.line))
    }
}

fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain([root().join("README.md")]).collect()
}

#[test]
fn command_lines_of_the_documentation_are_taken() {
    let all: Vec<Typed> = documents().iter().flat_map(|file| commands(file, "")).collect();
    assert!(all.len() > 40, "{} commands are found", all.len());
    all.iter().for_each(|typed| drop(typed.parsed()));
}

fn named<'a>(matches: &'a ArgMatches, ids: &[&str]) -> Vec<&'a str> {
    let raw = ids.iter().filter_map(|id| matches.try_get_raw(id).ok().flatten());
    raw.flatten().map(|word| word.to_str().unwrap()).collect()
}

/// Returns whether it is a series with leaks of it; a tree is made by the reader.
fn exists(spec: &str) -> bool {
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
