//! A bench as tests: that it was measured, and that nothing that was compared is slower than it may be.

use super::test::{Suite, Test, TestStatus};
use crate::report::bench::{format, phrases, text};
use crate::result::bench::{BenchFile, BenchRecord, BenchVerdict, Comparison, StateComparison};
use crate::result::bench_metrics::{SECONDS, is_state_slower_by};

/// Returns a suite for each kernel, and one for each that was compared.
pub fn suites(file: &BenchFile) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    let tests = file.results.iter().map(|record| (format!("times of {}", record.kernel.spec), measured(record)));
    let compared = file.comparisons.iter().flat_map(|comparison| {
        let name = format!("times of {} against {}", comparison.other, comparison.base);
        comparison.states.iter().map(move |state| (name.clone(), not_slower(comparison, state, file.fail_if_slower)))
    });
    for (name, test) in tests.chain(compared) {
        match suites.iter_mut().find(|suite| suite.name == name) {
            Some(suite) => suite.tests.push(test),
            None => suites.push(Suite { name, tests: vec![test] }),
        }
    }
    suites
}

fn measured(record: &BenchRecord) -> Test {
    Test {
        name: format!("{}, {} entries", record.scenario, record.entries),
        ended: TestStatus::Passed,
        sentence: format!("{}.", phrases::took(record)),
        details: text::render_record(record),
        seconds: record.wall_seconds,
    }
}

/// Tests whether it is not slower, by what `--fail-if-slower` said, or by the margin within which times are called the
/// same.
fn not_slower(comparison: &Comparison, state: &StateComparison, percent: Option<f64>) -> Test {
    let percent = percent.unwrap_or(comparison.margin * 100.0);
    let Comparison { scenario, base, other, .. } = comparison;
    let ended = match is_state_slower_by(state, percent) {
        BenchVerdict::Slower => TestStatus::Failed,
        BenchVerdict::Undecided => TestStatus::Error,
        BenchVerdict::Same | BenchVerdict::Faster => TestStatus::Passed,
    };
    let cache = state.state.as_str();
    let ratio =
        state.ratios.get(SECONDS).map_or("not measured".into(), |r| format!("{} times as long", format::ratio(r)));
    Test {
        name: format!("{scenario}, {cache}: not slower by more than {percent} %"),
        ended,
        sentence: format!("A {cache} listing of {scenario} takes {ratio} on {other} as on {base}."),
        details: text::render_comparison(comparison),
        seconds: 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::example;

    fn ends(file: &BenchFile) -> Vec<TestStatus> {
        suites(file).iter().flat_map(|suite| suite.tests.iter().map(|test| test.ended)).collect()
    }

    #[test]
    fn kernel_that_is_slower_fails_and_one_that_may_be_does_not() {
        let mut file = example::compared(&[BenchVerdict::Slower]);
        assert_eq!(ends(&file), [&[TestStatus::Passed][..], &[TestStatus::Failed; 4]].concat(), "the margin is 5 %");
        file.fail_if_slower = Some(20.0);
        assert_eq!(ends(&file), [TestStatus::Passed; 5], "the ratio is 1.1");
        file.fail_if_slower = Some(10.0);
        assert_eq!(
            ends(&file),
            [&[TestStatus::Passed][..], &[TestStatus::Error; 4]].concat(),
            "the interval reaches over it"
        );
    }

    #[test]
    fn bench_of_one_kernel_is_measured_or_is_not_there() {
        let file = BenchFile { comparisons: Vec::new(), ..example::file() };
        let suites = suites(&file);
        let [suite] = suites.as_slice() else { panic!() };
        assert_eq!((suite.name.as_str(), suite.tests.len()), ("times of 6.1+slow-readdir", 1));
        assert_eq!(suite.tests[0].name, "huge-flat, 100000 entries");
    }
}
