//! Trials of `host --passive` and `host --watch`, which only look on.

use super::guest::{FIXED, Guest, LEAKING, METRICS, RESULT, command, must, record, says, scenario};
use super::{OWN_EVENTS, TRACE_BUFFERS};
use crate::case::Case;
use crate::program::Trialled;
use crate::spare_pages;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput, Confinement};
use dirleak::result::record::Verdict;
use libtest_mimic::Failed;
use nix::libc::{SIGHUP, SIGINT, SIGKILL};

/// READDIR calls of a listing of the files of `quick`, mounted as people mount.
const CALLS_PER_LISTING: f64 = 3.0;
/// How far it may be where others listed, and who watched saw some of it late.
const WATCHED_TOLERANCE: f64 = 0.1;

/// A kernel that loses something of each mount that a server refuses, as one of July 2026 did, where it is, and mounts that somebody tries
/// again and again.
const LOSES_OF_MOUNTS: &str = "6.1+refused-mount";
const LOSES_IN: &str = "{mount=\"/mnt\",function=\"nfs_mount\",counter=\"kmalloc-16\",slot_bytes=\"16\"}";
const REFUSED_MOUNTS: &str =
    "\n[unit]\nsteps = [\"mount-refused\", \"mount-refused\", \"mount-refused\", \"mount-refused\"]\n";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "host --watch --attribute names the function whose objects stay, and leaves no trace however it ends",
            &[LOSES_OF_MOUNTS],
            |_| attributed_leak(),
        ),
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
    let watch =
        ["host", "/mnt", "--watch", "--attribute=10", "--interval", "1", "--budget", "50", "--textfile", METRICS];
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

/// Returns the value of a metric.
fn metric(ended: &CommandOutput, name: &str) -> Option<f64> {
    says(ended, METRICS).lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Somebody tries to mount all the while, and it is told whose objects stay of that.
fn attributed_leak() -> Trialled {
    let mut guest = Guest::start_beside(LOSES_OF_MOUNTS, REFUSED_MOUNTS)?;
    let words =
        ["host", "/mnt", "--watch", "--attribute=8", "--interval", "2", "--budget", "40", "--textfile", METRICS];
    let files = || [METRICS, TRACE_BUFFERS].map(str::to_owned).to_vec();
    let ended = guest.run(CommandLine { files: files(), ..command(&words) })?;
    must(&ended, ended.status == Some(0), || "watching does not end with its budget".into())?;
    let kept = metric(&ended, &format!("dirleak_kept_objects{LOSES_IN}"));
    must(&ended, kept.is_some_and(|kept| kept > 50.0), || {
        format!("of it {kept:?} are kept: {}", says(&ended, METRICS))
    })?;
    let others: Vec<String> =
        says(&ended, METRICS).lines().filter(|l| l.starts_with("dirleak_kept_objects{")).map(str::to_owned).collect();
    must(&ended, others.len() == 1, || format!("others are told, too: {others:?}"))?;
    let said = ended.stdout.contains("; nfs_mount keeps ") && ended.stdout.contains("\n  nfs_mount keeps ");
    must(&ended, said, || "neither the line nor the end says so".into())?;
    must(&ended, says(&ended, TRACE_BUFFERS).is_empty(), || "its trace buffer is left".into())?;
    // Once it traces.
    let signalled = |signal: i32| {
        let signal_file = Some(OWN_EVENTS.to_owned());
        CommandLine { signal: Some((5.0, signal)), signal_file, files: files(), ..command(&words) }
    };
    for (signal, status) in [(SIGKILL, None), (SIGHUP, Some(143)), (SIGINT, Some(130))] {
        let ended = guest.run(signalled(signal))?;
        must(&ended, ended.status == status, || format!("the exit status is not {status:?}"))?;
        let left = says(&ended, TRACE_BUFFERS);
        let is_as_it_should = if signal == SIGKILL { left.starts_with("dirleak-") } else { left.is_empty() };
        must(&ended, is_as_it_should, || format!("these trace buffers are left: {left}"))?;
        let told = signal == SIGKILL || ended.stdout.contains("whose objects stay cannot be told yet");
        must(&ended, told, || "it does not say what is known at its end".into())?;
    }
    let shut = [Confinement::WithoutTracefs, Confinement::WithoutSysAdmin].to_vec();
    let watch = ["host", "/mnt", "--watch", "--attribute", "--interval", "1", "--budget", "15"];
    let ended = guest.run(CommandLine { confined: shut, ..command(&watch) })?;
    let goes_on = ended
        .stdout
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("no call site is told, watching goes on without: "));
    must(&ended, ended.status == Some(0) && goes_on && ended.stdout.contains("\nafter "), || {
        "it does not go on without".into()
    })?;
    guest.finish()
}

fn watched_rest() -> Trialled {
    let (guest, ended) = watch_and_look_on(FIXED)?;
    let record = record(&ended[0])?;
    must(&ended[0], record.findings.is_empty(), || "it accuses something".into())?;
    must(&ended[0], record.listings > 0, || "nobody listed".into())?;
    let told = (record.verdict, ended[0].status) == (Verdict::Undecided, Some(125));
    must(&ended[0], told, || "what was only watched is called more than undecided".into())?;
    let nobody = ended[1].stdout.contains("no call site of NFS keeps objects that are older than 10 s");
    must(&ended[1], nobody, || "of nobody's objects it is not said that none stay".into())?;
    guest.finish()
}
