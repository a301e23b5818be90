//! Runs dirleak many times in a row, kills some of these runs at random moments, and looks after each for what must not be: a process
//! that goes on, a file that nobody will remove, a kernel in the cache that has changed, a verdict that is wrong.
//!
//! `cargo run --release --example campaign -- target/release/dirleak --cache DIR` makes 200 runs of which 50 are killed. DIR is a cache
//! (`XDG_CACHE_HOME`) of its own, in which 6.1 and 6.1+spare-pages were built.

mod left;
mod plan;
mod run;

use clap::Parser;
use left::Left;
use plan::{KINDS, Plan};
use run::{Ended, Run};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Parser)]
struct Arguments {
    /// The dirleak that is tried.
    program: PathBuf,
    /// The cache that it is to use, and nobody else meanwhile.
    #[arg(long, value_name = "DIR")]
    cache: PathBuf,
    /// Runs in a row.
    #[arg(long, value_name = "N", default_value_t = 200)]
    runs: usize,
    /// How many of them are killed.
    #[arg(long, value_name = "N", default_value_t = 50)]
    killed: usize,
    /// Seed of which runs are made, which are killed, when, and by which signal.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Have kernels built by some of the runs, and one anew at the end, which must be the same as before.
    #[arg(long)]
    builds: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match campaign(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("{faults} faults");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the runs; how many faults there were.
fn campaign(arguments: &Arguments) -> std::io::Result<usize> {
    let program = arguments.program.canonicalize()?;
    let left = Left::begin(&arguments.cache.canonicalize()?)?;
    let kernels = left.kernels()?;
    let mut plan = Plan::new(arguments.runs, arguments.killed, arguments.seed, arguments.builds);
    let (mut faults, mut tally) = (0, Tally::default());
    while let Some(next) = plan.next() {
        let mut ended = Run::start(&program, &left, &next)?.wait(next.kill)?;
        let killed_hard = ended.kill.is_some_and(|kill| kill.signal == nix::sys::signal::Signal::SIGKILL);
        ended.faults.extend(left.faults(killed_hard)?);
        println!("{} of {}: {}", plan.made(), arguments.runs, ended.line(next.kind));
        for fault in &ended.faults {
            println!("    FAULT: {fault}");
        }
        faults += ended.faults.len();
        tally.add(&ended);
        plan.ended(&next, &ended);
    }
    let built = !arguments.builds || left.build_again(&program)?;
    if !built || kernels != left.kernels()? {
        println!("    FAULT: the kernels of the cache are not what they were");
        faults += 1;
    }
    println!("{}\n{faults} faults", tally.text(&plan));
    Ok(faults)
}

/// What is told at the end.
#[derive(Default)]
struct Tally {
    verdicts: usize,
    signals: [usize; 3],
    longest_end_seconds: f64,
    longest_left_seconds: f64,
}

impl Tally {
    fn add(&mut self, ended: &Ended) {
        self.verdicts += ended.verdicts;
        self.longest_left_seconds = self.longest_left_seconds.max(ended.left_seconds);
        if let Some(kill) = ended.kill {
            let signal = plan::SIGNALS.iter().position(|signal| *signal == kill.signal).expect("it is one of them");
            self.signals[signal] += 1;
            self.longest_end_seconds = self.longest_end_seconds.max(ended.end_seconds);
        }
    }

    fn text(&self, plan: &Plan) -> String {
        let mut text = String::new();
        for (kind, (runs, seconds)) in KINDS.iter().zip(plan.durations()) {
            text += &format!("{}: {runs} runs to the end, {seconds:.1} s each\n", kind.words.join(" "));
        }
        for (signal, number) in plan::SIGNALS.iter().zip(self.signals) {
            text += &format!("{signal}: {number} runs\n");
        }
        text + &format!(
            "{} verdicts; at most {:.2} s from a signal to the end, and {:.2} s until the last process was gone",
            self.verdicts, self.longest_end_seconds, self.longest_left_seconds
        )
    }
}
