//! Trials of `dirleak host`: it runs as a process of its own inside a guest, whose knfsd exports what it lists. The guest is the
//! machine that may leak.

use crate::case::Case;
use crate::guest::Machine;
use crate::kernels::{left_out, left_out_unless};
use crate::program::{Slots, Trialled, faults_of};
use crate::spare_pages;
use dirleak::internals::boot::job::{BootOptions, Job};
use dirleak::internals::kernel;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use dirleak::internals::protocol::agent::AgentError;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput};
use dirleak::internals::run::options::Options;
use dirleak::internals::scenario::{Scenario, ServerKind, load};
use dirleak::internals::vm::accelerator;
use dirleak::result::file::ResultFile;
use dirleak::result::finding::Finding;
use dirleak::result::record::{RunRecord, Verdict};
use libtest_mimic::Failed;
use nfs_fault_server::dirtree::spec::Made;
use nfs_fault_server::dirtree::tree::Tree;
use nix::libc::{SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM};
use std::fs;
use std::process::Command;

const FIXED: &str = "6.1";
const LEAKING: &str = "6.1+spare-pages";
const CALL_SITE: &str = "nfs_readdir_page_array_append";
const RESULT: &str = "/run/result.json";
const BUNDLE: &str = "/run/evidence.tar.gz";
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
const METRICS: &str = "/run/dirleak.prom";
/// How far the measured rate may be from the modelled one.
const RATE_TOLERANCE: f64 = 0.02;
/// READDIR calls of a listing of the files of `quick`, mounted as people mount.
const CALLS_PER_LISTING: f64 = 3.0;
/// How far it may be where others listed, and who watched saw some of it late.
const WATCHED_TOLERANCE: f64 = 0.1;

/// As kernels boot by default (CONFIG_SLAB_MERGE_DEFAULT): given last, it holds against what keeps caches apart.
const MERGES: &str = "slab_merge";

/// As hardened machines set it: /proc/kallsyms shows zeros to root, too.
const KEEPS_ADDRESSES: &str = "sysctl.kernel.kptr_restrict=2";

/// A kernel that leaks and locks up when it is asked who allocated slab objects while page_owner watches, and how guides say to boot one.
const LOCKS_UP: &str = "7.3+spare-pages";
const WATCHES_BOTH: &str = "slub_debug=U page_owner=on";

/// A kernel that puts stacks of each trace into the buffer of the whole machine.
const MIXES_STACKS: &str = "5.10+spare-pages";

/// Debian's own kernel, which is built with CONFIG_NO_HZ_FULL, and how machines boot it whose processors belong to one program each: without
/// a tick on one, and with another one that nothing is put on. There membarrier() tells no grace period (kernel/sched/membarrier.c).
const DEBIANS: &str = "6.1:amd64";
const DEBIANS_LEAKING: &str = "6.1:amd64+spare-pages";
const WITHOUT_TICK: &str = "nohz_full=1,2 isolcpus=3";
/// Processors that are left for dirleak there.
const NOT_ISOLATED: u64 = 3;

/// What a busy neighbour does again and again, two seconds of every four: it starts programs, opens files, and fills and drops pages.
const NEIGHBOUR: &str = "\n[unit]\nsteps = [{ run = \"sh -c 'for n in 1 2 3 4 5 6 7 8; do cat /proc/self/maps /proc/mounts > /tmp/$n; \
    head -c 300000 /dev/zero >> /tmp/$n; done; cat /tmp/* > /dev/null; rm /tmp/[1-8]'\" }]\n";

/// Seconds that are enough for a leak to be told there, and may not be for what is clean.
const BUSY_BUDGET: [&str; 2] = ["--budget", "120"];

/// As people type it.
const USUAL: [&str; 7] = ["host", "/mnt", "--yes", "--json", RESULT, "--bundle", BUNDLE];

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("host on a stock 6.1 is clean, and refuses what it cannot do", &[FIXED], |_| clean_and_refusals()),
        Case::new("host on 6.1 with slub_debug is clean", &[FIXED], |_| clean(FIXED, false)),
        Case::new("host --scratch leaves nothing behind, however it ends", &[FIXED], |_| scratch()),
        Case::new(
            "what a killed host leaves the next one takes away, and a hung-up one leaves nothing",
            &[LEAKING],
            |_| killed_and_hung_up(),
        ),
        Case::new(
            "host --passive notices what follows the listings of others, and --watch tells it",
            &[LEAKING],
            |_| watched_leak(),
        ),
        Case::new("host --passive on 6.1 accuses nothing", &[FIXED], |_| watched_rest()),
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
        Case::new("host on Debian's 6.1 with nohz_full= and isolcpus= is clean", &[DEBIANS], |_| {
            without_tick_is_clean()
        })
        .ignored_because(left_out_unless(DEBIANS, DEBIANS)),
        Case::new(
            "host on Debian's 6.1+spare-pages with nohz_full= and isolcpus= traces the leak to its call site",
            &[DEBIANS_LEAKING],
            |_| without_tick_leaks(),
        )
        .ignored_because(left_out_unless(DEBIANS_LEAKING, DEBIANS)),
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
    ]
}

/// The files of `quick` behind knfsd, mounted as people mount.
fn scenario() -> Scenario {
    let mut scenario = load("quick").expect("it ships");
    scenario.server = ServerKind::Knfsd;
    scenario.directory.made = Made::Export;
    scenario.mount.options = String::new();
    scenario
}

/// Processors of the machine: nearly every one has several. Of a kernel that keeps nothing of who allocated what, each has slabs and lists
/// of its own.
fn processors(stock: bool) -> u32 {
    if stock { 4 } else { 2 }
}

/// A guest that runs command lines of the dirleak that was built.
pub struct Guest {
    machine: Machine,
    /// Whether process 1 runs the units of its scenario beside each command line.
    is_busy: bool,
    _slot: Slots,
}

impl Guest {
    pub fn start(spec: &str, stock: bool) -> Result<Self, Failed> {
        Self::start_with(spec, stock, "")
    }

    /// Starts one whose kernel gets these arguments after all others.
    fn start_with(spec: &str, stock: bool, kernel_arguments: &str) -> Result<Self, Failed> {
        Self::start_on(scenario(), spec, stock, kernel_arguments)
    }

    /// Starts one in which a neighbour of dirleak's has work to do.
    fn start_busy(spec: &str) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("neighbour.toml");
        fs::write(&file, include_str!("../../scenarios/quick.toml").to_owned() + NEIGHBOUR)?;
        let busy = load(&file.to_string_lossy())?;
        let scenario = Scenario { unit: busy.unit, ..scenario() };
        Ok(Self { is_busy: true, ..Self::start_on(scenario, spec, true, "")? })
    }

    fn start_on(mut scenario: Scenario, spec: &str, stock: bool, kernel_arguments: &str) -> Result<Self, Failed> {
        let slot = Slots::take(processors(stock) as usize);
        let (cache, ui) = (Cache::open()?, Ui::silent());
        let kernel = kernel::resolve(spec, &kernel::build::ingredients::Options::default(), &cache, &ui)?;
        let accelerator = accelerator::choose(&kernel.image, &cache, &ui)?;
        let boot = BootOptions { program: env!("CARGO_BIN_EXE_dirleak").into(), ..BootOptions::default() };
        let options = Options { boot, stock, ..Options::default() };
        scenario.guest.cpus = processors(stock);
        scenario.guest.kernel_arguments = kernel_arguments.into();
        let job =
            Job { scenario: &scenario, kernel: &kernel, accelerator, options: &options.boot, cache: &cache, ui: &ui };
        let machine = Machine::start(&job, options.debugging(&scenario, &kernel)).map_err(|ended| told(&ended))?;
        Ok(Self { machine, is_busy: false, _slot: slot })
    }

    /// Runs command lines beside each other; `listing` has another process list meanwhile.
    pub fn execute(&mut self, commands: &[CommandLine], listing: bool) -> Result<Vec<CommandOutput>, Failed> {
        self.machine.execute(commands, listing).map_err(|ended| told(&ended))
    }

    /// Runs one.
    pub fn run(&mut self, command: CommandLine) -> Result<CommandOutput, Failed> {
        Ok(self.execute(&[command], self.is_busy)?.remove(0))
    }

    pub fn finish(self) -> Trialled {
        self.machine.finish().map_err(|ended| told(&ended))
    }
}

fn told(ended: &AgentError) -> Failed {
    format!("the guest ended early: {ended:?}").into()
}

/// A command line of root, whose result is wanted.
pub fn command(words: &[&str]) -> CommandLine {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    CommandLine {
        arguments: words,
        files: [RESULT, BUNDLE, METRICS].map(str::to_owned).into(),
        ..CommandLine::default()
    }
}

/// Fails the trial, showing what the command line said, unless `holds`.
pub fn must(ended: &CommandOutput, holds: bool, otherwise: impl FnOnce() -> String) -> Trialled {
    if holds {
        return Ok(());
    }
    let CommandOutput { status, stdout, stderr, .. } = ended;
    Err(format!("{}\nit ended with {status:?}\n{stderr}{stdout}", otherwise()).into())
}

/// The only record of a result.
pub fn record(ended: &CommandOutput) -> Result<RunRecord, Failed> {
    let bytes = ended.files.get(RESULT);
    must(ended, bytes.is_some(), || "it wrote no result".into())?;
    let bytes = bytes.expect("it is there");
    let faults = faults_of(bytes)?;
    must(ended, faults.is_empty(), || format!("its result is not as the schema has it: {faults:?}"))?;
    let mut file: ResultFile = serde_json::from_slice(bytes)?;
    must(ended, file.results.len() == 1, || "it wrote no result of one run".into())?;
    Ok(file.results.remove(0))
}

/// Measures as people type it, at the usual pace.
fn measured(guest: &mut Guest, status: i32, verdict: Verdict) -> Result<(CommandOutput, RunRecord), Failed> {
    let (ended, record) = measured_anywhere(guest, status, verdict)?;
    let stock = record.setup.as_ref().is_some_and(|setup| setup.stock);
    has_processors(&ended, &record, u64::from(processors(stock)))?;
    Ok((ended, record))
}

/// The record tells as many processors.
fn has_processors(ended: &CommandOutput, record: &RunRecord, expected: u64) -> Trialled {
    let all = record.setup.as_ref().map_or(0, |setup| setup.cpus);
    must(ended, all == expected, || format!("it is said to have {all} processors"))
}

/// Does the same on a machine some of whose processors are not to be used.
fn measured_anywhere(guest: &mut Guest, status: i32, verdict: Verdict) -> Result<(CommandOutput, RunRecord), Failed> {
    let ended = guest.run(command(&USUAL))?;
    let record = record(&ended)?;
    must(&ended, record.verdict == verdict, || format!("the verdict is not {}", verdict.as_str()))?;
    must(&ended, ended.status == Some(status), || format!("the exit status is not {status}"))?;
    must(&ended, ended.stdout.contains(&record.reason), || "the reason is not shown".into())?;
    let (listings, cold, complete) = (record.listings, record.cold_listings, record.complete_listings);
    let all = listings > 0 && cold == listings && complete == listings;
    must(&ended, all, || format!("of {listings} listings {cold} were cold and {complete} complete"))?;
    let live = record.accelerator == "none" && record.kernel.spec == "host" && record.scenario == "/mnt";
    must(&ended, live, || "the record is not of a live machine".into())?;
    Ok((ended, record))
}

fn clean(spec: &str, stock: bool) -> Trialled {
    let mut guest = Guest::start(spec, stock)?;
    measured(&mut guest, 0, Verdict::Clean)?;
    guest.finish()
}

fn without_tick_is_clean() -> Trialled {
    let mut guest = Guest::start_with(DEBIANS, true, WITHOUT_TICK)?;
    let (ended, record) = measured_anywhere(&mut guest, 0, Verdict::Clean)?;
    has_processors(&ended, &record, NOT_ISOLATED)?;
    guest.finish()
}

fn without_tick_leaks() -> Trialled {
    let mut guest = Guest::start_with(DEBIANS_LEAKING, true, WITHOUT_TICK)?;
    let (ended, record) = measured_anywhere(&mut guest, 1, Verdict::Leak)?;
    has_processors(&ended, &record, NOT_ISOLATED)?;
    leaks_its_names(&ended, &record)?;
    guest.finish()
}

/// Others do what they do all the while: it is clean, or undecided with the reason.
fn busy_accuses_nothing() -> Trialled {
    let mut guest = Guest::start_busy(FIXED)?;
    let ended = guest.run(command(&[&USUAL[..], &BUSY_BUDGET].concat()))?;
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

/// The rate is what the model says of so many entries.
fn is_at_its_rate(ended: &CommandOutput, record: &RunRecord, finding: &Finding) -> Trialled {
    let mut scenario = scenario();
    scenario.directory.entries = record.entries;
    let modelled = spare_pages::listing(FIXED, &scenario).leaked as f64;
    let rate = finding.objects_per_listing.estimate;
    let near = (rate - modelled).abs() <= RATE_TOLERANCE * modelled;
    must(ended, near, || format!("{rate} names per listing leaked, and {modelled} are to"))
}

/// It is one leak, of names, at its rate and with the function that allocates them.
fn leaks_its_names(ended: &CommandOutput, record: &RunRecord) -> Trialled {
    let [finding] = record.findings.as_slice() else {
        return must(ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    must(ended, finding.name == "kmalloc-256", || format!("the leak is in {}", finding.name))?;
    let site = finding.call_sites.first();
    let named = site.is_some_and(|site| site.function == CALL_SITE && site.share > 0.95 && !site.stack.is_empty());
    must(ended, named, || format!("the call site is {site:?}"))?;
    is_at_its_rate(ended, record, finding)
}

fn leaks(mut guest: Guest) -> Trialled {
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    leaks_its_names(&ended, &record)?;
    evidence(&ended)?;
    must(&ended, !ended.stdout.contains("unmount"), || "it speaks of unmounting, which it never did".into())?;
    guest.finish()
}

fn clean_and_refusals() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    measured(&mut guest, 0, Verdict::Clean)?;
    refuses(&mut guest, &["host", "/mnt"], 0, 129, "say --yes if that may be")?;
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

/// It ends with `status` and one sentence that contains `expected`.
pub fn refuses(guest: &mut Guest, words: &[&str], user: u32, status: i32, expected: &str) -> Trialled {
    let ended = guest.run(CommandLine { user, files: Vec::new(), ..command(words) })?;
    must(&ended, ended.status == Some(status), || format!("{words:?} does not end with {status}"))?;
    let one = ended.stderr.trim_end().lines().count() == 1 && ended.stdout.is_empty();
    must(&ended, one && ended.stderr.contains(expected), || {
        format!("{words:?} does not say {expected:?} in one sentence")
    })
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

/// What is in a file after a command line.
fn says(ended: &CommandOutput, file: &str) -> String {
    ended.files.get(file).map(|text| String::from_utf8_lossy(text).trim().to_owned()).unwrap_or_default()
}

/// Somebody else traces all the while, with events of his own.
fn beside_another_trace() -> Trialled {
    let mut guest = Guest::start_with(LEAKING, true, SOMEBODY_TRACES)?;
    let files: Vec<String> =
        [&OTHERS_TRACE[..], &[OTHERS_ENTRIES, TRACE_BUFFERS, RESULT]].concat().into_iter().map(str::to_owned).collect();
    let looked = guest.run(CommandLine { files: files.clone(), ..command(&["--version"]) })?;
    must(&looked, says(&looked, TRACED_EVENTS).contains("sched:sched_process_exit"), || "nobody traces".into())?;
    let ended = guest.run(CommandLine { files, ..command(&USUAL[..5]) })?;
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
