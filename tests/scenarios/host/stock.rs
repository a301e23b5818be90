//! Trials of `host` on Debian's kernels as they come, of each series: gentle and with `--drop-caches`, alone and beside a neighbour that starts
//! programs, opens files and drops pages, clean and with a leak put into nfs.ko. Each prints what docs/host.md has in its table.

use super::BUSY_BUDGET;
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
const RATE_TOLERANCE: f64 = 0.02;
/// Both ways to look, each alone and beside the neighbour.
const WAYS: [(&str, &[&str], bool); 4] = [
    ("gentle", &GENTLE, false),
    ("strong", &USUAL, false),
    ("gentle, busy", &GENTLE, true),
    ("strong, busy", &USUAL, true),
];

pub fn cases() -> Vec<Case> {
    let nightly = || only_nightly("Debian's kernels as they come take some minutes");
    let clean = DEBIANS.map(|spec| {
        let name = format!("host on Debian's own {spec} as it comes is clean, gentle and strong");
        let reason = nightly().or_else(|| left_out_unless(spec, spec));
        Case::new(name, &[spec], move |_| each_way(spec, Verdict::Clean)).ignored_because(reason)
    });
    let leaking = DEBIANS.map(|spec| {
        let leaking = format!("{spec}+spare-pages");
        let name = format!("host on Debian's own {leaking} finds the leak, gentle and strong");
        let reason = nightly().or_else(|| left_out_unless(&leaking, spec));
        Case::new(name, &[&leaking.clone()], move |_| each_way(&leaking, Verdict::Leak)).ignored_because(reason)
    });
    clean.into_iter().chain(leaking).collect()
}

fn each_way(spec: &str, verdict: Verdict) -> Trialled {
    let mut guest = Guest::start_beside(spec, NEIGHBOUR)?;
    for (way, words, is_busy) in WAYS {
        let (budget, begin) = (if is_busy { BUSY_BUDGET } else { PATIENT }, Instant::now());
        let ended = guest.execute(&[command(&[words, &budget].concat())], is_busy)?.remove(0);
        let record = record(&ended)?;
        eprintln!("{}", row(spec, way, &ended, &record, begin.elapsed().as_secs_f64()));
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

/// Returns a row of the table: kernel, way, verdict, rate, function, listings, RPCs, drops of caches since boot, seconds by the guest's clock
/// and by ours.
fn row(spec: &str, way: &str, ended: &CommandOutput, record: &RunRecord, our_seconds: f64) -> String {
    let finding = record.findings.first();
    let rate = finding.map_or(String::new(), |finding| {
        let rate = finding.objects_per_listing;
        format!("{:.1} ({:.1} to {:.1}) {}", rate.estimate, rate.low, rate.high, finding.name)
    });
    let function = finding.and_then(|finding| finding.call_sites.first()).map_or("", |site| &site.function);
    let (release, verdict, listings, seconds) =
        (&record.kernel.release, record.verdict.as_str(), record.listings, record.seconds);
    let (rpcs, drops) = (record.rpcs.values().sum::<u64>(), drops(ended).join(", "));
    format!(
        "| {spec} ({release}) | {way} | {verdict} | {rate} | {function} | {listings} | {rpcs} | {drops} | {seconds:.1} | {our_seconds:.0} |"
    )
}
