//! KTAP version 1 (Documentation/dev-tools/ktap.rst), as the kernel's own tests and `kunit.py parse` have it.

use super::format::Format;
use crate::error::Result;
use crate::report::console::Logs;
use crate::report::merge::Report;
use crate::report::test_results::{self, Suite, Test, TestStatus};

/// The format of `--ktap`.
#[derive(Debug)]
pub struct Ktap;

impl Format for Ktap {
    fn option(&self) -> &'static str {
        "ktap"
    }

    fn help(&self) -> &'static str {
        "Write KTAP, the format of the kernel's own tests, to this file"
    }

    fn render(&self, report: &Report, _: &Logs) -> Result<Vec<u8>> {
        Ok(render(&test_results::suites(report)).into_bytes())
    }
}

/// Renders suites with their tests inside.
pub fn render(suites: &[Suite]) -> String {
    let mut text = format!("KTAP version 1\n1..{}\n", suites.len());
    for (i, suite) in suites.iter().enumerate() {
        text += &format!("  KTAP version 1\n  # Subtest: {}\n  1..{}\n", name(&suite.name), suite.tests.len());
        for (j, test) in suite.tests.iter().enumerate() {
            text += &lines(j + 1, test);
        }
        let good = suite.count(TestStatus::Failed) + suite.count(TestStatus::Error) == 0;
        let ended = match good {
            true if suite.count(TestStatus::Passed) == 0 => TestStatus::Skipped,
            true => TestStatus::Passed,
            false => TestStatus::Failed,
        };
        text += &result(i + 1, &suite.name, ended);
    }
    text
}

/// Returns a test and what there is to know of it; a diagnostic line belongs to the result after it.
fn lines(number: usize, test: &Test) -> String {
    let mut text = format!("  # {}\n", line(&test.sentence));
    if test.ended != TestStatus::Passed {
        text += &test.details.lines().skip(1).map(|l| format!("  #   {}\n", line(l).trim_end())).collect::<String>();
    }
    text + "  " + &result(number, &test.name, test.ended)
}

fn result(number: usize, called: &str, ended: TestStatus) -> String {
    let (word, directive) = match ended {
        TestStatus::Passed => ("ok", ""),
        TestStatus::Skipped => ("ok", " # SKIP"),
        TestStatus::Failed | TestStatus::Error => ("not ok", ""),
    };
    format!("{word} {number} {}{directive}\n", name(called))
}

/// Returns one line without control characters.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Returns a name without `#`, as what comes after one would be a directive.
fn name(text: &str) -> String {
    line(text).replace('#', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_results::suites::suites;
    use crate::report::test_results::suites::tests::{hostile, merged, runs};
    use crate::result::record::Verdict;

    #[test]
    fn plans_results_and_diagnostics_are_those_of_the_format() {
        let mut file = runs(&[Verdict::Unsupported, Verdict::Clean]);
        file.results.iter_mut().for_each(|record| record.controls.held = 0);
        let sentence = "6.1 is clean in scenario-1: none of 93 counters grows by 0.50 or more per listing (highest bound 0.13, dentry); what leaks in fewer than 1 of 18 listings is not excluded.";
        let expected = format!(
            "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: 6.1\n  1..2\n  # scenario-0 on 6.1 is unsupported: made up.\n  \
             #     63 x listing of 150 entries, 63 cold; RPCs: 0 READDIR, 126 READDIRPLUS\n  ok 1 scenario-0 # SKIP\n  \
             # {sentence}\n  ok 2 scenario-1\nok 1 6.1\n"
        );
        assert_eq!(render(&suites(&merged(vec![file]))), expected);
    }

    #[test]
    fn words_of_a_guest_are_no_result() {
        let text = render(&suites(&merged(vec![hostile()])));
        assert!(!text.contains("SKIP\n") && !text.contains('\u{1b}') && !text.contains('\r'), "{text}");
        let results = text.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
        assert_eq!(results, 0, "{text}");
        assert!(text.ends_with("\nnot ok 1 6.1\n"), "{text}");
    }
}
