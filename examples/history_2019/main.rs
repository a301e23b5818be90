//! Makes a git history of the leak of 2019 out of a tree of Linux 5.2.1 and the mail by which the change that leaks was reverted:
//!
//!     cargo run --release --example history_2019 -- LINUX@v5.2.1 revert.mail HISTORY
//!
//! LINUX is a git tree at a revision or a plain directory. HISTORY begins with the sources without that change; some commits of nothing
//! of note follow, then the change itself, more commits, its revert, and more. The tags `first` and `leaks` and the branch `main` are
//! where a bisection begins and ends. Neither tree nor mail are part of this project: the mail is of 12 July 2019, to linux-nfs.

mod history;
mod letter;

use clap::Parser;
use dirleak::internals::error::Result;
use dirleak::internals::os::cache::Cache;
use std::path::PathBuf;
use std::process::ExitCode;

/// Make a git history in which the leak of 2019 comes and goes.
#[derive(Parser)]
struct Arguments {
    /// A tree of Linux 5.1 to 5.2.2: a git tree at a revision, DIR@REV, or a directory.
    #[arg(value_name = "TREE")]
    tree: String,
    /// The revert as a mail or as a patch.
    #[arg(value_name = "PATCH")]
    revert: PathBuf,
    /// Where the history is made: a directory that is not there or empty.
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
}

fn main() -> ExitCode {
    match make(&Arguments::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("history_2019: {error}");
            error.exit().into()
        }
    }
}

/// Makes the history; gives what is where in it.
fn make(arguments: &Arguments) -> Result<String> {
    let made = history::make(&arguments.tree, &arguments.revert, &arguments.history, &Cache::open()?)?;
    Ok(format!(
        "first {}\noptimisation {}\nleaks {}\nrevert {}\nmain {}\n",
        made.first, made.optimisation, made.leaks, made.revert, made.last
    ))
}
