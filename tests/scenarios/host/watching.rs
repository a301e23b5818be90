//! Trials of `host --passive` and `host --watch`, which only look on.

use super::guest::{FIXED, Guest, LEAKING, METRICS, RESULT, command, must, record, scenario};
use crate::case::Case;
use crate::program::Trialled;
use crate::spare_pages;
use dirleak::internals::protocol::message::CommandOutput;
use dirleak::result::record::Verdict;
use libtest_mimic::Failed;

/// READDIR calls of a listing of the files of `quick`, mounted as people mount.
const CALLS_PER_LISTING: f64 = 3.0;
/// How far it may be where others listed, and who watched saw some of it late.
const WATCHED_TOLERANCE: f64 = 0.1;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "host --passive notices what follows the listings of others, and --watch tells it",
            &[LEAKING],
            |_| watched_leak(),
        ),
        Case::new("host --passive on 6.1 accuses nothing", &[FIXED], |_| watched_rest()),
    ]
}

/// Process 1 of the guest lists now and then, and both look on.
fn watch_and_look_on(kernel: &str) -> Result<(Guest, Vec<CommandOutput>), Failed> {
    let mut guest = Guest::start(kernel, true)?;
    let passive = ["host", "/mnt", "--passive", "--interval", "1", "--budget", "60", "--json", RESULT];
    let watch = ["host", "/mnt", "--watch", "--interval", "1", "--budget", "50", "--textfile", METRICS];
    let ended = guest.execute(&[command(&passive), command(&watch)], true)?;
    Ok((guest, ended))
}

fn watched_leak() -> Trialled {
    let (guest, ended) = watch_and_look_on(LEAKING)?;
    let [passive, watch] = &ended[..] else { return Err("two command lines have no two ends".into()) };
    let record = record(passive)?;
    must(passive, passive.status == Some(125), || "what was only watched is no verdict of a leak".into())?;
    let grown = record.findings.iter().find(|finding| finding.name == "kmalloc-256");
    let rate = grown.map(|finding| finding.objects_per_listing);
    // Each listing leaks as many names in as many calls.
    let modelled = spare_pages::listing(FIXED, &scenario()).leaked as f64 / CALLS_PER_LISTING;
    let near = rate.is_some_and(|rate| rate.low > 0.0 && (rate.estimate / modelled - 1.0).abs() < WATCHED_TOLERANCE);
    must(passive, near, || format!("{modelled} objects per call are to leak, and it says {rate:?}"))?;
    must(passive, passive.stdout.contains("tells them apart"), || "it does not say what it cannot tell".into())?;
    must(watch, watch.status == Some(0), || "watching does not end with its budget".into())?;
    must(watch, watch.stdout.contains("at this pace memory is gone in"), || "it does not say when".into())?;
    let metrics = watch.files.get(METRICS).map(|text| String::from_utf8_lossy(text)).unwrap_or_default();
    let metric = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let low = metric("dirleak_growth_objects_per_readdir_low{mount=\"/mnt\",counter=\"kmalloc-256\"}");
    must(watch, low.is_some_and(|low| low > 0.0), || format!("the metrics do not tell it: {metrics}"))?;
    let left = metric("dirleak_memory_exhausted_in_seconds{mount=\"/mnt\"}");
    must(watch, left.is_some_and(|left| left > 0.0 && left.is_finite()), || format!("nor when: {metrics}"))?;
    guest.finish()
}

fn watched_rest() -> Trialled {
    let (guest, ended) = watch_and_look_on(FIXED)?;
    let record = record(&ended[0])?;
    must(&ended[0], record.findings.is_empty(), || "it accuses something".into())?;
    must(&ended[0], record.listings > 0, || "nobody listed".into())?;
    let told = (record.verdict, ended[0].status) == (Verdict::Undecided, Some(125));
    must(&ended[0], told, || "what was only watched is called more than undecided".into())?;
    guest.finish()
}
