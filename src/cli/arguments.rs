//! The command line as a whole.

use super::{
    bench, bisect, ci, coverage, doctor, explore, forecast, host, kernel, manual, report, run, score, sweep, verify,
};
use crate::os::progress;
use clap::Parser;

/// Reproduces, proves and bisects kernel memory leaks in NFS directory listing.
///
/// Exit status: 0 clean or proven; 1 a leak, or not proven; 125 this kernel cannot be judged; 128 the machine failed;
/// 129 usage; 130 and 143 stopped by a signal.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
    #[command(flatten)]
    pub(super) telling: Telling,
}

/// How much is told on standard error.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is told")]
pub struct Telling {
    /// Tell nothing on the way, only what changes the meaning of the result, and errors.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell each program that is started, and more often how far things are; no bars.
    #[arg(long, short, global = true)]
    verbose: bool,
}

impl Telling {
    pub(super) fn level(&self) -> progress::Level {
        match (self.quiet, self.verbose) {
            (true, _) => progress::Level::Quiet,
            (_, true) => progress::Level::Verbose,
            _ => progress::Level::Normal,
        }
    }
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Verify(verify::Args),
    Run(run::Args),
    Bisect(bisect::Args),
    Bench(bench::Args),
    Host(host::Args),
    Kernel(kernel::Args),
    Report(report::Args),
    Sweep(sweep::Args),
    Explore(explore::Args),
    Coverage(coverage::Args),
    Forecast(forecast::Args),
    Score(score::Args),
    Doctor(doctor::Args),
    Ci(ci::Args),
    Man(manual::Man),
    Completions(manual::Completions),
}
