//! The guest in which `host` runs, and what is asked of every verdict there.

use crate::guest::Machine;
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
use std::fs;
use std::path::Path;
use std::time::Duration;

pub const FIXED: &str = "6.1";
pub const LEAKING: &str = "6.1+spare-pages";
pub const CALL_SITE: &str = "nfs_readdir_page_array_append";
pub const RESULT: &str = "/run/result.json";
pub const BUNDLE: &str = "/run/evidence.tar.gz";
/// How often caches were dropped, and what was read from disks, since boot.
pub const EVENTS: &str = "/proc/vmstat";
pub const DISKS: &str = "/proc/diskstats";
pub const DENTRIES: &str = "/proc/sys/fs/dentry-state";
pub const METRICS: &str = "/run/dirleak.prom";
/// Names a directory that is to have the results that `host` wrote in guests, for `examples/record_noise` or to look into.
pub const KEEP_IN: &str = "DIRLEAK_KEEP_IN";
/// How far the measured rate may be from the modelled one.
pub const RATE_TOLERANCE: f64 = 0.02;
/// As kernels boot by default (CONFIG_SLAB_MERGE_DEFAULT): given last, it holds against what keeps caches apart.
pub const MERGES: &str = "slab_merge";
/// What a busy neighbour does again and again, two seconds of every four: it starts programs, opens files, and fills and drops pages.
pub const NEIGHBOUR: &str = "\n[unit]\nsteps = [{ run = \"sh -c 'for n in 1 2 3 4 5 6 7 8; do cat /proc/self/maps /proc/mounts > /tmp/$n; \
    head -c 300000 /dev/zero >> /tmp/$n; done; cat /tmp/* > /dev/null; rm /tmp/[1-8]'\" }]\n";
/// As people type it.
pub const USUAL: [&str; 8] = ["host", "/mnt", "--drop-caches", "--yes", "--json", RESULT, "--bundle", BUNDLE];
/// A guest is slow.
pub const PATIENT: [&str; 2] = ["--budget", "400"];

/// For some command lines of so many seconds each. A guest that hangs is ended much sooner.
const MOST_TIME: Duration = Duration::from_secs(3600);

/// The files of `quick` behind knfsd, mounted as people mount.
pub fn scenario() -> Scenario {
    let mut scenario = load("quick").expect("it ships");
    scenario.server = ServerKind::Knfsd;
    scenario.directory.made = Made::Export;
    scenario.mount.options = String::new();
    scenario
}

/// Processors of the machine: nearly every one has several. Of a kernel that keeps nothing of who allocated what, each has slabs and lists
/// of its own.
pub fn processors(stock: bool) -> u32 {
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
    pub fn start_with(spec: &str, stock: bool, kernel_arguments: &str) -> Result<Self, Failed> {
        Self::start_of(spec, stock, kernel_arguments, scenario())
    }

    /// Starts one in which a neighbour of dirleak's has work to do.
    pub fn start_busy(spec: &str) -> Result<Self, Failed> {
        Self::start_beside(spec, NEIGHBOUR)
    }

    /// Starts one in which a neighbour does a unit, given as the table of a scenario, again and again.
    pub fn start_beside(spec: &str, unit: &str) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("neighbour.toml");
        fs::write(&file, include_str!("../../../scenarios/quick.toml").to_owned() + unit)?;
        let busy = load(&file.to_string_lossy())?;
        let scenario = Scenario { unit: busy.unit, ..scenario() };
        Ok(Self { is_busy: true, ..Self::start_of(spec, true, "", scenario)? })
    }

    pub fn start_of(spec: &str, stock: bool, kernel_arguments: &str, mut scenario: Scenario) -> Result<Self, Failed> {
        let slot = Slots::take(processors(stock) as usize);
        let (cache, ui) = (Cache::open()?, Ui::silent());
        let kernel = kernel::resolve(spec, &kernel::build::ingredients::Options::default(), &cache, &ui)?;
        let accelerator = accelerator::choose(&kernel.image, &cache, &ui)?;
        let boot = BootOptions { program: env!("CARGO_BIN_EXE_dirleak").into(), ..BootOptions::default() };
        let boot = boot.within(MOST_TIME);
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

pub fn told(ended: &AgentError) -> Failed {
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

/// The only record of a result, which is kept if that is asked for.
pub fn record(ended: &CommandOutput) -> Result<RunRecord, Failed> {
    let bytes = ended.files.get(RESULT);
    must(ended, bytes.is_some(), || "it wrote no result".into())?;
    let bytes = bytes.expect("it is there");
    let faults = faults_of(bytes)?;
    must(ended, faults.is_empty(), || format!("its result is not as the schema has it: {faults:?}"))?;
    let mut file: ResultFile = serde_json::from_slice(bytes)?;
    must(ended, file.results.len() == 1, || "it wrote no result of one run".into())?;
    let record = file.results.remove(0);
    if let Some(dir) = std::env::var_os(KEEP_IN) {
        fs::write(Path::new(&dir).join(format!("host-{}-{}.json", record.kernel.release, record.seed)), bytes)?;
    }
    Ok(record)
}

/// Measures as people type it, at the usual pace.
pub fn measured(guest: &mut Guest, status: i32, verdict: Verdict) -> Result<(CommandOutput, RunRecord), Failed> {
    measured_by(&USUAL, guest, status, verdict)
}

/// Measures with these words, on all processors of the machine.
pub fn measured_by(
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
pub fn has_processors(ended: &CommandOutput, record: &RunRecord, expected: u64) -> Trialled {
    let all = record.setup.as_ref().map_or(0, |setup| setup.cpus);
    must(ended, all == expected, || format!("it is said to have {all} processors"))
}

/// Does the same on a machine some of whose processors are not to be used.
pub fn measured_anywhere(
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

/// The rate is what the model says of so many entries.
pub fn is_at_its_rate(ended: &CommandOutput, record: &RunRecord, finding: &Finding) -> Trialled {
    let mut scenario = scenario();
    scenario.directory.entries = record.entries;
    let modelled = spare_pages::listing(FIXED, &scenario).leaked as f64;
    let rate = finding.objects_per_listing.estimate;
    let near = (rate - modelled).abs() <= RATE_TOLERANCE * modelled;
    must(ended, near, || format!("{rate} names per listing leaked, and {modelled} are to"))
}

/// The names of the listings leak, at their rate, and with the function that allocates them.
pub fn is_the_leak(ended: &CommandOutput, record: &RunRecord) -> Trialled {
    let [finding] = record.findings.as_slice() else {
        return must(ended, false, || format!("one leak is {} findings", record.findings.len()));
    };
    must(ended, finding.name == "kmalloc-256", || format!("the leak is in {}", finding.name))?;
    let site = finding.call_sites.first();
    let named = site.is_some_and(|site| site.function == CALL_SITE && site.share > 0.95 && !site.stack.is_empty());
    must(ended, named, || format!("the call site is {site:?}"))?;
    is_at_its_rate(ended, record, finding)
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

/// What is in a file after a command line.
pub fn says(ended: &CommandOutput, file: &str) -> String {
    ended.files.get(file).map(|text| String::from_utf8_lossy(text).trim().to_owned()).unwrap_or_default()
}
