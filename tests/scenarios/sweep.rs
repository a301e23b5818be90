//! Trials of `dirleak sweep`: every allocation of a unit fails once. They need kernels with fault injection, which no other trial has built.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, Trialled};
use dirleak::result::record::Verdict;

const WHY: &str = "its kernel is built with fault injection";

pub fn cases() -> Vec<Case> {
    let clean = Case::new("sweep of quick on 6.1 accuses no failing allocation", &[], |_| nothing_leaks());
    let leaks = [
        ("failing-handle", &["nfs_alloc_fhandle", "nfs_alloc_fattr_with_label"][..], "nfs_readdir_xdr_to_array"),
        ("failing-name", &["nfs_readdir_page_array_append"][..], "nfs_readdir_page_filler"),
    ];
    let leaking = leaks.map(|(patch, fails, function)| {
        let name = format!("sweep of quick on 6.1+{patch} tells what is left in {function} when {} fails", fails[0]);
        Case::new(name, &[], move |_| leaks_where(patch, fails, function))
    });
    let all = leaking.into_iter().chain([clean]).map(|case| case.ignored_because(only_nightly(WHY)));
    all.chain([Case::new("sweep of a distribution's kernel is refused with the way out", &[], |_| refused())]).collect()
}

fn nothing_leaks() -> Trialled {
    let seen = Program::new(&["sweep", "--kernel", "6.1", "quick"]).run()?;
    let file = seen.file()?;
    seen.must(file.results.len() >= 20, || format!("{} places were found", file.results.len()))?;
    for record in &file.results {
        let failing = record.failing.as_ref();
        seen.must(failing.is_some_and(|f| f.failed > 0 && !f.function.is_empty()), || {
            format!("{} never failed: {failing:?}", record.scenario)
        })?;
        seen.must(record.verdict == Verdict::Clean, || format!("{} is not clean: {}", record.scenario, record.reason))?;
    }
    seen.must_end_with(0)
}

fn leaks_where(patch: &str, fails: &[&str], function: &str) -> Trialled {
    let seen = Program::new(&["sweep", "--kernel", &format!("6.1+{patch}"), "quick"]).run()?;
    let file = seen.file()?;
    let leaks: Vec<_> = file.results.iter().filter(|record| record.verdict == Verdict::Leak).collect();
    seen.must(!leaks.is_empty(), || "nothing leaks".into())?;
    for record in leaks {
        let failing = record.failing.as_ref().map_or("", |failing| failing.function.as_str());
        seen.must(fails.contains(&failing), || format!("it leaks when {failing:?} fails"))?;
        let sites = record.findings.iter().flat_map(|finding| &finding.call_sites);
        let named: Vec<&str> = sites.map(|site| site.function.as_str()).collect();
        seen.must(named.contains(&function), || format!("it is told to come from {named:?}"))?;
    }
    seen.must_end_with(1)
}

fn refused() -> Trialled {
    let seen = Program::new(&["sweep", "--kernel", "6.1:cloud", "quick"]).run()?;
    let told = seen.stderr.contains("without fault injection") && seen.stderr.contains("such as 6.1");
    seen.must(told, || "it does not say why".into())?;
    seen.must_end_with(129)
}
