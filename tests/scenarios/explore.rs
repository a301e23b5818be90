//! Trials of `dirleak explore`: a leak is found by lot, made small, and shown again by the file that was written.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, Trialled};
use dirleak::result::record::Verdict;

const SEED: &str = "1";

pub fn cases() -> Vec<Case> {
    let found =
        Case::new("explore finds what 6.1+spare-pages leaks and run repeats it from its file", &[], |_| finds());
    let clean = Case::new("explore accuses nothing of 6.1", &[], |_| accuses_nothing());
    vec![found, clean.ignored_because(only_nightly("it takes ten minutes"))]
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
    seen.must(file.results.is_empty(), || format!("{} were found", file.results.len()))?;
    let tried = file.explorations.first().map_or(0, |exploration| exploration.candidates - exploration.not_done);
    seen.must(tried > 30, || format!("{tried} candidates were tried"))?;
    seen.must_end_with(0)
}
