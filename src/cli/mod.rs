//! The command line: one file per subcommand, and what they have in common.

pub mod arguments;
mod bench;
mod bisect;
mod ci;
pub mod ci_workflow;
mod coverage;
mod doctor;
#[cfg(test)]
mod documented;
mod exec_args;
mod explore;
mod forecast;
mod format_args;
mod host;
mod kernel;
mod kernel_args;
mod manual;
mod measure_args;
mod measure_words;
pub mod output;
mod plan;
mod report;
mod run;
mod score;
mod score_explore;
mod second_seed;
mod seed;
mod sweep;
mod usage_error;
mod verify;
mod verify_branches;

use crate::error::{Error, Exit, Result};
use crate::os::{panic_hook, progress, signals};
use arguments::{Arguments, Command};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::io::Write;
use std::panic::catch_unwind;

/// Does what the command line says. Errors are told in one sentence on standard error.
pub fn main() -> Exit {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => return refused(&refusal),
    };
    progress::set_level(arguments.telling.level());
    panic_hook::install();
    // A panic is a bug of ours, and git must not take its status for a bad commit. Unwinding ends all children.
    let obeyed = catch_unwind(|| signals::install().and_then(|()| dispatch(&arguments.command)));
    match obeyed {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => report_error(&error),
        Err(_) => Exit::Machine,
    }
}

fn dispatch(command: &Command) -> Result<Exit> {
    match command {
        Command::Verify(arguments) => verify::run(arguments),
        Command::Run(arguments) => run::run(arguments),
        Command::Bisect(arguments) => bisect::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Host(arguments) => host::run(arguments),
        Command::Kernel(arguments) => kernel::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Sweep(arguments) => sweep::run(arguments),
        Command::Explore(arguments) => explore::run(arguments),
        Command::Coverage(arguments) => coverage::run(arguments),
        Command::Forecast(arguments) => forecast::run(arguments),
        Command::Score(arguments) => score::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Ci(arguments) => ci::run(arguments),
        Command::Man(arguments) => manual::man(arguments, Arguments::command()),
        Command::Completions(arguments) => manual::completions(arguments, Arguments::command()),
    }
}

fn report_error(error: &Error) -> Exit {
    // A terminal that is gone is no reason to panic.
    let _ = writeln!(std::io::stderr(), "dirleak: {error}");
    error.exit()
}

/// Ends a refused command line with 129: clap ends with 2 on its own, which `git bisect run` would take for a bad
/// commit.
fn refused(refusal: &clap::Error) -> Exit {
    let asked = matches!(refusal.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if asked {
        // A closed pipe is no reason to panic.
        let _ = refusal.print();
        return Exit::Clean;
    }
    let typed: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    report_error(&Error::usage(usage_error::sentence(refusal, &typed)))
}
