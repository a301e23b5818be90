//! How long random workloads take to find known leaks, and whether they accuse honest growth.

use super::by_patch::{by_patch, share};
use crate::stats::estimate::median;
use crate::text::number;
use serde::Serialize;
use std::fmt::Write;

/// One exploration of a kernel with a patch.
#[derive(Clone, Debug, Serialize)]
pub struct ExploredRow {
    pub patch: String,
    pub seed: u64,
    /// Whether the patch leaks; else nothing is to be found.
    pub is_leak: bool,
    /// How long it was sought at most.
    pub limit_seconds: f64,
    /// Until a candidate was suspected of what the header says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspected_seconds: Option<f64>,
    /// Until that was judged, made smaller and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_seconds: Option<f64>,
    /// Candidates that were tried.
    pub candidates: u64,
    /// What the kernel was accused of that nobody put into it, and that the kernel without the patch does not show.
    pub accused: Vec<String>,
    /// The same time spent on the library.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub library: Option<ByLibrary>,
}

/// What came of scenarios of the library, in an order by lot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ByLibrary {
    pub scenarios: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found_by: Option<String>,
}

impl ExploredRow {
    /// Returns whether there is nothing to complain of: a leak is found, and nothing else is accused.
    pub fn right(&self) -> bool {
        self.accused.is_empty() && (!self.is_leak || self.found_seconds.is_some())
    }
}

/// Returns a table of all patches, one line each, and what was wrongly accused.
pub fn markdown(rows: &[ExploredRow]) -> String {
    let limit = rows.iter().map(|row| row.limit_seconds).fold(0.0, f64::max);
    let mut text = format!(
        "Each leak was sought for {limit:.0} s at most. `found` is when it was judged, made smaller and written, with all that lies before it; where it was not \
         found the limit stands for it in the median. The library is tried for the same time in an order by lot, without the scenarios that were written for that leak.\n\n\
         | patch | found | s, median | suspected after | candidates | by the library | s, median |\n|---|---|---|---|---|---|---|\n"
    );
    by_patch(rows, |row| &row.patch).iter().for_each(|runs| text += &line(runs));
    for row in rows {
        row.accused.iter().for_each(|accused| {
            let _ = writeln!(text, "\n{} with seed {} was accused wrongly: {accused}", row.patch, row.seed);
        });
    }
    text
}

fn line(runs: &[&ExploredRow]) -> String {
    let row = runs[0];
    let candidates = median(runs.iter().map(|row| row.candidates as f64)).unwrap_or_default();
    if !row.is_leak {
        let not_accused = share(runs, |row| row.accused.is_empty());
        return format!("| {} (honest) | not accused {not_accused} | - | - | {candidates:.0} | - | - |\n", row.patch);
    }
    let found = share(runs, |row| row.found_seconds.is_some());
    let suspected: Vec<f64> = runs.iter().filter_map(|row| row.suspected_seconds).collect();
    let libraries: Vec<&ByLibrary> = runs.iter().filter_map(|row| row.library.as_ref()).collect();
    let by_library = share(&libraries, |library| library.found_seconds.is_some());
    let seconds = |all: &mut dyn Iterator<Item = f64>| median(all).map_or("-".into(), number::rate);
    format!(
        "| {} | {found} | {} | {} | {candidates:.0} | {} | {} |\n",
        row.patch,
        seconds(&mut runs.iter().map(|row| row.found_seconds.unwrap_or(row.limit_seconds))),
        seconds(&mut suspected.into_iter()),
        if libraries.is_empty() { "not run".into() } else { by_library },
        seconds(&mut libraries.iter().map(|library| library.found_seconds.unwrap_or(row.limit_seconds))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(patch: &str, found_seconds: Option<f64>) -> ExploredRow {
        ExploredRow {
            patch: patch.into(),
            seed: 1,
            is_leak: !patch.starts_with("honest"),
            limit_seconds: 300.0,
            suspected_seconds: found_seconds.map(|seconds| seconds / 2.0),
            found_seconds,
            candidates: 40,
            accused: Vec::new(),
            library: None,
        }
    }

    #[test]
    fn leak_that_is_not_found_is_not_right_and_counts_with_the_limit() {
        let library = ByLibrary { scenarios: 9, found_seconds: None, found_by: None };
        let rows =
            [row("a", Some(40.0)), row("a", None), ExploredRow { library: Some(library), ..row("a", Some(60.0)) }];
        assert!(rows[0].right() && !rows[1].right());
        assert!(
            markdown(&rows).contains("| a | 2 of 3* | 60.0 | 25.0 | 40 | 0 of 1* | 300.0 |\n"),
            "{}",
            markdown(&rows)
        );
    }

    #[test]
    fn honest_growth_is_right_unless_something_is_accused() {
        let honest = row("honest-x", None);
        let accused = ExploredRow { accused: vec!["kmalloc-64 leaks".into()], ..honest.clone() };
        assert!(honest.right() && !accused.right());
        let text = markdown(&[honest, accused]);
        assert!(text.contains("| honest-x (honest) | not accused 1 of 2* |"), "{text}");
        assert!(text.contains("\nhonest-x with seed 1 was accused wrongly: kmalloc-64 leaks\n"), "{text}");
    }
}
