//! The command line: one file per subcommand, and what they have in common.

mod bench;
mod bisect;
mod branches;
mod ci;
mod doctor;
#[cfg(test)]
mod documented;
mod forecast;
mod host;
mod kernel;
mod manual;
mod measure;
mod refusal;
mod report;
mod run;
mod score;
mod second_seed;
mod seed;
mod sources;
mod verify;

use crate::error::{Context, Error, Result};
use crate::exit::Exit;
use crate::{bug, columns, stop, ui};
use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::panic::catch_unwind;

/// Reproduces, proves and bisects kernel memory leaks in NFS directory listing.
///
/// Exit status: 0 clean or proven; 1 a leak, or not proven; 125 this kernel cannot be judged; 128 the machine failed;
/// 129 usage; 130 and 143 stopped by a signal.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    telling: Telling,
}

/// How much is told on standard error.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What is told")]
struct Telling {
    /// Tell nothing on the way, only what changes the meaning of the result, and errors.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Tell each program that is started, and more often how far things are; no bars.
    #[arg(long, short, global = true)]
    verbose: bool,
}

impl Telling {
    fn level(&self) -> ui::Level {
        match (self.quiet, self.verbose) {
            (true, _) => ui::Level::Quiet,
            (_, true) => ui::Level::Verbose,
            _ => ui::Level::Normal,
        }
    }
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Verify(verify::Args),
    Run(run::Args),
    Bisect(bisect::Args),
    Bench(bench::Args),
    Host(host::Args),
    Kernel(kernel::Args),
    Report(report::Args),
    Forecast(forecast::Args),
    Score(score::Args),
    Doctor(doctor::Args),
    Ci(ci::Args),
    Man(manual::Man),
    Completions(manual::Completions),
}

/// Does what the command line says. Errors are told in one sentence on standard error.
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refused(&refusal),
    };
    ui::tell(arguments.telling.level());
    bug::announce();
    // A panic is a bug of ours, and git must not take its status for a bad commit. Unwinding ends all children.
    let obeyed = catch_unwind(|| stop::install().and_then(|()| obey(&arguments.command)));
    match obeyed {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => told(&error),
        Err(_) => Exit::Machine,
    }
}

fn obey(command: &Command) -> Result<Exit> {
    match command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Bisect(arguments) => bisect::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Host(arguments) => host::run(arguments),
        Command::Kernel(arguments) => kernel::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Forecast(arguments) => forecast::run(arguments),
        Command::Score(arguments) => score::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Ci(arguments) => ci::run(arguments),
        Command::Man(arguments) => manual::man(arguments),
        Command::Completions(arguments) => manual::completions(arguments),
    }
}

/// Text for people on standard output, its lines as long as a terminal is wide.
fn print(text: &str) -> Result<()> {
    match columns::of_output() {
        Some(width) => print_exactly(&columns::wrapped(text, width)),
        None => print_exactly(text),
    }
}

/// Text for programs on standard output. Whoever reads may stop early: `dirleak report … | head`.
fn print_exactly(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.machine(|| "cannot write to standard output".into()),
    }
}

fn told(error: &Error) -> Exit {
    eprintln!("dirleak: {error}");
    error.exit()
}

/// clap ends with 2 on its own, which `git bisect run` would take for a bad commit.
fn refused(refusal: &clap::Error) -> Exit {
    let asked = matches!(refusal.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked {
        // A closed pipe is no reason to panic.
        let _ = refusal.print();
        return Exit::Clean;
    }
    let typed: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    told(&Error::usage(refusal::sentence(refusal, &typed)))
}
