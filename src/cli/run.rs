//! `dirleak run`: scenarios on one kernel.

use super::measure::Measure;
use super::sources::Sources;
use crate::cache::Cache;
use crate::error::Result;
use crate::exit::Exit;
use crate::kernel::{self, Options};
use crate::report::record::{ResultFile, RunRecord, Verdict};
use crate::ui::Ui;
use std::path::PathBuf;

/// Run scenarios on a kernel and say whether it leaks.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to boot: a series (6.1) or a source tree (DIR, DIR@REV), either with patches (6.1+spare-pages, DIR+fix.patch), or a
    /// path to a vmlinux, a bzImage or a kernel package (.deb, .rpm).
    #[arg(long, value_name = "SPEC")]
    kernel: String,
    /// The modules of a kernel image: a directory like /lib/modules/VERSION, or a root directory that has it. A package
    /// brings its own.
    #[arg(long, value_name = "DIR")]
    modules: Option<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// Scenarios by name, or TOML files by path.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    #[command(flatten)]
    measure: Measure,
}

/// Runs, shows, and gives the status of the worst verdict.
pub fn run(arguments: &Args) -> Result<Exit> {
    let scenarios = arguments.measure.scenarios(&arguments.scenarios, &["quick"])?;
    let targets = arguments.measure.targets()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let options = Options { modules: arguments.modules.clone(), ..arguments.sources.options(false) };
    let kernel = kernel::resolve(&arguments.kernel, &options, &cache, &ui)?;
    let pairs: Vec<_> = scenarios.iter().map(|scenario| (scenario, &kernel)).collect();
    let mut file = ResultFile::new();
    file.results = arguments.measure.run(&pairs, &cache, &ui)?;
    arguments.measure.show(&file, &targets)?;
    Ok(exit(&file.results))
}

/// 1 if anything leaks or lists wrongly, 125 if anything could not be judged, else 0.
fn exit(records: &[RunRecord]) -> Exit {
    let has = |verdicts: &[Verdict]| records.iter().any(|r| verdicts.contains(&r.verdict));
    if has(&[Verdict::Leak]) {
        Exit::Leak
    } else if has(&[Verdict::Undecided, Verdict::Unsupported, Verdict::Crash, Verdict::Broken]) {
        Exit::CannotJudge
    } else {
        Exit::Clean
    }
}
