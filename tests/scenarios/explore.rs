//! Trials of `dirleak explore`: a leak is found by lot, made small, and shown again by the file that was written.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, Trialled};
use dirleak::result::record::{RunRecord, Verdict};

const SEED: &str = "1";
/// What a restart of knfsd leaves behind on 6.1: a directory of debugfs for each.
const OF_A_RESTART: [&str; 2] = ["dentry", "inode_cache"];

pub fn cases() -> Vec<Case> {
    let found =
        Case::new("explore finds what 6.1+spare-pages leaks and run repeats it from its file", &[], |_| finds());
    let clean = Case::new("explore accuses nothing of 6.1", &[], |_| accuses_nothing());
    [found, clean].map(|case| case.ignored_because(only_nightly("it explores for minutes"))).into()
}

fn finds() -> Trialled {
    let arguments =
        ["--kernel", "6.1+spare-pages", "--time", "120s", "--seed", SEED, "--without-failures", "--jobs", "1"];
    let command: Vec<&str> = ["explore"].into_iter().chain(arguments).chain(["--corpus", "corpus"]).collect();
    let seen = Program::new(&command).run()?;
    let file = seen.file()?;
    let exploration = file.explorations.first().ok_or("the result tells of no exploration")?;
    let named = |find: &&dirleak::result::explore::FindRecord| {
        find.signatures.iter().any(|signature| signature.ends_with(" nfs_readdir_page_array_append"))
    };
    let find = exploration.finds.iter().find(named).ok_or_else(|| format!("it is not found\n{}", seen.stdout))?;
    let text = find.scenario.clone();
    seen.must(text.lines().count() < 40, || format!("its scenario is not small:\n{text}"))?;
    seen.must_end_with(1)?;
    let again = Program::new(&["run", "--kernel", "6.1+spare-pages", "found.toml", "--largest-cache", "300"]);
    let again = again.with_file("found.toml", &text).run()?;
    let verdict = again.file()?.results.first().map(|record| record.verdict);
    again.must(verdict == Some(Verdict::Leak), || format!("the file shows {verdict:?}"))
}

fn accuses_nothing() -> Trialled {
    let seen =
        Program::new(&["explore", "--kernel", "6.1", "--time", "10m", "--seed", SEED, "--corpus", "corpus"]).run()?;
    let file = seen.file()?;
    // A restart of knfsd does leave directories of debugfs behind on 6.1 (docs/finds.md), and the lot may come to it.
    let is_known =
        |record: &RunRecord| record.findings.iter().all(|finding| OF_A_RESTART.contains(&finding.name.as_str()));
    let others: Vec<&str> =
        file.results.iter().filter(|record| !is_known(record)).map(|record| record.reason.as_str()).collect();
    seen.must(others.is_empty(), || format!("it was found that {}", others.join("; ")))?;
    let tried = file.explorations.first().map_or(0, |exploration| exploration.candidates - exploration.not_done);
    seen.must(tried > 30, || format!("{tried} candidates were tried"))?;
    seen.must_end_with(i32::from(!file.results.is_empty()))
}
