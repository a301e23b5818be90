//! How long it takes until a leak that is known is found: by random workloads, and by random use of the library.

use super::lot::Lot;
use super::search::{Explored, Plan, explore};
use super::symptom::{Symptom, accuses, signatures};
use crate::boot::job::Job;
use crate::error::Result;
use crate::fleet::cluster;
use crate::kernel::bootable::Kernel;
use crate::os::temp_dir::Scratch;
use crate::result::record::RunRecord;
use crate::run::run;
use crate::scenario::{Scenario, load, names};
use crate::score::explored::{ByLibrary, ExploredRow};
use crate::score::header::{Header, Kind};
use std::path::Path;
use std::time::Instant;

/// Returns how the header of a leak is written among the signatures of finds; `None` of honest growth.
pub fn signature(header: &Header) -> Option<String> {
    let Kind::Leak(leak) = &header.kind else { return None };
    let grows = Symptom::Grows { counter: leak.counter.clone(), function: leak.function.clone(), rate: leak.rate };
    Some(grows.signature())
}

/// Explores the kernel with the patch of this header until its leak is found or the time of `plan` is over, in a corpus of its own in `parent`. What else
/// is found is judged on the kernel as it is, `stock`: what that shows, too, is its own.
pub fn find_known(plan: &Plan, header: &Header, stock: &Kernel, parent: &Path) -> Result<ExploredRow> {
    let corpus = Scratch::within(parent)?;
    let seed = plan.options.boot.seed;
    let Explored { record, results, error } = explore(plan, corpus.path(), Some(seed))?;
    if let Some(error) = error {
        return Err(error);
    }
    let is_sought = |all: &[String]| plan.sought.as_ref().is_some_and(|sought| all.contains(sought));
    let find = record.finds.iter().find(|find| is_sought(&find.signatures));
    let mut accused = Vec::new();
    for (find, result) in record.finds.iter().zip(&results).filter(|(find, _)| !is_sought(&find.signatures)) {
        if !is_of_stock(plan, stock, &load(&find.file)?, result)? {
            accused.push(result.reason.clone());
        }
    }
    Ok(ExploredRow {
        patch: header.name.clone(),
        seed,
        is_leak: plan.sought.is_some(),
        limit_seconds: plan.time.as_secs_f64(),
        suspected_seconds: find.map(|find| find.suspected_seconds),
        found_seconds: find.map(|find| find.seconds),
        candidates: record.candidates,
        accused,
        library: None,
    })
}

/// Returns whether the kernel as it is shows the same in this scenario.
fn is_of_stock(plan: &Plan, stock: &Kernel, scenario: &Scenario, seen: &RunRecord) -> Result<bool> {
    let record = run(&Job { kernel: stock, ..plan.job(scenario) }, plan.options)?;
    let shown = signatures(&record);
    Ok(accuses(&record) && signatures(seen).iter().any(|signature| shown.contains(signature)))
}

/// Judges scenarios of the library in an order by lot, one after the other, until one shows what is sought or the time of `plan` is over. Those
/// that were written for the leak of this header are left out.
pub fn by_library(plan: &Plan, header: &Header) -> Result<ByLibrary> {
    let begin = Instant::now();
    let mut tried = ByLibrary::default();
    for scenario in shuffled(others(header)?, plan.options.boot.seed) {
        if begin.elapsed() >= plan.time {
            break;
        }
        let record = run(&plan.job(&scenario), plan.options)?;
        tried.scenarios += 1;
        let elapsed = begin.elapsed();
        if elapsed <= plan.time && plan.sought.as_ref().is_some_and(|sought| signatures(&record).contains(sought)) {
            (tried.found_seconds, tried.found_by) = (Some(elapsed.as_secs_f64()), Some(scenario.name));
            break;
        }
    }
    Ok(tried)
}

/// Returns the scenarios of the library that one guest can do and that were not written for this leak.
fn others(header: &Header) -> Result<Vec<Scenario>> {
    let is_other = |name: &String| *name != header.scenario && !header.also.contains(name);
    let all: Vec<Scenario> =
        names().iter().filter(|name| is_other(name)).map(|name| load(name)).collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|scenario| cluster::none_of(std::slice::from_ref(scenario), "score").is_ok()).collect())
}

/// Puts them into an order by lot (Fisher and Yates).
fn shuffled(mut scenarios: Vec<Scenario>, seed: u64) -> Vec<Scenario> {
    let mut lot = Lot::new(seed, 0, 0);
    for last in (1..scenarios.len()).rev() {
        scenarios.swap(last, lot.below(last + 1));
    }
    scenarios
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::patches;

    fn header(name: &str) -> Header {
        patches("6.1").unwrap().into_iter().find(|header| header.name == name).unwrap()
    }

    #[test]
    fn leak_is_sought_by_counter_and_function_and_honest_growth_is_not() {
        assert_eq!(signature(&header("seek-from-end")).as_deref(), Some("leak kmalloc-128 nfs_llseek_dir"));
        assert_eq!(signature(&header("honest-first-use")), None);
    }

    #[test]
    fn library_is_tried_in_an_order_of_the_seed_without_what_was_written_for_the_leak() {
        let header = header("seek-from-end");
        let others = others(&header).unwrap();
        let names = |seed: u64| -> Vec<String> {
            shuffled(others.clone(), seed).into_iter().map(|scenario| scenario.name).collect()
        };
        let (one, again, other) = (names(1), names(1), names(2));
        assert_eq!(one, again);
        assert_ne!(one, other);
        assert!(one.len() > 60 && one.iter().all(|name| *name != header.scenario && !header.also.contains(name)));
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(one), sorted(other));
    }
}
