//! Which scenarios beside its own catch a known leak: one that only a single scenario catches is caught by luck.

use super::header::{Header, Kind};
use super::row::Row;
use crate::result::record::{RunRecord, Verdict};
use serde::Serialize;
use std::fmt::Write;

/// A leak patch in a scenario that is not its own, where its rate is not known.
#[derive(Clone, Debug, Serialize)]
pub struct Catch {
    pub patch: String,
    pub scenario: String,
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether it is a leak, with the header's function as a call site.
    pub caught: bool,
    pub seconds: f64,
}

impl Catch {
    /// Notes what a run says of the patch with this header.
    pub fn new(header: &Header, scenario: &str, record: &RunRecord) -> Self {
        let function = match &header.kind {
            Kind::Leak(leak) => leak.function.as_str(),
            Kind::Honest => "",
        };
        let named = record.findings.iter().any(|f| f.call_sites.first().is_some_and(|site| site.function == function));
        Self {
            patch: header.name.clone(),
            scenario: scenario.into(),
            verdict: record.verdict,
            reason: record.reason.clone(),
            caught: record.verdict == Verdict::Leak && named,
            seconds: record.seconds,
        }
    }
}

/// Returns a table of who catches what: a class of leaks that fewer than two scenarios catch is marked.
pub fn markdown(catches: &[Catch], rows: &[Row]) -> String {
    let mut text = String::from("| class | leak patch | caught by | not caught by |\n|---|---|---|---|\n");
    let mut patches: Vec<&Row> = Vec::new();
    for row in rows.iter().filter(|row| row.rate.is_some()) {
        if patches.iter().all(|known| known.patch != row.patch) {
            patches.push(row);
        }
    }
    for row in patches {
        let others = catches.iter().filter(|catch| catch.patch == row.patch).map(|c| (c.scenario.as_str(), c.caught));
        let all: Vec<(&str, bool)> = [(row.scenario.as_str(), row.right)].into_iter().chain(others).collect();
        let names = |wanted: bool| {
            all.iter().filter(|(_, caught)| *caught == wanted).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
        };
        let few = if all.iter().filter(|(_, caught)| *caught).count() < 2 { " *" } else { "" };
        let _ = writeln!(text, "| {} | {} | {}{few} | {} |", row.class, row.patch, names(true), names(false));
    }
    text
}
