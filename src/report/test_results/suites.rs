//! What each record counts as: tests in suites, whatever the format.

use super::bench;
use super::test::{Suite, Test, TestStatus};
use crate::report::headline::{self, Status};
use crate::report::merge::{Report, ReportSection};
use crate::report::{bisection, text};
use crate::result::branch::BranchRecord;
use crate::result::proof::{Outcome, Proof};
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;

/// Returns the tests of all chapters and benches.
pub fn suites(merged: &Report) -> Vec<Suite> {
    let benches = merged.benches.iter().flat_map(|bench| bench::suites(&bench.file));
    let mut suites: Vec<Suite> = merged.chapters.iter().flat_map(section_suites).chain(benches).collect();
    suites.iter_mut().for_each(Suite::tell_apart);
    suites
}

fn section_suites(chapter: &ReportSection) -> Vec<Suite> {
    let mut suites = present_suites(chapter);
    if let (Some(suite), Some(why)) = (suites.first_mut(), chapter.incomplete()) {
        suite.tests.push(Test {
            name: "all shards are there".into(),
            ended: TestStatus::Error,
            sentence: format!("{why}."),
            details: String::new(),
            seconds: 0.0,
        });
    }
    suites
}

fn present_suites(chapter: &ReportSection) -> Vec<Suite> {
    let file = &chapter.file;
    if let Some(bisection) = &file.bisection {
        return vec![bisection_suite(bisection)];
    }
    if !file.branches.is_empty() {
        let tests = file.branches.iter().map(|branch| branch_test(branch, &file.results)).collect();
        return vec![Suite { name: "a fix on several branches".into(), tests }];
    }
    match &file.proof {
        Some(proof) => vec![proof_suite(proof, &file.results)],
        None => run_suites(&file.results),
    }
}

/// Returns a suite per kernel, with a test per scenario: the kernel is to be clean.
fn run_suites(records: &[RunRecord]) -> Vec<Suite> {
    let mut suites: Vec<Suite> = Vec::new();
    for record in records {
        let name = &record.kernel.spec;
        let test = record_test(record, record.scenario.clone(), is_clean(record.verdict));
        match suites.iter_mut().find(|suite| suite.name == *name) {
            Some(suite) => suite.tests.push(test),
            None => suites.push(Suite { name: name.clone(), tests: vec![test] }),
        }
    }
    suites
}

/// Returns the tests of a proof: one kernel is to leak, the other to be clean, and both together to be a proof.
fn proof_suite(proof: &Proof, records: &[RunRecord]) -> Suite {
    let Proof { unpatched, patched, .. } = proof;
    let mut tests: Vec<Test> =
        records.iter().enumerate().map(|(i, record)| side_test(i % 2 == 0, record, proof)).collect();
    tests.push(Test {
        name: "the leak and its fix are proven".into(),
        ended: test_status(headline::proof_status(proof.outcome)),
        sentence: proof.sentence(),
        details: String::new(),
        seconds: 0.0,
    });
    Suite { name: format!("{unpatched} against {patched}"), tests }
}

fn side_test(is_unpatched: bool, record: &RunRecord, proof: &Proof) -> Test {
    let (scenario, spec) = (&record.scenario, &record.kernel.spec);
    if !is_unpatched {
        return record_test(record, format!("{scenario}: {spec} is clean"), is_clean(record.verdict));
    }
    let ended = match record.verdict {
        Verdict::Leak => TestStatus::Passed,
        // Another scenario of the set has shown the leak.
        _ if proof.one_is_enough && proof.outcome == Outcome::Proven => TestStatus::Skipped,
        Verdict::Clean => TestStatus::Failed,
        verdict => is_clean(verdict),
    };
    record_test(record, format!("{scenario}: {spec} leaks"), ended)
}

fn record_test(record: &RunRecord, name: String, ended: TestStatus) -> Test {
    Test { name, ended, sentence: sentence::render(record), details: text::details(record), seconds: record.seconds }
}

/// Returns what a verdict is for who wants a clean kernel.
fn is_clean(verdict: Verdict) -> TestStatus {
    match verdict {
        Verdict::Clean => TestStatus::Passed,
        Verdict::Leak | Verdict::Broken => TestStatus::Failed,
        Verdict::Undecided | Verdict::Crash => TestStatus::Error,
        Verdict::Unsupported => TestStatus::Skipped,
    }
}

/// Returns how something ended that is a proof, or a confirmation, or none.
fn test_status(tone: Status) -> TestStatus {
    match tone {
        Status::Pass => TestStatus::Passed,
        Status::Fail => TestStatus::Failed,
        Status::Inconclusive => TestStatus::Error,
    }
}

fn branch_test(branch: &BranchRecord, records: &[RunRecord]) -> Test {
    let proof = &branch.proof;
    let is_of_proof = |r: &&RunRecord| [&proof.unpatched, &proof.patched].contains(&&r.kernel.spec);
    Test {
        name: format!("the fix is proven on {}", branch.branch),
        ended: test_status(headline::proof_status(proof.outcome)),
        sentence: proof.sentence(),
        details: records.iter().filter(is_of_proof).map(text::details).collect(),
        seconds: records.iter().filter(is_of_proof).map(|record| record.seconds).sum(),
    }
}

fn bisection_suite(record: &crate::result::bisection::BisectionRecord) -> Suite {
    let verb = if record.find_fix { "fixed" } else { "brought" };
    let test = Test {
        name: format!("the commit that {verb} the leak in {} is found and confirmed", record.scenario),
        ended: test_status(headline::bisection_status(record)),
        sentence: crate::result::bisection::sentence(record),
        details: bisection::text(record),
        seconds: record.seconds,
    };
    Suite { name: format!("bisection of {}", record.tree), tests: vec![test] }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::bisect::history::Terms;
    use crate::report::formats::{junit, ktap};
    use crate::report::merge::{InputFile, merge};
    use crate::result::example;
    use crate::result::file::ResultFile;
    use crate::result::parts::{Round, RoundKind};
    use crate::stats::estimate::Estimate;
    use std::collections::BTreeMap;

    /// What hostile text a guest could put into a record.
    pub const HOSTILE: &str = "<script>alert(1)</script> ]]> & \" ' # SKIP \u{1b}[31m \u{0} | `x` \r\nok 1 all is well";

    pub fn merged(files: Vec<ResultFile>) -> Report {
        let named = |(i, file)| InputFile { name: format!("{i}.json"), file };
        merge(files.into_iter().enumerate().map(named).collect(), Vec::new())
    }

    pub fn runs(verdicts: &[Verdict]) -> ResultFile {
        let record = |(i, verdict): (usize, &Verdict)| RunRecord {
            verdict: *verdict,
            reason: "made up".into(),
            scenario: format!("scenario-{i}"),
            ..if *verdict == Verdict::Leak { example::leak() } else { example::clean() }
        };
        let results = verdicts.iter().enumerate().map(record).collect();
        ResultFile { results, proof: None, ..example::verify() }
    }

    /// Makes a run whose guest said what it should not.
    pub fn hostile() -> ResultFile {
        let mut file = runs(&[Verdict::Broken]);
        let record = &mut file.results[0];
        record.reason = HOSTILE.into();
        record.scenario = HOSTILE.into();
        record.kernel.release = HOSTILE.into();
        record.console_lines = vec![HOSTILE.into()];
        record.findings = example::leak().findings;
        record.findings[0].name = HOSTILE.into();
        record.findings[0].call_sites[0].function = HOSTILE.into();
        record.findings[0].call_sites[0].stack = vec![HOSTILE.into()];
        file
    }

    /// Makes a file whose numbers are as large as they can be.
    pub fn extreme() -> ResultFile {
        let mut record = example::every_field();
        let (least, most) = (i64::MIN, i64::MAX);
        let rate = Estimate { estimate: 1e308, low: -1e308, high: 1e308 };
        let read = |objects| BTreeMap::from([("kmalloc-256".to_owned(), objects)]);
        let round = |kind, objects| Round { dose: u64::MAX, samples: read(objects), kind, seconds: 1e308 };
        record.rounds =
            vec![round(RoundKind::Warmup, least), round(RoundKind::Dose, most), round(RoundKind::Proof, least)];
        (record.seconds, record.settled_seconds) = (1e308, -1e308);
        (record.listings, record.entries) = (u64::MAX, u64::MAX);
        record.controls.sources[0].left = least;
        let finding = &mut record.findings[0];
        (finding.objects_per_listing, finding.bytes_per_listing, finding.net_objects) = (rate, 1e308, least);
        finding.call_sites[0].share = -1e308;
        record.timings[0].seconds = 1e308;
        ResultFile { results: vec![record.clone(), record], proof: None, ..example::verify() }
    }

    #[test]
    fn numbers_of_any_size_are_reported() {
        let merged = merged(vec![extreme()]);
        assert!(junit::render(&suites(&merged)).is_ok());
        assert!(ktap::render(&suites(&merged)).contains("not ok 1 quick"));
        assert!(crate::report::markdown::render(&merged).contains("| quick |"));
        let page = crate::report::html::page(&merged, &crate::report::console::Logs::default());
        assert!(page.contains("<svg") && !page.contains("NaN"), "{page}");
    }

    pub fn bisection() -> ResultFile {
        let bisection = Some(bisection::tests::example(Terms::Break));
        ResultFile { bisection, proof: None, ..example::verify() }
    }

    fn ends(file: ResultFile) -> Vec<TestStatus> {
        suites(&merged(vec![file])).iter().flat_map(|s| s.tests.iter().map(|t| t.ended)).collect()
    }

    #[test]
    fn run_passes_where_the_kernel_is_clean() {
        use Verdict::*;
        let file = runs(&[Clean, Leak, Broken, Undecided, Crash, Unsupported]);
        let expected = [
            TestStatus::Passed,
            TestStatus::Failed,
            TestStatus::Failed,
            TestStatus::Error,
            TestStatus::Error,
            TestStatus::Skipped,
        ];
        let mut found = ends(file);
        // Kernels stand together, and the leak is on another one.
        found.sort_by_key(|ended| *ended as u8);
        assert_eq!(found, expected);
    }

    #[test]
    fn comparison_passes_where_the_unpatched_kernel_leaks() {
        assert_eq!(ends(example::verify()), [TestStatus::Passed; 3]);
        let mut file = example::verify();
        file.results[0].verdict = Verdict::Clean;
        file.proof.as_mut().unwrap().outcome = Outcome::NotProven;
        assert_eq!(ends(file.clone()), [TestStatus::Failed, TestStatus::Passed, TestStatus::Failed]);
        let proof = file.proof.as_mut().unwrap();
        (proof.outcome, proof.one_is_enough) = (Outcome::Proven, true);
        assert_eq!(ends(file), [TestStatus::Skipped, TestStatus::Passed, TestStatus::Passed]);
    }

    #[test]
    fn bisection_is_one_test() {
        assert_eq!(ends(bisection()), [TestStatus::Passed]);
        let mut doubted = bisection();
        doubted.bisection.as_mut().unwrap().confirmed = false;
        assert_eq!(ends(doubted.clone()), [TestStatus::Failed]);
        doubted.bisection.as_mut().unwrap().commit = None;
        assert_eq!(ends(doubted), [TestStatus::Error]);
    }

    #[test]
    fn branch_is_a_test() {
        assert_eq!(ends(example::branches()), [TestStatus::Passed, TestStatus::Error]);
        let merged = merged(vec![example::branches()]);
        let sentence = crate::report::headline::for_report(&merged).sentence;
        assert_eq!(sentence, "The fix is proven on 1 of 2 branches.");
        let row = "| linux-6.1.y | already | leak 25.0 | clean, at most 0.13 | - | proven |";
        let text = crate::report::markdown::render(&merged);
        assert!(text.contains(row), "{text}");
        let page = crate::report::html::page(&merged, &crate::report::console::Logs::default());
        assert!(page.contains("<span>linux-5.10.y</span>"), "{page}");
    }

    #[test]
    fn tests_of_one_name_are_told_apart() {
        let mut file = runs(&[Verdict::Clean, Verdict::Clean, Verdict::Clean]);
        file.results.iter_mut().for_each(|record| record.scenario = "quick".into());
        let suites = suites(&merged(vec![file]));
        let names: Vec<_> = suites[0].tests.iter().map(|test| test.name.as_str()).collect();
        assert_eq!(names, ["quick", "quick (2)", "quick (3)"]);
    }
}
