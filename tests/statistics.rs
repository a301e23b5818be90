//! How often the verdict is wrong, by simulation with noise that was recorded. `cargo test --release --test statistics --
//! --nocapture` prints the tables of docs/method.md; with `--ignored` it writes them there, for other noise or another model.

#[path = "statistics/course.rs"]
mod course;
#[path = "statistics/naive.rs"]
mod naive;
#[path = "statistics/noise.rs"]
mod noise;
#[path = "statistics/tables.rs"]
mod tables;
#[path = "statistics/tally.rs"]
mod tally;

use course::Leak;
use dirleak::internals::run::options::LISTINGS;
use dirleak::internals::stats::estimate::CONFIDENCE;
use dirleak::internals::stats::net_growth::rarest;
use std::sync::LazyLock;
use tables::{LUMPS, Row, Tables};

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::simulate);

/// What stands around the tables in docs/method.md.
const BEGIN: &str = "<!-- simulated -->\n";
const END: &str = "<!-- until here -->\n";

/// Of so many runs, as many as may go wrong.
fn nominal(runs: u64) -> u64 {
    ((1.0 - CONFIDENCE) * runs as f64).round() as u64
}

#[test]
fn kernel_without_a_leak_is_accused_no_more_often_than_promised() {
    for row in TABLES.setups.iter().chain(&TABLES.without_leak) {
        assert!(row.verdicts.false_leaks <= nominal(row.verdicts.runs), "{row:?}");
    }
}

#[test]
fn all_bounds_hold_at_all_looks_as_often_as_promised() {
    for row in TABLES.setups.iter().chain(&TABLES.without_leak) {
        assert!(row.missed.iter().sum::<u64>() <= nominal(row.verdicts.runs), "{row:?}");
    }
}

#[test]
fn recorded_noise_hardly_ever_leaves_a_kernel_undecided() {
    // Beside somebody who is busy it may: such doses are too small there.
    let at_rest = TABLES.setups.iter().filter(|row| !row.name.contains("busy"));
    for Row { name, verdicts, .. } in at_rest {
        assert!(verdicts.clean >= verdicts.runs * 99 / 100, "{name}: {verdicts:?}");
    }
}

#[test]
fn steady_leak_is_called_clean_or_another_counter_accused_no_more_often_than_promised() {
    for Row { verdicts, .. } in &TABLES.steady {
        assert!(verdicts.clean.max(verdicts.false_leaks) <= nominal(verdicts.runs), "{verdicts:?}");
    }
}

#[test]
fn interval_of_a_steady_leak_contains_its_rate_as_often_as_promised() {
    for Row { verdicts, .. } in &TABLES.steady {
        assert!(verdicts.covered >= verdicts.runs - nominal(verdicts.runs), "{verdicts:?}");
    }
}

#[test]
fn steady_leak_on_a_counter_at_rest_is_found() {
    let clear: Vec<_> = TABLES.steady.iter().filter(|row| !row.name.contains(',')).collect();
    assert!(clear.len() > 3);
    for Row { verdicts, .. } in clear {
        assert!(verdicts.found.iter().sum::<u64>() >= verdicts.runs * 98 / 100, "{verdicts:?}");
    }
}

#[test]
fn leak_by_lot_is_called_clean_or_another_counter_accused_no_more_often_than_promised() {
    for Row { verdicts, name, .. } in &TABLES.random {
        assert!(verdicts.clean.max(verdicts.false_leaks) <= nominal(verdicts.runs), "{name}: {verdicts:?}");
    }
}

#[test]
fn interval_of_a_leak_by_lot_contains_its_rate_in_nineteen_of_twenty_runs() {
    for Row { verdicts, name, .. } in &TABLES.random {
        assert!(verdicts.covered >= verdicts.runs * 95 / 100, "{name}: {verdicts:?}");
    }
}

#[test]
fn leak_in_lumps_is_clean_only_if_it_is_rarer_than_a_clean_verdict_excludes() {
    for (Row { verdicts, name, .. }, leak) in TABLES.lumps.iter().zip(LUMPS) {
        let Leak::Lumps { every, by_lot, .. } = leak else { panic!("{name}") };
        let unseen = if by_lot { (1.0 - 1.0 / every as f64).powf(LISTINGS as f64) } else { 0.0 };
        let most = (unseen * verdicts.runs as f64).round() as u64 + nominal(verdicts.runs);
        assert!(
            verdicts.clean <= most && verdicts.false_leaks <= nominal(verdicts.runs),
            "{name}: {most}, {verdicts:?}"
        );
        if every as f64 <= rarest(LISTINGS) {
            assert!(verdicts.clean <= nominal(verdicts.runs), "{name}: {verdicts:?}");
        }
    }
}

#[test]
fn judges_that_are_naive_are_caught() {
    for row in &TABLES.naive {
        let (failed, nominal) = (row.missed.iter().sum::<u64>(), nominal(row.verdicts.runs));
        assert!(failed > 3 * nominal, "{row:?}");
        assert!(row.name.contains("as recorded") || row.verdicts.false_leaks > 3 * nominal, "{row:?}");
    }
}

#[test]
fn method_tells_these_numbers() {
    let text = TABLES.markdown();
    println!("{text}");
    assert!(
        include_str!("../docs/method.md").contains(&text),
        "docs/method.md has other tables; `--ignored` writes these"
    );
}

#[test]
#[ignore = "writes the tables into docs/method.md"]
fn write_the_tables_into_the_method() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/method.md");
    let method = std::fs::read_to_string(path).unwrap();
    let (before, rest) = method.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    std::fs::write(path, format!("{before}{BEGIN}{}{END}{after}", TABLES.markdown())).unwrap();
}
