//! Scenarios on real kernels: every trial boots guests by running dirleak as a user does. The kernels that the chosen
//! trials need are built first. Those of 6.1 always are; trials of another series run when its kernel is in the cache already, or
//! when `DIRLEAK_SERIES` names it, for instance `DIRLEAK_SERIES="5.10 7.2"`, and so do those of Debian's own kernels: `DIRLEAK_SERIES="6.1:cloud"`.
//!
//! Without hardware virtualisation a trial takes 5 to 20 s, those of `huge-flat` 1 to 2 minutes:
//! `cargo test --test scenarios -- --skip huge-flat` leaves them out.

#[path = "scenarios/amounts.rs"]
mod amounts;
#[path = "scenarios/bad_luck.rs"]
mod bad_luck;
#[path = "scenarios/bench.rs"]
mod bench;
#[path = "scenarios/bisect.rs"]
mod bisect;
#[path = "scenarios/blind.rs"]
mod blind;
#[path = "scenarios/case.rs"]
mod case;
#[path = "scenarios/clock.rs"]
mod clock;
#[path = "scenarios/cluster.rs"]
mod cluster;
#[path = "scenarios/coverage.rs"]
mod coverage;
#[path = "scenarios/directory.rs"]
mod directory;
#[path = "scenarios/distribution.rs"]
mod distribution;
#[path = "scenarios/exec.rs"]
mod exec;
#[path = "scenarios/explore.rs"]
mod explore;
#[path = "scenarios/files.rs"]
mod files;
#[path = "support/git_history.rs"]
mod git_history;
#[path = "support/guest.rs"]
mod guest;
#[path = "support/hearing.rs"]
mod hearing;
#[path = "scenarios/host.rs"]
mod host;
#[path = "scenarios/kernels.rs"]
mod kernels;
#[path = "scenarios/library.rs"]
mod library;
#[path = "scenarios/program.rs"]
mod program;
#[path = "scenarios/sandbox.rs"]
mod sandbox;
#[path = "scenarios/score.rs"]
mod score;
#[path = "scenarios/series.rs"]
mod series;
#[path = "scenarios/signals.rs"]
mod signals;
#[path = "scenarios/spare_pages.rs"]
mod spare_pages;
#[path = "scenarios/spare_pages_by_index.rs"]
mod spare_pages_by_index;
#[path = "scenarios/sweep.rs"]
mod sweep;
#[path = "scenarios/thorough.rs"]
mod thorough;
#[path = "scenarios/verdicts.rs"]
mod verdicts;

use case::Case;
use kernels::Kernels;
use libtest_mimic::Arguments;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // More would only wait for processors.
    arguments.test_threads = Some(arguments.test_threads.unwrap_or(2).min(2));
    let kernels = Arc::new(OnceLock::new());
    let mut needed = BTreeSet::new();
    let mut trials = Vec::new();
    let cases = [
        model(),
        verdicts::cases(),
        series::cases(),
        distribution::cases(),
        bisect::cases(),
        bench::cases(),
        bad_luck::cases(),
        blind::cases(),
        amounts::cases(),
        signals::cases(),
        score::cases(),
        library::cases(),
        host::cases(),
        clock::cases(),
        cluster::cases(),
        exec::cases(),
        files::cases(),
        sandbox::cases(),
        sweep::cases(),
        coverage::cases(),
        explore::cases(),
    ];
    let cases: Vec<Case> = cases.into_iter().flatten().collect();
    let names: Vec<String> = cases.iter().map(|case| case.name().to_owned()).collect();
    if let Some(forgotten) = thorough::forgotten(&names) {
        panic!("tests/scenarios/thorough.rs names {forgotten:?}, of which there is no trial");
    }
    for case in cases {
        let left_out = thorough::left_out(case.name());
        let case = case.ignored_because(left_out);
        let specs = case.needs();
        let trial = case.trial(kernels.clone());
        if !arguments.is_filtered_out(&trial) {
            needed.extend(specs);
        }
        trials.push(trial);
    }
    if !arguments.list {
        kernels.get_or_init(|| Kernels::build(&needed));
    }
    let ended = libtest_mimic::run(&arguments, trials).exit_code();
    case::tell_times();
    ended
}

/// Trials of the model of the leak patch, which the others are measured by.
fn model() -> Vec<Case> {
    use spare_pages::trials::{large_directory, many_pages, one_page_more, reply_too_short};
    vec![
        Case::new("the model of spare-pages leaks what does not fit one page", &[], |_| one_page_more()),
        Case::new("the model of spare-pages asks again after a short reply", &[], |_| reply_too_short()),
        Case::new("the model of spare-pages counts call by call", &[], |_| many_pages()),
        Case::new("the model of spare-pages agrees with its short formula", &[], |_| large_directory()),
    ]
}
