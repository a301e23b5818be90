//! `dirleak host`: a directory on a live machine and its real NFS mount.

use super::measure_args::positive;
use crate::boot::job::BootOptions;
use crate::error::{Error, Exit, Result};
use crate::host::monitor::Monitoring;
use crate::host::mount::Mounted;
use crate::host::synthetic::SyntheticMount;
use crate::host::target::Budget;
use crate::host::{self, HostJob, Listed};
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::probe::kernel_files::KernelFiles;
use crate::probe::memory;
use crate::report;
use crate::result::file::ResultFile;
use crate::result::record::RunRecord;
use crate::run::options::Options;
use crate::text::number;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Say whether this machine leaks memory when it lists a directory of one of its NFS mounts.
///
/// Lists DIR and a local directory in rounds and reads how many kernel objects stay. Of the machine's caches only the pages of DIR are dropped.
/// Never reads a file, and writes into DIR only with --scratch. Needs root. Exit status as of run.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A directory on an NFS mount of this machine.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Without DIR: serve a directory of so many made-up names on the loopback address, mount it where no other process sees it, list that, and
    /// take it away.
    #[arg(long, value_name = "ENTRIES", num_args = 0..=1, require_equals = true, default_missing_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000), conflicts_with_all = ["dir", "scratch", "passive", "watch"])]
    synthetic: Option<u64>,
    /// Write the result to this file, as JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    json: Option<PathBuf>,
    /// Pack the evidence for a bug mail into this file, a .tar.gz; no name of a file in DIR is in it.
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    bundle: Option<PathBuf>,
    /// Drop page cache, dentries and inodes of the whole machine before each reading: less moves by itself, and what the kernel keeps in
    /// caches is looked at, too. Asks first.
    #[arg(long, conflicts_with_all = ["passive", "watch"])]
    drop_caches: bool,
    /// With --drop-caches: drop them without asking.
    #[arg(long)]
    yes: bool,
    /// Make so many empty files in a directory of their own in DIR, list that, and remove it.
    #[arg(long, value_name = "ENTRIES", num_args = 0..=1, require_equals = true, default_missing_value = "1000",
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    scratch: Option<u64>,
    /// Drop nothing and list nothing: watch what grows with the READDIR calls of others.
    #[arg(long, conflicts_with_all = ["scratch", "watch"])]
    passive: bool,
    /// Watch until stopped: growth by cache, by READDIR call and by day, and when memory will be gone.
    #[arg(long, conflicts_with = "scratch")]
    watch: bool,
    /// With --watch: keep the last reading in this file (*.prom), for a node exporter's textfile directory.
    #[arg(long, value_name = "FILE", requires = "watch")]
    textfile: Option<PathBuf>,
    /// With --watch: tell which functions of NFS allocate objects that stay longer than so many seconds, by tracing a sample of them all the
    /// while.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "120", value_parser = positive,
        requires = "watch")]
    attribute: Option<f64>,
    /// With --passive and --watch: read this often.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = positive)]
    interval: f64,
    /// Begin no listing after this; a reading that has begun is not broken off. Without it a measurement takes up to 300 s, --passive 600 s,
    /// and --watch goes on until it is stopped.
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    budget: Option<f64>,
    /// List no more often than this.
    #[arg(long, value_name = "NUMBER", default_value_t = 100.0, value_parser = positive)]
    listings_per_second: f64,
    /// The smallest rate that counts, in objects per listing.
    #[arg(long, value_name = "RATE", default_value_t = crate::verdict::judge::MIN_RATE, value_parser = positive)]
    min_rate: f64,
    /// Seed of the order of the rounds, and of names that are made. Without this it is drawn, and told in the result.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Make at least so many listings before anything is called clean: what leaks in fewer than one of about a fifth as many is not
    /// excluded.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    listings: Option<u64>,
    /// Call growth a leak only when it has gone past what a cache of so many objects holds.
    #[arg(long, value_name = "N", default_value_t = crate::run::options::LARGEST_CACHE,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    largest_cache: u64,
}

const MEASURING_SECONDS: f64 = 300.0;
const PASSIVE_SECONDS: f64 = 600.0;

/// Measures or watches, shows, and gives the status of the verdict.
pub fn run(arguments: &Args) -> Result<Exit> {
    if arguments.dir.is_none() && arguments.synthetic.is_none() {
        return Err(Error::usage(
            "<DIR> is missing: name a directory of an NFS mount of this machine (`findmnt -t nfs,nfs4` shows them), or say --synthetic, which \
             needs none",
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::usage("dirleak host reads the kernel's memory, for which it must be root; use sudo"));
    }
    let mut named = arguments.dir.as_deref().map(Mounted::find).transpose()?;
    let target = arguments.json.as_deref().map(OutputFile::check).transpose()?;
    let bundle = arguments.bundle.as_deref().map(|path| OutputFile::check_other(path, "bundle")).transpose()?;
    if let (true, Some(mounted)) = (arguments.watch, &named) {
        return watch(arguments, mounted);
    }
    if arguments.drop_caches {
        consent(arguments)?;
    }
    let options = options(arguments);
    let ours = arguments.synthetic.map(|entries| SyntheticMount::make(entries, options.boot.seed)).transpose()?;
    if let Some(ours) = &ours {
        named = Some(ours.mounted()?);
    }
    let mounted = named.expect("a directory was named, or one of ours was made");
    let mount = mounted.mount.clone();
    let mut file = ResultFile::new();
    file.results.push(match &ours {
        _ if arguments.passive => passive(arguments, mounted)?,
        Some(ours) => measure(arguments, &options, mounted, Listed::Synthetic(ours))?,
        None => measure(arguments, &options, mounted, arguments.scratch.map_or(Listed::Named, Listed::Scratch))?,
    });
    if let Some(target) = target {
        target.write(&file)?;
    }
    let text = if arguments.passive {
        let record = &file.results[0];
        host::passive::text(record, &report::allocation_sites::lines(record))
    } else {
        report::text::render(&file)
    };
    if let Some(bundle) = bundle {
        host::bundle::write(&bundle, &file, &text, &mount)?;
    }
    ours.map_or(Ok(()), SyntheticMount::take_away)?;
    super::output::print(&text)?;
    Ok(super::run::exit(&file.results))
}

fn measure(arguments: &Args, options: &Options, mounted: Mounted, listed: Listed) -> Result<RunRecord> {
    let whole = Duration::from_secs_f64(arguments.budget.unwrap_or(MEASURING_SECONDS));
    let budget = Budget { whole, listings_per_second: arguments.listings_per_second };
    host::run(HostJob { mounted, listed, drops_caches: arguments.drop_caches, budget, options, ui: &Ui::new() })
}

fn options(arguments: &Args) -> Options {
    Options {
        boot: BootOptions { seed: arguments.seed.unwrap_or_else(super::seed::drawn), ..BootOptions::default() },
        min_rate: arguments.min_rate,
        listings: arguments.listings,
        largest_cache: arguments.largest_cache,
        ..Options::default()
    }
}

fn passive(arguments: &Args, mounted: Mounted) -> Result<RunRecord> {
    let whole = Duration::from_secs_f64(arguments.budget.unwrap_or(PASSIVE_SECONDS));
    let (files, interval) = (KernelFiles::of_this_machine(), Duration::from_secs_f64(arguments.interval));
    host::passive::run(&files, mounted, whole, interval, arguments.min_rate, &Ui::new())
}

fn watch(arguments: &Args, mounted: &Mounted) -> Result<Exit> {
    let checked = arguments.textfile.as_deref().map(|path| {
        if path.extension().is_none_or(|end| end != "prom") {
            let shown = path.display();
            return Err(Error::usage(format!("a node exporter reads files that end in .prom, which {shown} does not")));
        }
        OutputFile::check_other(path, "file for Prometheus")
    });
    let end = arguments.budget.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let interval = Duration::from_secs_f64(arguments.interval);
    let (files, textfile) = (KernelFiles::of_this_machine(), checked.transpose()?);
    let how = Monitoring { interval, end, textfile: textfile.as_ref(), attributed_seconds: arguments.attribute };
    host::monitor::run(&files, mounted, &how, &mut std::io::stdout())?;
    Ok(Exit::Clean)
}

/// Says what dropping caches costs, and asks, unless that was answered already.
fn consent(arguments: &Args) -> Result<()> {
    if arguments.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Error::usage(
            "dirleak host --drop-caches drops the caches of this machine and asks first, but there is no terminal to ask on; say --yes \
             if that may be",
        ));
    }
    eprint!("{} Go on? [y/N] ", cost(arguments.budget.unwrap_or(MEASURING_SECONDS)));
    let mut answer = String::new();
    let _ = std::io::stdin().read_line(&mut answer);
    if answer.trim().eq_ignore_ascii_case("y") || answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Error::usage("nothing was done, as the answer was not yes"))
}

/// Returns what dropping caches costs, as far as it can be told.
fn cost(budget: f64) -> String {
    let cached = memory::kib("Cached").map_or("all".into(), |kib| number::bytes(kib as f64 * 1024.0));
    format!(
        "This drops page cache ({cached} now), dentries and inodes of this machine some 20 to 50 times within {budget:.0} s: whatever runs \
         here reads from disks and servers again what it had in memory, and is slower meanwhile. No data is lost."
    )
}
