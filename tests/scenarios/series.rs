//! Trials of the series beside 6.1: their stock kernel is clean, and the leak of 2019 in their code is found.

use crate::case::Case;
use crate::kernels::left_out;
use crate::verdicts::{clean, leaking};

/// Each series, and where the names come from that its leak patch leaks.
const SERIES: [(&str, &str); 3] = [
    ("5.10", "nfs_readdir_add_to_array"),
    ("6.12", "nfs_readdir_folio_array_append"),
    ("7.2", "nfs_readdir_folio_array_append"),
];

pub fn cases() -> Vec<Case> {
    SERIES.iter().flat_map(|(series, function)| of_series(series, function)).collect()
}

fn of_series(series: &'static str, function: &'static str) -> Vec<Case> {
    let reason = left_out(series);
    let clean = ["quick", "quick-v4", "many-pages", "huge-flat"].map(|scenario| clean(scenario, series));
    let leaking = [("quick", None), ("quick", Some(300)), ("many-pages", None), ("huge-flat", None)]
        .map(|(scenario, entries)| leaking(scenario, entries, series, function));
    clean.into_iter().chain(leaking).map(|case| case.ignored_because(reason.clone())).collect()
}
