//! Makes a git tree from a series' source package in the cache, with a made-up history, to try bisections on:
//!
//!     cargo run --release --example made_history -- linux-6.1 --commits 64 --seed 1
//!
//! prints the commits to begin with and those that must be found.

#[path = "../tests/support/git_history.rs"]
mod git_history;

use clap::Parser;
use git_history::{Deed, GitHistory, base, draw};
use std::path::{Path, PathBuf};

/// Make a git tree with a leak and its fix at places drawn by lot.
#[derive(Parser)]
struct Args {
    /// Where the tree is made, or gets another branch.
    dir: PathBuf,
    /// The series whose sources it has; their package must be in the cache (dirleak kernel build).
    #[arg(long, default_value = "6.1")]
    series: String,
    /// Commits, merges and side branches not counted.
    #[arg(long, default_value_t = 24)]
    commits: usize,
    /// Of where things happen.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the commits do, instead of by lot: nothing, leak:PATCH, fix:PATCH, does-not-compile, panics, hangs, cannot-list,
    /// leaks-until-oom, mend.
    #[arg(long, value_delimiter = ',', value_parser = deed)]
    deeds: Vec<Deed>,
    /// A merge after so many commits.
    #[arg(long, default_value_t = 6)]
    merges: usize,
}

fn deed(word: &str) -> Result<Deed, String> {
    let patch = |name: &str| &*Box::leak(name.to_owned().into_boxed_str());
    Ok(match word.split_once(':') {
        Some(("leak", name)) => Deed::Leak(patch(name)),
        Some(("fix", name)) => Deed::Fix(patch(name)),
        Some(_) => return Err("only leak: and fix: take a patch".into()),
        None => match word {
            "nothing" => Deed::Nothing,
            "does-not-compile" => Deed::DoesNotCompile,
            "panics" => Deed::Panics,
            "hangs" => Deed::Hangs,
            "cannot-list" => Deed::CannotList,
            "leaks-until-oom" => Deed::LeaksUntilOom,
            "mend" => Deed::Mend,
            _ => return Err("there is no such deed".into()),
        },
    })
}

fn main() {
    let arguments = Args::parse();
    assert!(arguments.commits >= 16 && arguments.merges > 0, "a history needs at least 16 commits");
    base(&arguments.dir, &arguments.series);
    let name = format!("made-{}", arguments.seed);
    let patches = Path::new("vm/patches").join(&arguments.series);
    let make =
        |deeds: &[Deed]| GitHistory::new(&arguments.dir, &name, deeds, arguments.seed, arguments.merges, &patches);
    if !arguments.deeds.is_empty() {
        for (number, (id, deed)) in make(&arguments.deeds).ids.iter().zip(&arguments.deeds).enumerate() {
            println!("{name}-{number} {id} {deed:?}");
        }
        return;
    }
    let (deeds, leak, fix) = draw(arguments.commits, arguments.seed);
    let made = make(&deeds);
    println!("first {name}-0");
    println!("leak {name}-{leak} {}", made.ids[leak]);
    println!("before-fix {name}-{}", fix - 1);
    println!("fix {name}-{fix} {}", made.ids[fix]);
    println!("last {name}");
}
