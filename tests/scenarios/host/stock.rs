//! Trials of `host` on Debian's kernels as they come, of each series: gentle and with `--drop-caches`, alone and beside a neighbour that starts
//! programs, opens files and drops pages, clean and with a leak put into nfs.ko. Each prints what docs/host.md has in its table.

use super::gentle::{GENTLE, drops};
use super::guest::{Guest, NEIGHBOUR, PATIENT, USUAL, command, must, record, scenario};
use crate::case::Case;
use crate::kernels::{left_out_unless, only_nightly};
use crate::program::Trialled;
use crate::spare_pages;
use dirleak::internals::protocol::message::CommandOutput;
use dirleak::result::record::{RunRecord, Verdict};
use std::time::Instant;

const DEBIANS: [&str; 6] = ["5.10:cloud", "6.1:cloud", "6.1:amd64", "6.12:cloud", "7.2:cloud", "7.3:cloud"];
const LEAK: &str = "+spare-pages";
const RATE_TOLERANCE: f64 = 0.02;
/// Ways to look: what it is called, words, seconds, and whether the neighbour works beside it. There 60 s are to tell a leak.
type Way = (&'static str, &'static [&'static str], &'static [&'static str]);
const ALONE: [Way; 2] = [("gentle", &GENTLE, &PATIENT), ("strong", &USUAL, &PATIENT)];
const BUSY: [Way; 1] = [("gentle, busy", &GENTLE, &["--budget", "60"])];

pub fn cases() -> Vec<Case> {
    let case = |name: &str, spec: String, made_by: &str, ways: &'static [Way]| {
        let nightly = only_nightly("Debian's kernels as they come take some minutes");
        let reason = nightly.or_else(|| left_out_unless(&spec, made_by));
        let booted = [spec.clone()];
        let booted = booted.each_ref().map(String::as_str);
        Case::new(format!("host on Debian's own {spec} {name}"), &booted, move |_| each_way(&spec, ways))
            .ignored_because(reason)
    };
    let of_each = DEBIANS.map(|spec| {
        let leaking = format!("{spec}{LEAK}");
        [
            case("as it comes is clean, gentle and strong", spec.into(), spec, &ALONE),
            case("finds the leak, gentle and strong", leaking.clone(), spec, &ALONE),
            case("as it comes accuses nothing beside a busy neighbour", spec.into(), spec, &BUSY),
            case("finds the leak beside a busy neighbour", leaking, spec, &BUSY),
        ]
    });
    of_each.into_iter().flatten().collect()
}

fn each_way(spec: &str, ways: &[Way]) -> Trialled {
    let mut guest = Guest::start_beside(spec, NEIGHBOUR)?;
    let verdict = if spec.ends_with(LEAK) { Verdict::Leak } else { Verdict::Clean };
    for (way, words, budget) in ways {
        let is_busy = ways == BUSY;
        let dropped_before = times_dropped(&guest.execute(&[command(&["--version"])], false)?.remove(0));
        let begin = Instant::now();
        let ended = guest.execute(&[command(&[*words, *budget].concat())], is_busy)?.remove(0);
        let record = record(&ended)?;
        let dropped = times_dropped(&ended) - dropped_before;
        eprintln!("{} {dropped} | {:.0} |", row(spec, way, &record), begin.elapsed().as_secs_f64());
        // What others do meanwhile may hide that nothing leaks.
        let is_hidden = is_busy && verdict == Verdict::Clean && record.verdict == Verdict::Undecided;
        must(&ended, record.verdict == verdict || is_hidden, || {
            format!("{way} the verdict is not {}", verdict.as_str())
        })?;
        match verdict {
            Verdict::Leak => is_named(spec, &ended, &record)?,
            _ => must(&ended, record.findings.is_empty(), || format!("it accuses {:?}", record.findings))?,
        }
    }
    guest.finish()
}

/// The one leak has the rate that the model of the series says, and a function that appends names.
fn is_named(spec: &str, ended: &CommandOutput, record: &RunRecord) -> Trialled {
    let [finding] = record.findings.as_slice() else {
        return must(ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    let series = spec.split(':').next().unwrap_or(spec);
    let modelled = spare_pages::listing(series, &scenario()).leaked as f64;
    let rate = finding.objects_per_listing.estimate;
    must(ended, (rate / modelled - 1.0).abs() <= RATE_TOLERANCE, || {
        format!("{rate} names leak, and {modelled} are to")
    })?;
    let site = finding.call_sites.first();
    let is_named = site.is_some_and(|site| site.function.starts_with("nfs_readdir_") && site.share > 0.95);
    must(ended, is_named, || format!("the call site is {site:?}"))
}

/// How often the page cache of the machine was dropped since boot.
fn times_dropped(ended: &CommandOutput) -> u64 {
    let counted = drops(ended);
    let times = counted.iter().find_map(|line| line.strip_prefix("drop_pagecache ")?.parse().ok());
    times.unwrap_or_default()
}

/// Returns a row of the table: kernel, way, verdict, rate, function, seconds by the guest's clock, listings, RPCs; how often caches were
/// dropped and seconds by our clock come behind it.
fn row(spec: &str, way: &str, record: &RunRecord) -> String {
    let finding = record.findings.first();
    let rate = finding.map_or(String::new(), |finding| {
        let rate = finding.objects_per_listing;
        format!("{:.1} ({:.1} to {:.1}) {}", rate.estimate, rate.low, rate.high, finding.name)
    });
    let function = finding.and_then(|finding| finding.call_sites.first()).map_or("", |site| &site.function);
    let (release, verdict, listings, seconds) =
        (&record.kernel.release, record.verdict.as_str(), record.listings, record.seconds);
    let rpcs = record.rpcs.values().sum::<u64>();
    format!("| {spec} ({release}) | {way} | {verdict} | {rate} | {function} | {seconds:.1} | {listings} | {rpcs} |")
}
