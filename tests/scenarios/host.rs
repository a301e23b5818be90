//! Trials of `dirleak host`: it runs as a process of its own inside a guest, whose knfsd exports what it lists. The guest is the
//! machine that may leak.

use crate::case::Case;
use crate::kernels::{left_out, left_out_unless, only_nightly};
use crate::program::Trialled;
use dirleak::internals::boot::job::BootOptions;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use dirleak::result::record::{RunRecord, Verdict};
use guest::{
    BUNDLE, CALL_SITE, FIXED, Guest, KEEP_IN, LEAKING, MERGES, RESULT, USUAL, command, has_processors, is_at_its_rate,
    is_the_leak, measured, measured_anywhere, must, record, refuses, says, scenario,
};
use nfs_fault_server::dirtree::tree::Tree;
use nix::libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use std::fs;
use std::process::Command;

#[path = "host/gentle.rs"]
mod gentle;
#[path = "host/guest.rs"]
pub mod guest;
#[path = "host/interrupted.rs"]
mod interrupted;
#[path = "host/policies.rs"]
mod policies;
#[path = "host/stock.rs"]
mod stock;
#[path = "host/synthetic.rs"]
mod synthetic;
#[path = "host/watching.rs"]
mod watching;

const TRACED_EVENTS: &str = "/sys/kernel/tracing/set_event";
const TRACING: &str = "/sys/kernel/tracing/tracing_on";
/// What host traces into, and what is on there.
const TRACE_BUFFERS: &str = "/sys/kernel/tracing/instances";
const OWN_EVENTS: &str = "/sys/kernel/tracing/instances/*/set_event";
/// Somebody else's trace: what is set for it, and how much of it is there.
const OTHERS_TRACE: [&str; 5] = [
    TRACED_EVENTS,
    TRACING,
    "/sys/kernel/tracing/trace_clock",
    "/sys/kernel/tracing/buffer_size_kb",
    "/sys/kernel/tracing/events/sched/sched_process_exit/enable",
];
const OTHERS_ENTRIES: &str = "/sys/kernel/tracing/per_cpu/cpu0/stats";
const SOMEBODY_TRACES: &str = "trace_event=sched:sched_process_exit,sched:sched_wakeup";

/// As hardened machines set it: /proc/kallsyms shows zeros to root, too.
const KEEPS_ADDRESSES: &str = "sysctl.kernel.kptr_restrict=2";

/// A kernel that leaks and locks up when it is asked who allocated slab objects while page_owner watches, and how guides say to boot one.
const LOCKS_UP: &str = "7.3+spare-pages";
const WATCHES_BOTH: &str = "slub_debug=U page_owner=on";

/// A kernel that puts stacks of each trace into the buffer of the whole machine.
const MIXES_STACKS: &str = "5.10+spare-pages";

/// Debian's own kernel, which is built with CONFIG_NO_HZ_FULL, and how machines boot it whose processors belong to one program each: without
/// a tick on one, and with another one that nothing is put on. There membarrier() tells no grace period (kernel/sched/membarrier.c).
const TICKLESS: &str = "6.1:amd64";
const TICKLESS_LEAKING: &str = "6.1:amd64+spare-pages";
const WITHOUT_TICK: &str = "nohz_full=1,2 isolcpus=3";
/// Processors that are left for dirleak there.
const NOT_ISOLATED: u64 = 3;

/// Seconds that are enough for a leak to be told there, and may not be for what is clean.
const BUSY_BUDGET: [&str; 2] = ["--budget", "120"];
/// Where results are kept, noise is wanted to the end of the longest course.
const LONGEST_COURSE: [&str; 4] = ["--budget", "900", "--min-rate", "0.18"];

pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("host on a stock 6.1 is clean, and refuses what it cannot do", &[FIXED], |_| clean_and_refusals()),
        Case::new("host on 6.1 with slub_debug is clean", &[FIXED], |_| clean(FIXED, false)),
        Case::new("host --scratch leaves nothing behind, however it ends", &[FIXED], |_| scratch()),
        Case::new(
            "what a killed host leaves the next one takes away, and a hung-up one leaves nothing",
            &[LEAKING],
            |_| killed_and_hung_up(),
        ),
        Case::new("host on a stock 6.1+spare-pages traces the leak to its call site", &[LEAKING], |_| {
            leaks(Guest::start(LEAKING, true)?)
        }),
        Case::new("host on 6.1+spare-pages with slub_debug names the leak's call site", &[LEAKING], |_| {
            leaks(Guest::start(LEAKING, false)?)
        }),
        Case::new("host where kptr_restrict=2 hides functions is clean, and says that it does", &[FIXED], |_| {
            hidden_functions_are_clean()
        }),
        Case::new("host where kptr_restrict=2 hides functions tells the leak and its rate", &[LEAKING], |_| {
            hidden_functions_leak()
        }),
        Case::new("host asks one of slub_debug and page_owner on a kernel that both lock up", &[LOCKS_UP], |_| {
            one_of_both()
        })
        .ignored_because(left_out("7.3")),
        Case::new("host traces beside somebody else's trace and leaves it as it is", &[LEAKING], |_| {
            beside_another_trace()
        }),
        Case::new(
            "host on a stock 5.10+spare-pages traces into the buffer of all and says so",
            &[MIXES_STACKS],
            |_| into_the_buffer_of_all(),
        )
        .ignored_because(left_out("5.10")),
        Case::new("host on Debian's 6.1 with nohz_full= and isolcpus= is clean", &[TICKLESS], |_| {
            without_tick_is_clean()
        })
        .ignored_because(left_out_unless(TICKLESS, TICKLESS)),
        Case::new(
            "host on Debian's 6.1+spare-pages with nohz_full= and isolcpus= traces the leak to its call site",
            &[TICKLESS_LEAKING],
            |_| without_tick_leaks(),
        )
        .ignored_because(left_out_unless(TICKLESS_LEAKING, TICKLESS)),
        Case::new("host beside a busy neighbour accuses nothing", &[FIXED], |_| busy_accuses_nothing()),
        Case::new("host beside a busy neighbour tells the leak, its rate and its call site", &[LEAKING], |_| {
            leaks(Guest::start_busy(LEAKING)?)
        }),
        Case::new("host on a stock 6.1 that merges caches is clean", &[FIXED], |_| merging_is_clean()),
        Case::new(
            "host on a stock 6.1+spare-pages that merges caches traces the leak to its call site",
            &[LEAKING],
            |_| leaks(Guest::start_with(LEAKING, true, MERGES)?),
        ),
    ];
    cases.extend(watching::cases());
    cases.extend(gentle::cases());
    let others = interrupted::cases().into_iter().chain(policies::cases());
    let at_night = |case: Case| case.ignored_because(only_nightly("it takes a guest of its own for minutes"));
    cases.extend(others.map(at_night));
    cases.extend(stock::cases());
    cases.extend(synthetic::cases());
    cases
}

fn clean(spec: &str, stock: bool) -> Trialled {
    let mut guest = Guest::start(spec, stock)?;
    measured(&mut guest, 0, Verdict::Clean)?;
    guest.finish()
}

fn without_tick_is_clean() -> Trialled {
    let mut guest = Guest::start_with(TICKLESS, true, WITHOUT_TICK)?;
    let (ended, record) = measured_anywhere(&USUAL, &mut guest, 0, Verdict::Clean)?;
    has_processors(&ended, &record, NOT_ISOLATED)?;
    guest.finish()
}

fn without_tick_leaks() -> Trialled {
    let mut guest = Guest::start_with(TICKLESS_LEAKING, true, WITHOUT_TICK)?;
    let (ended, record) = measured_anywhere(&USUAL, &mut guest, 1, Verdict::Leak)?;
    has_processors(&ended, &record, NOT_ISOLATED)?;
    is_the_leak(&ended, &record)?;
    guest.finish()
}

/// Others do what they do all the while: it is clean, or undecided with the reason.
fn busy_accuses_nothing() -> Trialled {
    let mut guest = Guest::start_busy(FIXED)?;
    let pace = if std::env::var_os(KEEP_IN).is_some() { &LONGEST_COURSE[..] } else { &BUSY_BUDGET[..] };
    let ended = guest.run(command(&[&USUAL[..], pace].concat()))?;
    let record = record(&ended)?;
    let told = match record.verdict {
        Verdict::Clean => Some(0),
        Verdict::Undecided => Some(125),
        _ => None,
    };
    must(&ended, told.is_some() && ended.status == told, || format!("the verdict is {}", record.verdict.as_str()))?;
    let why = record.verdict == Verdict::Clean || !record.reason.is_empty() && ended.stdout.contains(&record.reason);
    must(&ended, why && record.findings.is_empty(), || format!("it accuses {:?}", record.findings))?;
    guest.finish()
}

/// The control's files are counted though the cache that they are in goes by another name in sysfs.
fn merging_is_clean() -> Trialled {
    let mut guest = Guest::start_with(FIXED, true, MERGES)?;
    let (ended, record) = measured(&mut guest, 0, Verdict::Clean)?;
    let files = record.controls.sources.iter().find(|control| control.name == "filp");
    must(&ended, files.is_some_and(|control| control.seen >= control.held), || format!("the files are {files:?}"))?;
    guest.finish()
}

/// One note says, in the record and in words, why functions have no names.
fn says_that_functions_are_hidden(ended: &CommandOutput, record: &RunRecord) -> Trialled {
    let notes: Vec<_> = record.notes.iter().filter(|note| note.contains("kptr_restrict")).collect();
    let [note] = &notes[..] else { return must(ended, false, || format!("the notes are {:?}", record.notes)) };
    must(ended, note.contains("`sysctl kernel.kptr_restrict=1`"), || format!("{note:?} mends nothing"))?;
    let words: String = ended.stdout.split_whitespace().collect();
    let said: String = note.split_whitespace().collect();
    must(ended, words.matches(&said).count() == 1, || "the words do not have the note once".into())?;
    let missing = record.not_looked_for.iter().any(|source| source == "call sites");
    must(ended, missing, || format!("not looked for are {:?}", record.not_looked_for))
}

fn hidden_functions_are_clean() -> Trialled {
    let mut guest = Guest::start_with(FIXED, true, KEEPS_ADDRESSES)?;
    let (ended, record) = measured(&mut guest, 0, Verdict::Clean)?;
    says_that_functions_are_hidden(&ended, &record)?;
    guest.finish()
}

/// The verdict and its rate are as where functions have names.
fn hidden_functions_leak() -> Trialled {
    let mut guest = Guest::start_with(LEAKING, true, KEEPS_ADDRESSES)?;
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    says_that_functions_are_hidden(&ended, &record)?;
    let [finding] = record.findings.as_slice() else {
        return must(&ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    must(&ended, finding.name == "kmalloc-256", || format!("the leak is in {}", finding.name))?;
    must(&ended, finding.call_sites.is_empty(), || format!("it names {:?}", finding.call_sites))?;
    is_at_its_rate(&ended, &record, finding)?;
    guest.finish()
}

/// Asking both does not come back. A trace tells who allocated the slab objects, and page_owner is asked about pages.
fn one_of_both() -> Trialled {
    let mut guest = Guest::start_with(LOCKS_UP, true, WATCHES_BOTH)?;
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    let notes: Vec<_> = record.notes.iter().filter(|note| note.contains("only page_owner was asked")).collect();
    must(&ended, notes.len() == 1, || format!("the notes are {:?}", record.notes))?;
    let owned = record.controls.sources.iter().find(|control| control.name == "pipe_write");
    must(&ended, owned.is_some_and(|control| control.seen == control.held), || {
        format!("page_owner shows {owned:?} of what is held")
    })?;
    let finding = record.findings.iter().find(|finding| finding.name.starts_with("kmalloc-"));
    let site = finding.and_then(|finding| finding.call_sites.first());
    let named = site.is_some_and(|site| site.function.starts_with("nfs_readdir_") && site.share > 0.95);
    must(&ended, named, || format!("the call site is {site:?}"))?;
    guest.finish()
}

fn leaks(mut guest: Guest) -> Trialled {
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    is_the_leak(&ended, &record)?;
    evidence(&ended)?;
    must(&ended, !ended.stdout.contains("unmount"), || "it speaks of unmounting, which it never did".into())?;
    guest.finish()
}

fn clean_and_refusals() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    measured(&mut guest, 0, Verdict::Clean)?;
    refuses(&mut guest, &["host", "/mnt", "--drop-caches"], 0, 129, "say --yes if that may be")?;
    refuses(&mut guest, &["host", "/mnt/no", "--yes"], 0, 129, "there is no directory /mnt/no")?;
    refuses(&mut guest, &["host", "/init", "--yes"], 0, 129, "/init is no directory")?;
    refuses(&mut guest, &["host", "/run", "--yes"], 0, 129, "/run is on no NFS mount")?;
    let textfile = ["host", "/mnt", "--watch", "--textfile", "/run/metrics.txt"];
    refuses(&mut guest, &textfile, 0, 129, "files that end in .prom, which /run/metrics.txt does not")?;
    let bundle = ["host", "/mnt", "--yes", "--bundle", "/run/no/bundle"];
    refuses(&mut guest, &bundle, 0, 128, "cannot write the bundle /run/no/bundle: there is no directory /run/no")?;
    refuses(&mut guest, &["host", "/mnt", "--yes"], 1000, 129, "it must be root; use sudo")?;
    let short = ["host", "/mnt", "--yes", "--budget", "0.1", "--json", RESULT];
    let ended = guest.run(command(&short))?;
    must(&ended, ended.status == Some(125), || "a budget that is used up is not undecided".into())?;
    let record = record(&ended)?;
    let said = record.verdict == Verdict::Undecided && record.reason.contains("the budget of 0.1 s was used up");
    must(&ended, said, || "it does not say that the budget was used up".into())?;
    guest.finish()
}

/// The bundle unpacks to what it is to hold, and has no name of a file that was listed.
fn evidence(ended: &CommandOutput) -> Trialled {
    let bytes = ended.files.get(BUNDLE).map(Vec::as_slice).unwrap_or_default();
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("it.tar.gz"), bytes)?;
    let unpacked = Command::new("tar").args(["-xzf", "it.tar.gz"]).current_dir(dir.path()).output()?;
    must(ended, unpacked.status.success(), || "the bundle cannot be unpacked".into())?;
    let scenario = scenario();
    let tree = Tree::new(&scenario.directory, BootOptions::default().seed);
    let mut name = Vec::new();
    tree.names().write(0, &mut name);
    for (file, part) in [
        ("README", "no name of a file"),
        ("result.json", "\"verdict\": \"leak\""),
        ("report.txt", CALL_SITE),
        ("mountstats", "READDIRPLUS: "),
        ("slabinfo", "kmalloc-256"),
        ("meminfo", "SUnreclaim"),
        ("kernel-version", "Linux version 6.1"),
        ("kernel-command-line", "console="),
    ] {
        let text = fs::read(dir.path().join("dirleak-evidence").join(file)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        must(ended, text.contains(part), || format!("{file} of the bundle has no {part:?}: {text}"))?;
        let named = text.contains(&*String::from_utf8_lossy(&name));
        must(ended, !named, || format!("{file} of the bundle has the name of a file"))?;
    }
    Ok(())
}

/// Files are made, listed and removed; and removed, too, when a signal comes while they are listed.
fn scratch() -> Trialled {
    let mut guest = Guest::start(FIXED, false)?;
    let words = [&USUAL[..], &["--scratch=300"]].concat();
    let ended = guest.run(command(&words))?;
    let made = record(&ended)?;
    must(&ended, ended.status == Some(0) && made.entries == 300, || {
        "it did not list 300 files and find it clean".into()
    })?;
    must(&ended, made.complete_listings == made.listings, || "not every listing showed what was made".into())?;
    // So slow that the signal comes in the middle.
    let slowly = ["host", "/mnt", "--scratch=300", "--yes", "--listings-per-second", "4"];
    for (signal, status) in [(SIGINT, 130), (SIGTERM, 143)] {
        let ended = guest.run(CommandLine { signal: Some((4.0, signal)), ..command(&slowly) })?;
        must(&ended, ended.status == Some(status), || format!("the exit status is not {status}"))?;
        must(&ended, ended.stderr.contains("stopped by SIG"), || "it does not say what stopped it".into())?;
    }
    let (ended, left) = measured(&mut guest, 0, Verdict::Clean)?;
    must(&ended, left.entries == scenario().directory.entries, || format!("there are {} entries", left.entries))?;
    guest.finish()
}

/// Somebody else traces all the while, with events of his own.
fn beside_another_trace() -> Trialled {
    let mut guest = Guest::start_with(LEAKING, true, SOMEBODY_TRACES)?;
    let files: Vec<String> =
        [&OTHERS_TRACE[..], &[OTHERS_ENTRIES, TRACE_BUFFERS, RESULT]].concat().into_iter().map(str::to_owned).collect();
    let looked = guest.run(CommandLine { files: files.clone(), ..command(&["--version"]) })?;
    must(&looked, says(&looked, TRACED_EVENTS).contains("sched:sched_process_exit"), || "nobody traces".into())?;
    let ended = guest.run(CommandLine { files, ..command(&USUAL[..6]) })?;
    let record = record(&ended)?;
    must(&ended, record.verdict == Verdict::Leak, || "the verdict is not leak".into())?;
    let site = record.findings.first().and_then(|finding| finding.call_sites.first());
    must(&ended, site.is_some_and(|site| site.function == CALL_SITE), || format!("the call site is {site:?}"))?;
    for file in OTHERS_TRACE {
        let (before, after) = (says(&looked, file), says(&ended, file));
        must(&ended, before == after && !before.is_empty(), || format!("{file} was {before:?} and is {after:?}"))?;
    }
    // What nobody has read stays, and more comes.
    let entries = |ended: &CommandOutput| {
        let stats = says(ended, OTHERS_ENTRIES);
        let count = stats.lines().find_map(|line| line.strip_prefix("entries: ")?.trim().parse::<u64>().ok());
        count.unwrap_or_default()
    };
    let (before, after) = (entries(&looked), entries(&ended));
    must(&ended, before > 0 && after > before, || format!("of {before} entries {after} are there"))?;
    let left = says(&ended, TRACE_BUFFERS);
    must(&ended, left.is_empty(), || format!("these trace buffers are left: {left}"))?;
    guest.finish()
}

/// There somebody else's trace would have the stacks in it.
fn into_the_buffer_of_all() -> Trialled {
    let mut guest = Guest::start(MIXES_STACKS, true)?;
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    let noted = record.notes.iter().any(|note| note.starts_with("traced into the trace buffer of the whole machine"));
    must(&ended, noted, || format!("the notes are {:?}", record.notes))?;
    let site = record.findings.first().and_then(|finding| finding.call_sites.first());
    let named = site.is_some_and(|site| site.function.starts_with("nfs_readdir_") && !site.stack.is_empty());
    must(&ended, named, || format!("the call site is {site:?}"))?;
    guest.finish()
}

/// A run is killed while it traces; what it left is gone after the next, which traces as well. One that hears of a hangup leaves nothing.
fn killed_and_hung_up() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    let slowly = ["host", "/mnt", "--scratch=300", "--yes", "--listings-per-second", "10"];
    let ended = guest.run(CommandLine { files: vec![TRACE_BUFFERS.to_owned()], ..command(&slowly) })?;
    must(&ended, ended.stdout.contains(CALL_SITE), || "it traced nothing".into())?;
    must(&ended, ended.files.contains_key(TRACE_BUFFERS), || "the kernel has no trace buffers".into())?;
    must(&ended, says(&ended, TRACE_BUFFERS).is_empty(), || "its trace buffer is left".into())?;
    // Tracing is the last that a run does; what a killed one left on is removed in the first seconds of the next.
    let mut signalled = |signal: i32| {
        let files = [OWN_EVENTS, TRACE_BUFFERS, TRACED_EVENTS, TRACING].map(str::to_owned).into();
        let signal_file = Some(OWN_EVENTS.to_owned());
        guest.run(CommandLine { signal: Some((5.0, signal)), signal_file, files, ..command(&slowly) })
    };
    let killed = signalled(SIGKILL)?;
    must(&killed, killed.status.is_none(), || "it was not killed".into())?;
    must(&killed, !says(&killed, OWN_EVENTS).is_empty(), || "it did not trace when it was killed".into())?;
    must(&killed, says(&killed, TRACE_BUFFERS).starts_with("dirleak-"), || "it left no trace buffer".into())?;
    for (signal, status) in [(SIGHUP, 143), (SIGQUIT, 130)] {
        let ended = signalled(signal)?;
        must(&ended, ended.status == Some(status), || format!("the exit status is not {status}"))?;
        let left = format!("{}{}", says(&ended, OWN_EVENTS), says(&ended, TRACED_EVENTS));
        must(&ended, left.is_empty(), || format!("these events are still on: {left}"))?;
        let left = says(&ended, TRACE_BUFFERS);
        must(&ended, left.is_empty(), || format!("these trace buffers are left: {left}"))?;
        must(&ended, says(&ended, TRACING) == "1", || "the kernel's buffer takes nothing any more".into())?;
    }
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    let entries = scenario().directory.entries;
    must(&ended, record.entries == entries, || format!("there are {} entries, not {entries}", record.entries))?;
    let site = record.findings.first().and_then(|finding| finding.call_sites.first());
    must(&ended, site.is_some_and(|site| site.function == CALL_SITE), || "it could not trace any more".into())?;
    guest.finish()
}
