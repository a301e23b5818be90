//! JUnit XML, as GitHub, GitLab and Jenkins read it.

use super::format::Format;
use crate::error::{Error, Result};
use crate::report::console::Logs;
use crate::report::merge;
use crate::report::test_results::{self, Suite, Test, TestStatus};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use std::time::Duration;

/// The format of `--junit`.
#[derive(Debug)]
pub struct Junit;

impl Format for Junit {
    fn option(&self) -> &'static str {
        "junit"
    }

    fn help(&self) -> &'static str {
        "Write JUnit XML to this file"
    }

    fn render(&self, report: &merge::Report, _: &Logs) -> Result<Vec<u8>> {
        render(&test_results::suites(report)).map(String::into_bytes)
    }
}

/// Returns all suites as one file.
pub fn render(suites: &[Suite]) -> Result<String> {
    let mut report = Report::new("dirleak");
    report.add_test_suites(suites.iter().map(suite));
    report.to_string().map_err(|e| Error::machine(format!("a bug of dirleak: the result is no JUnit XML: {e}")))
}

fn suite(of: &Suite) -> TestSuite {
    let mut suite = TestSuite::new(of.name.as_str());
    suite.set_time(duration(of.tests.iter().map(|test| test.seconds).sum()));
    suite.add_test_cases(of.tests.iter().map(|test| case(test, &of.name)));
    suite
}

fn case(test: &Test, suite: &str) -> TestCase {
    let mut status = match test.ended {
        TestStatus::Passed => TestCaseStatus::success(),
        TestStatus::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        TestStatus::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        TestStatus::Skipped => TestCaseStatus::skipped(),
    };
    status.set_message(test.sentence.as_str());
    if matches!(test.ended, TestStatus::Failed | TestStatus::Error) {
        status.set_description(test.details.as_str());
    }
    let mut case = TestCase::new(test.name.as_str(), status);
    case.set_classname(format!("dirleak.{suite}"));
    case.set_time(duration(test.seconds));
    case.set_system_out(test.details.as_str());
    case
}

/// Returns a duration, of which no file makes more than a century.
fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, 3e9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_results::suites::suites;
    use crate::report::test_results::suites::tests::{hostile, merged, runs};
    use crate::result::example;
    use crate::result::record::Verdict;

    #[test]
    fn file_says_what_failed_and_why() {
        let file = runs(&[Verdict::Leak, Verdict::Crash, Verdict::Unsupported]);
        let text = render(&suites(&merged(vec![file, example::verify()]))).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((report.tests, report.failures, report.errors), (6, 1, 1), "{text}");
        let names: Vec<_> = report.test_suites.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["6.1+spare-pages", "6.1", "6.1+spare-pages against 6.1"]);
        assert!(text.contains("message=\"6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing"), "{text}");
        assert!(text.contains("__kmalloc_track_caller"), "the stack is missing: {text}");
        assert!(text.contains("<skipped"), "{text}");
    }

    #[test]
    fn words_of_a_guest_stay_text() {
        let text = render(&suites(&merged(vec![hostile()]))).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        assert_eq!((report.tests, report.failures), (1, 1));
        assert!(!text.contains("<script>alert(1)</script> ]]>"), "{text}");
        assert!(!text.contains(['\u{0}', '\u{1b}']), "{text}");
    }
}
