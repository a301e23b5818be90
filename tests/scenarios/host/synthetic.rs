//! Trials of `host --synthetic`, which serves and mounts what it lists.

use super::guest::{
    CALL_SITE, FIXED, Guest, LEAKING, PATIENT, RATE_TOLERANCE, RESULT, command, measured, must, record, refuses, says,
};
use crate::case::Case;
use crate::program::Trialled;
use crate::spare_pages;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use dirleak::internals::scenario::load;
use dirleak::result::record::{RunRecord, Verdict};
use libtest_mimic::Failed;
use nix::libc::{SIGINT, SIGKILL, SIGTERM};

/// As people type it who have no NFS mount at hand.
const SYNTHETIC: [&str; 5] = ["host", "--synthetic", "--yes", "--json", RESULT];
const SYNTHETIC_ENTRIES: u64 = 1000;
/// What a run could leave behind: mounts, which any process 1 would see; file systems of NFS, wherever they are mounted; sockets; files.
const LEFT: [&str; 4] = ["/proc/mounts", "/proc/fs/nfsfs/volumes", "/proc/net/tcp", "/run"];

pub fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "host --synthetic on a stock 6.1 is clean, leaves nothing, and refuses what it cannot do",
            &[FIXED],
            |_| synthetic_is_clean(),
        ),
        Case::new(
            "host --synthetic on a stock 6.1+spare-pages traces the leak, and leaves nothing however it ends",
            &[LEAKING],
            |_| synthetic_leaks(),
        ),
    ]
}

/// Returns what is there of that after a command line: of the sockets those that listen, of the files those that are called as ours are.
fn left_after(ended: &CommandOutput) -> Vec<String> {
    let [mounts, volumes, sockets, files] = LEFT.map(|file| says(ended, file));
    let columns = |line: &str, n: usize| line.split_whitespace().nth(n).unwrap_or_default().to_owned();
    let listens = |line: &&str| columns(line, 3) == "0A";
    let sockets: Vec<String> = sockets.lines().filter(listens).map(|line| columns(line, 1)).collect();
    let files: Vec<&str> = files.lines().filter(|name| name.starts_with("dirleak-")).collect();
    vec![mounts, volumes, sockets.join(" "), files.join(" ")]
}

/// Runs a command line, and looks at what is left.
fn looking(guest: &mut Guest, words: &[&str], signal: Option<(f64, i32)>) -> Result<CommandOutput, Failed> {
    let files = LEFT.iter().chain(&[RESULT]).map(|file| (*file).to_owned()).collect();
    guest.run(CommandLine { files, signal, ..command(words) })
}

fn leaves_nothing(ended: &CommandOutput, before: &[String]) -> Trialled {
    let after = left_after(ended);
    must(ended, after == before, || format!("before it was {before:#?} and now it is {after:#?}"))
}

/// Each listing was cold and showed what was made, and the record speaks of no place.
fn is_synthetic(ended: &CommandOutput, status: i32, verdict: Verdict) -> Result<RunRecord, Failed> {
    let record = record(ended)?;
    must(ended, record.verdict == verdict && ended.status == Some(status), || "it ended otherwise".into())?;
    let listings = record.listings;
    let all = listings > 0 && record.cold_listings == listings && record.complete_listings == listings;
    must(ended, all && record.entries == SYNTHETIC_ENTRIES, || "not every listing was cold and complete".into())?;
    let server = record.setup.as_ref().map(|setup| setup.server.as_str());
    must(ended, (record.scenario.as_str(), server) == ("synthetic", Some("synthetic")), || {
        format!("it is said to be of {} at {server:?}", record.scenario)
    })?;
    Ok(record)
}

fn synthetic_is_clean() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    let before = left_after(&looking(&mut guest, &["--version"], None)?);
    let ended = looking(&mut guest, &[&SYNTHETIC[..], &PATIENT].concat(), None)?;
    is_synthetic(&ended, 0, Verdict::Clean)?;
    leaves_nothing(&ended, &before)?;
    refuses(&mut guest, &["host", "--synthetic", "--yes"], 1000, 129, "it must be root; use sudo")?;
    refuses(&mut guest, &["host", "--synthetic", "/mnt", "--yes"], 0, 129, "cannot be used with")?;
    refuses(&mut guest, &["host", "--synthetic", "--passive"], 0, 129, "cannot be used with")?;
    refuses(&mut guest, &["host", "--yes"], 0, 129, "<DIR>")?;
    let ended = looking(&mut guest, &["host", "--synthetic=5", "--budget", "0.1", "--yes"], None)?;
    must(&ended, ended.status == Some(125), || "a budget that is used up is not undecided".into())?;
    leaves_nothing(&ended, &before)?;
    guest.finish()
}

fn synthetic_leaks() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    let before = left_after(&looking(&mut guest, &["--version"], None)?);
    let words = [&SYNTHETIC[..], &PATIENT].concat();
    let ended = looking(&mut guest, &words, None)?;
    finds_the_synthetic_leak(&ended)?;
    leaves_nothing(&ended, &before)?;
    // So slow that the signal comes in the middle.
    let slowly = ["host", "--synthetic", "--yes", "--listings-per-second", "4"];
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
        let ended = looking(&mut guest, &slowly, Some((6.0, signal)))?;
        must(&ended, ended.status == Some(status), || format!("the exit status is not {status}"))?;
        leaves_nothing(&ended, &before)?;
    }
    let killed = looking(&mut guest, &slowly, Some((6.0, SIGKILL)))?;
    must(&killed, killed.status.is_none(), || "it was not killed".into())?;
    let left = left_after(&killed);
    must(&killed, left[3].starts_with("dirleak-"), || "it was not mounted when it was killed".into())?;
    // The mount dies with it, and its server; the directory that it was on stays.
    let looked = left_after(&looking(&mut guest, &["--version"], None)?);
    must(&killed, looked[..3] == before[..3], || format!("before it was {before:#?} and now it is {looked:#?}"))?;
    let ended = looking(&mut guest, &words, None)?;
    finds_the_synthetic_leak(&ended)?;
    leaves_nothing(&ended, &before)?;
    // And the machine's own mount is as it was.
    measured(&mut guest, 1, Verdict::Leak)?;
    guest.finish()
}

/// The leak is that of a directory of such names, at its rate and with its function.
fn finds_the_synthetic_leak(ended: &CommandOutput) -> Trialled {
    let record = is_synthetic(ended, 1, Verdict::Leak)?;
    let [finding] = record.findings.as_slice() else {
        return must(ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    must(ended, finding.name == "kmalloc-256", || format!("the leak is in {}", finding.name))?;
    let site = finding.call_sites.first();
    let named = site.is_some_and(|site| site.function == CALL_SITE && site.share > 0.95);
    must(ended, named, || format!("the call site is {site:?}"))?;
    let mut same = load("quick").expect("it ships");
    same.directory.entries = SYNTHETIC_ENTRIES;
    let (rate, modelled) = (finding.objects_per_listing.estimate, spare_pages::listing(FIXED, &same).leaked as f64);
    must(ended, (rate - modelled).abs() <= RATE_TOLERANCE * modelled, || {
        format!("{rate} names per listing leaked, and {modelled} are to")
    })
}
