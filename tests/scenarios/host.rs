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
use dirleak::internals::protocol::message::{CommandLine, CommandOutput, Confinement};
use dirleak::internals::run::options::Options;
use dirleak::internals::scenario::{FileSystem, Scenario, ServerKind, load};
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
/// How often caches were dropped, and what was read from disks, since boot.
const EVENTS: &str = "/proc/vmstat";
const DISKS: &str = "/proc/diskstats";
const DENTRIES: &str = "/proc/sys/fs/dentry-state";
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
const TICKLESS: &str = "6.1:amd64";
const TICKLESS_LEAKING: &str = "6.1:amd64+spare-pages";
const WITHOUT_TICK: &str = "nohz_full=1,2 isolcpus=3";
/// Processors that are left for dirleak there.
const NOT_ISOLATED: u64 = 3;

/// What a busy neighbour does again and again, two seconds of every four: it starts programs, opens files, and fills and drops pages.
const NEIGHBOUR: &str = "\n[unit]\nsteps = [{ run = \"sh -c 'for n in 1 2 3 4 5 6 7 8; do cat /proc/self/maps /proc/mounts > /tmp/$n; \
    head -c 300000 /dev/zero >> /tmp/$n; done; cat /tmp/* > /dev/null; rm /tmp/[1-8]'\" }]\n";

/// Seconds that are enough for a leak to be told there, and may not be for what is clean.
const BUSY_BUDGET: [&str; 2] = ["--budget", "120"];

/// A kernel that frees something of each listing by kfree_rcu() alone, which gathers it for up to 5 s.
const PUTS_OFF: &str = "6.1+honest-kfree-rcu";
/// Debian's other kernels as they come.
const DEBIANS_OTHERS: [&str; 3] = ["5.10:cloud", "6.1:amd64", "6.12:cloud"];

/// Debian's own kernel as it comes, which merges caches, and with the module rebuilt so that it leaks.
const DEBIANS: &str = "6.1:cloud";
const DEBIANS_LEAKING: &str = "6.1:cloud+spare-pages";
/// Of a machine that keeps its kernel's memory from root.
const LOCKS_DOWN: &str = "lockdown=confidentiality";

/// As people type it.
const USUAL: [&str; 8] = ["host", "/mnt", "--drop-caches", "--yes", "--json", RESULT, "--bundle", BUNDLE];
/// The same without dropping a cache of the machine, which needs no consent.
const GENTLE: [&str; 6] = ["host", "/mnt", "--json", RESULT, "--bundle", BUNDLE];
/// A guest is slow.
const PATIENT: [&str; 2] = ["--budget", "400"];

pub fn cases() -> Vec<Case> {
    let others = DEBIANS_OTHERS.map(|spec| {
        let name = format!("host on Debian's own {spec} is clean though no cache is dropped");
        Case::new(name, &[spec], move |_| gently_clean(Guest::start(spec, true)?))
            .ignored_because(left_out_unless(spec, spec))
    });
    let mut cases = vec![
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
        Case::new("host on a stock 6.1 is clean though no cache of the machine is dropped", &[FIXED], |_| {
            gently_clean(Guest::start(FIXED, true)?)
        }),
        Case::new(
            "host on a stock 6.1 that merges caches is clean though none of the machine is dropped",
            &[FIXED],
            |_| gently_clean(Guest::start_with(FIXED, true, MERGES)?),
        ),
        Case::new("host on a stock 6.1+spare-pages finds the leak though no cache is dropped", &[LEAKING], |_| {
            gently_leaks(Guest::start(LEAKING, true)?)
        }),
        Case::new(
            "host on a stock 6.1+spare-pages that merges caches finds the leak though no cache is dropped",
            &[LEAKING],
            |_| gently_leaks(Guest::start_with(LEAKING, true, MERGES)?),
        ),
        Case::new(
            "host is clean though no cache is dropped where the kernel puts off what it frees",
            &[PUTS_OFF],
            |_| gently_clean(Guest::start(PUTS_OFF, true)?),
        ),
        Case::new("host on a stock 6.12 is clean though no cache of the machine is dropped", &["6.12"], |_| {
            gently_clean(Guest::start("6.12", true)?)
        })
        .ignored_because(left_out("6.12")),
        Case::new(
            "host on Debian's own 6.1 that leaks finds it though no cache is dropped",
            &[DEBIANS_LEAKING],
            |_| gently_leaks(Guest::start(DEBIANS_LEAKING, true)?),
        )
        .ignored_because(left_out_unless(DEBIANS_LEAKING, DEBIANS)),
        Case::new("host on Debian's own 6.1 has no disk read again, and with --drop-caches it has", &[DEBIANS], |_| {
            reads_of_a_disk()
        })
        .ignored_because(left_out_unless(DEBIANS, DEBIANS)),
        Case::new(
            "host under lockdown=confidentiality is clean, and says that no function is named",
            &[DEBIANS],
            |_| locked_down(),
        )
        .ignored_because(left_out_unless(DEBIANS, DEBIANS)),
        Case::new(
            "host on a stock 6.1 accuses nothing beside others who list, though no cache is dropped",
            &[FIXED],
            |_| gently_beside_others(),
        ),
        Case::new("host in a container says what is kept from it, and judges by what is left", &[LEAKING], |_| {
            contained()
        }),
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
    ];
    cases.extend(others);
    cases
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
        Self::start_of(spec, stock, kernel_arguments, scenario())
    }

    /// Starts one in which a neighbour of dirleak's has work to do.
    fn start_busy(spec: &str) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("neighbour.toml");
        fs::write(&file, include_str!("../../scenarios/quick.toml").to_owned() + NEIGHBOUR)?;
        let busy = load(&file.to_string_lossy())?;
        let scenario = Scenario { unit: busy.unit, ..scenario() };
        Ok(Self { is_busy: true, ..Self::start_of(spec, true, "", scenario)? })
    }

    fn start_of(spec: &str, stock: bool, kernel_arguments: &str, mut scenario: Scenario) -> Result<Self, Failed> {
        let slot = Slots::take(processors(stock) as usize);
        let (cache, ui) = (Cache::open()?, Ui::silent());
        let kernel = kernel::resolve(spec, &kernel::build::ingredients::Options::default(), &cache, &ui)?;
        let accelerator = accelerator::choose(&kernel.image, &cache, &ui)?;
        let boot = BootOptions { program: env!("CARGO_BIN_EXE_dirleak").into(), ..BootOptions::default() };
        let options = Options { boot, stock, ..Options::default() };
        // Debian's kernels for clouds look for processors in tables of a firmware, which guests do not have.
        scenario.guest.cpus = if spec.contains(":cloud") { 1 } else { processors(stock) };
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
        files: [RESULT, BUNDLE, METRICS, EVENTS, DISKS, DENTRIES].map(str::to_owned).into(),
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
    measured_by(&USUAL, guest, status, verdict)
}

/// Measures with these words, on all processors of the machine.
fn measured_by(
    words: &[&str],
    guest: &mut Guest,
    status: i32,
    verdict: Verdict,
) -> Result<(CommandOutput, RunRecord), Failed> {
    let (ended, record) = measured_anywhere(words, guest, status, verdict)?;
    let stock = record.setup.as_ref().is_some_and(|setup| setup.stock);
    let is_for_clouds = record.kernel.release.ends_with("-cloud-amd64");
    let expected = if is_for_clouds { 1 } else { processors(stock) };
    has_processors(&ended, &record, u64::from(expected))?;
    Ok((ended, record))
}

/// The record tells as many processors.
fn has_processors(ended: &CommandOutput, record: &RunRecord, expected: u64) -> Trialled {
    let all = record.setup.as_ref().map_or(0, |setup| setup.cpus);
    must(ended, all == expected, || format!("it is said to have {all} processors"))
}

/// Does the same on a machine some of whose processors are not to be used.
fn measured_anywhere(
    words: &[&str],
    guest: &mut Guest,
    status: i32,
    verdict: Verdict,
) -> Result<(CommandOutput, RunRecord), Failed> {
    let ended = guest.run(command(words))?;
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

fn leaks(mut guest: Guest) -> Trialled {
    let (ended, record) = measured(&mut guest, 1, Verdict::Leak)?;
    is_the_leak(&ended, &record)?;
    evidence(&ended)?;
    must(&ended, !ended.stdout.contains("unmount"), || "it speaks of unmounting, which it never did".into())?;
    guest.finish()
}

/// The names of the listings leak, at their rate, and with the function that allocates them.
fn is_the_leak(ended: &CommandOutput, record: &RunRecord) -> Trialled {
    let [finding] = record.findings.as_slice() else {
        return must(ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    must(ended, finding.name == "kmalloc-256", || format!("the leak is in {}", finding.name))?;
    let site = finding.call_sites.first();
    let named = site.is_some_and(|site| site.function == CALL_SITE && site.share > 0.95 && !site.stack.is_empty());
    must(ended, named, || format!("the call site is {site:?}"))?;
    is_at_its_rate(ended, record, finding)
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

/// Measures without dropping a cache of the machine, and looks whether that is true, and said.
fn gently(guest: &mut Guest, status: i32, verdict: Verdict) -> Result<(CommandOutput, RunRecord), Failed> {
    let looked = guest.run(command(&["--version"]))?;
    let (ended, record) = measured_by(&[&GENTLE[..], &PATIENT].concat(), guest, status, verdict)?;
    let (before, after) = (drops(&looked), drops(&ended));
    let is_counted = before.len() == 2 || !record.kernel.release.ends_with("-amd64");
    must(&ended, is_counted && before == after, || format!("caches were dropped: {before:?}, then {after:?}"))?;
    let (dentries, listed) = (unused_dentries(&ended), record.entries);
    must(&ended, dentries >= listed, || format!("of {listed} names {dentries} dentries are left in the cache"))?;
    let setup = record.setup.as_ref();
    must(&ended, setup.is_some_and(|setup| !setup.caches_dropped), || "the record says that they were".into())?;
    let told = record.not_looked_for.iter().find(|source| source.contains("--drop-caches"));
    let names_some = told.is_some_and(|told| told.contains("dentry, nfs_inode_cache"));
    must(&ended, names_some, || format!("not looked for are {:?}", record.not_looked_for))?;
    let read = record.rounds.iter().flat_map(|round| round.samples.keys());
    let cached: Vec<_> = read.filter(|name| ["dentry", "nfs_inode_cache"].contains(&name.as_str())).collect();
    must(&ended, cached.is_empty(), || format!("they are judged all the same: {cached:?}"))?;
    Ok((ended, record))
}

/// Dentries that nobody uses, as those of names that were listed, which go when caches are dropped.
fn unused_dentries(ended: &CommandOutput) -> u64 {
    says(ended, DENTRIES).split_whitespace().nth(1).and_then(|unused| unused.parse().ok()).unwrap_or_default()
}

/// How often page cache, and slab caches, were dropped since boot; nothing where the kernel does not count events (small ones of our own).
fn drops(ended: &CommandOutput) -> Vec<String> {
    let events = says(ended, EVENTS);
    events.lines().filter(|line| line.starts_with("drop_")).map(str::to_owned).collect()
}

/// Process 1 lists the same directory now and then. What that makes move is no leak, and what it hides is told with what tells more.
fn gently_beside_others() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    let words = [&GENTLE[..], &["--listings-per-second", "10000", "--budget", "60"]].concat();
    let ended = guest.execute(&[command(&words)], true)?.remove(0);
    let record = record(&ended)?;
    match (record.verdict, ended.status) {
        (Verdict::Clean, Some(0)) => {}
        (Verdict::Undecided, Some(125)) => notes_once(&ended, &record, "with --drop-caches there is less")?,
        _ => must(&ended, false, || "it accuses something".into())?,
    }
    must(&ended, unused_dentries(&ended) >= record.entries, || "what others use was dropped".into())?;
    guest.finish()
}

fn gently_clean(mut guest: Guest) -> Trialled {
    gently(&mut guest, 0, Verdict::Clean)?;
    guest.finish()
}

fn gently_leaks(mut guest: Guest) -> Trialled {
    let (ended, record) = gently(&mut guest, 1, Verdict::Leak)?;
    is_the_leak(&ended, &record)?;
    guest.finish()
}

/// Sectors that were read from disks since boot.
fn sectors(ended: &CommandOutput) -> u64 {
    let of_line = |line: &str| line.split_whitespace().nth(5)?.parse::<u64>().ok();
    says(ended, DISKS).lines().filter_map(of_line).sum()
}

/// Files of the server are on a disk and in its memory: what is dropped must be read again. Whether noise lets it decide is not the question.
fn reads_of_a_disk() -> Trialled {
    let mut on_disk = scenario();
    on_disk.export.file_system = FileSystem::Ext4;
    let mut guest = Guest::start_of(DEBIANS, true, "", on_disk)?;
    let mut sectors_after = |words: &[&str]| {
        let ended = guest.run(command(&[words, &["--listings-per-second", "10000", "--budget", "60"]].concat()))?;
        must(&ended, matches!(ended.status, Some(0 | 125)), || "it accuses something".into())?;
        must(&ended, drops(&ended).len() == 2, || "it does not say how often caches were dropped".into())?;
        Ok::<_, Failed>((sectors(&ended), drops(&ended), ended))
    };
    let (before, dropped, _) = sectors_after(&GENTLE)?;
    let (after_gentle, dropped_after_gentle, gentle) = sectors_after(&GENTLE)?;
    let nothing = before > 0 && (after_gentle, &dropped_after_gentle) == (before, &dropped);
    must(&gentle, nothing, || format!("{} sectors were read again", after_gentle - before))?;
    let (after_strong, dropped_after_strong, strong) = sectors_after(&USUAL)?;
    let all = after_strong > after_gentle && dropped_after_strong != dropped;
    must(&strong, all, || "what was dropped was not read again".into())?;
    guest.finish()
}

/// What is closed is told by one note that says what is left and what mends it.
fn locked_down() -> Trialled {
    let mut guest = Guest::start_with(DEBIANS, true, LOCKS_DOWN)?;
    let (ended, record) = gently(&mut guest, 0, Verdict::Clean)?;
    notes_once(&ended, &record, "lockdown=confidentiality closes tracefs")?;
    guest.finish()
}

fn notes_once(ended: &CommandOutput, record: &RunRecord, part: &str) -> Trialled {
    let noted = record.notes.iter().filter(|note| note.contains(part)).count();
    must(ended, noted == 1, || format!("{part:?} is not noted once: {:?}", record.notes))
}

fn contained() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    let mut within = |confined: &[Confinement], words: &[&str]| {
        guest.run(CommandLine { confined: confined.to_vec(), ..command(words) })
    };
    let words = [&GENTLE[..], &PATIENT].concat();
    let ended = within(&[Confinement::WithoutTracefs, Confinement::WithoutSysAdmin], &words)?;
    let unnamed = record(&ended)?;
    must(&ended, unnamed.verdict == Verdict::Leak, || "without CAP_SYS_ADMIN it is no leak".into())?;
    notes_once(&ended, &unnamed, "tracefs is not mounted here and this process may not mount it")?;
    is_at_its_rate(&ended, &unnamed, &unnamed.findings[0])?;
    must(&ended, unnamed.findings[0].call_sites.is_empty(), || "it names functions all the same".into())?;
    let ended = within(&[Confinement::ReadOnlyProcSys, Confinement::OneProcessor], &words)?;
    let without_pages = record(&ended)?;
    must(&ended, without_pages.verdict == Verdict::Leak, || "without /proc/sys it is no leak".into())?;
    notes_once(&ended, &without_pages, "/proc/sys is read-only here")?;
    notes_once(&ended, &without_pages, "of 4 processors this process may use 1")?;
    is_at_its_rate(&ended, &without_pages, &without_pages.findings[0])?;
    let missing = without_pages.not_looked_for.iter().any(|source| source == "pages");
    must(&ended, missing, || format!("not looked for are {:?}", without_pages.not_looked_for))?;
    for (confined, words, sentence) in [
        (Confinement::WithoutSysAdmin, &["host", "--synthetic"][..], "lacks CAP_SYS_ADMIN"),
        (Confinement::ReadOnlyProcSys, &["host", "/mnt", "--drop-caches", "--yes"], "caches are never dropped"),
        (Confinement::ReadOnlySys, &["host", "/mnt"], "--passive and --watch work all the same"),
    ] {
        let ended = within(&[confined], words)?;
        let refused = ended.status == Some(129) && ended.stderr.trim_end().lines().count() == 1;
        must(&ended, refused && ended.stderr.contains(sentence), || {
            format!("{confined:?} is not refused in a sentence")
        })?;
    }
    let ended =
        within(&[Confinement::ReadOnlySys], &["host", "/mnt", "--passive", "--interval", "1", "--budget", "3"])?;
    must(&ended, ended.status == Some(125), || "it does not watch where /sys is read-only".into())?;
    guest.finish()
}

/// As people type it who have no NFS mount at hand.
const SYNTHETIC: [&str; 5] = ["host", "--synthetic", "--yes", "--json", RESULT];
const SYNTHETIC_ENTRIES: u64 = 1000;
/// What a run could leave behind: mounts, which any process 1 would see; file systems of NFS, wherever they are mounted; sockets; files.
const LEFT: [&str; 4] = ["/proc/mounts", "/proc/fs/nfsfs/volumes", "/proc/net/tcp", "/run"];

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
