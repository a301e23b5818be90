//! Trials of the series beside 6.1: their stock kernel is clean, and the leak of 2019 in their code is found.

use crate::case::Case;
use crate::kernels::{left_out, only_nightly};
use crate::program::{Program, SMALL_CACHES, Trialled};
use crate::verdicts::{clean, leaking};
use dirleak::result::record::Verdict;

/// Each series, and where the names come from that its leak patch leaks.
const SERIES: [(&str, &str); 4] = [
    ("5.10", "nfs_readdir_add_to_array"),
    ("6.12", "nfs_readdir_folio_array_append"),
    ("7.2", "nfs_readdir_folio_array_append"),
    ("7.3", "nfs_readdir_folio_array_append"),
];

/// The series that takes longest for huge-flat under TCG: it was clean after 21 listings, in 392 s.
const SLOW: &str = "5.10";
const WHY_SLOW: &str = "it takes six minutes and more";

/// A kernel that leaks a page per listing, on which page_owner cannot watch.
const PAGES: &str = concat!("6.12+", env!("CARGO_MANIFEST_DIR"), "/tests/data/page-per-listing-6.12.patch");

pub fn cases() -> Vec<Case> {
    let pages = Case::new("a page of each listing on 6.12 is told by its line of source", &[PAGES], |_| pages());
    let of_all = SERIES.iter().flat_map(|(series, function)| of_series(series, function));
    of_all.chain([pages.ignored_because(left_out("6.12"))]).collect()
}

/// Traces see pages that others take beside it; the account of lines has one of 4096 bytes for each listing, and nothing else.
fn pages() -> Trialled {
    let seen = Program::new(&[&["run", "--kernel", PAGES, "quick"], &SMALL_CACHES[..]].concat()).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    let lines = &record.allocation_sites;
    let places: Vec<_> = lines.iter().map(|line| (line.file.as_str(), line.function.as_str())).collect();
    seen.must(places == [("fs/nfs/dir.c", "nfs_readdir_folio_filler")], || format!("the lines are {places:?}"))?;
    let (bytes, calls) = (lines[0].bytes_per_listing, lines[0].calls_per_listing);
    seen.must((calls - 1.0).abs() <= 0.02 && bytes == 4096.0 * calls, || {
        format!("{bytes} bytes in {calls} allocations")
    })
}

fn of_series(series: &'static str, function: &'static str) -> Vec<Case> {
    let reason = left_out(series);
    let huge = clean("huge-flat", series);
    let huge = if series == SLOW { huge.ignored_because(only_nightly(WHY_SLOW)) } else { huge };
    let clean = ["quick", "quick-v4", "many-pages"].map(|scenario| clean(scenario, series)).into_iter().chain([huge]);
    let leaking = [("quick", None), ("quick", Some(300)), ("many-pages", None), ("huge-flat", None)]
        .map(|(scenario, entries)| leaking(scenario, entries, series, function));
    clean
        .chain(leaking)
        .map(|case| if reason.is_some() { case.ignored_because(reason.clone()) } else { case })
        .collect()
}
