//! Fuzzing of what reads and shows result files.

use super::console::Logs;
use super::merge::{Source, merge};
use super::record::ResultFile;
use super::{ci, html, json, mail, markdown, text};

/// The text of a result file: what was read is written again as it was.
pub fn result(data: &[u8]) {
    let Ok(file) = json::parse("result.json", data) else { return };
    let written = serde_json::to_vec(&file).expect("a result file is JSON");
    let again = json::parse("result.json", &written).expect("it was written so");
    assert_eq!((again.results.len(), again.command_line), (file.results.len(), file.command_line));
}

/// The text of a result file, shown in all ways.
pub fn report(data: &[u8]) {
    let Ok(file) = json::parse("result.json", data) else { return };
    let shown = text::of(&file) + &text::timings(&file.results);
    assert!(!shown.contains('\u{1b}'), "what was read sends orders to the terminal");
    if let Some(bisection) = &file.bisection {
        mail::of(bisection);
    }
    let source = |name: &str, file: ResultFile| Source { name: name.to_owned(), file };
    let mut other = file.clone();
    other.dirleak.push('+');
    let merged = merge(vec![source("a.json", file), source("b.json", other)]);
    let suites = ci::suites(&merged);
    ci::junit::of(&suites).expect("any text can be in JUnit XML");
    ci::ktap::of(&suites);
    markdown::of(&merged);
    let page = html::page(&merged, &Logs::default());
    assert!(page.ends_with("</html>") || page.trim_end().ends_with("</html>"));
}
