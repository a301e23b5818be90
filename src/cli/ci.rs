//! `dirleak ci`: writes the workflow that has dirleak run in CI.

use super::ci_workflow::{Plan, Program, System};
use super::output::print;
use crate::error::{Context, Error, Exit, Result};
use crate::kernel::source::catalog::Catalog;
use crate::kernel::spec;
use crate::os::output_file::OutputFile;
use crate::scenario::{Overrides, select};
use std::path::{Path, PathBuf};

/// Have dirleak run in CI.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Write a workflow that runs sets of scenarios on kernels, shares them among machines, and reports.
    Init(Init),
}

#[derive(clap::Args, Debug)]
struct Init {
    /// The system that the workflow is for.
    #[arg(value_name = "SYSTEM")]
    system: System,
    /// A kernel to run on, as run --kernel takes it; all series if there is none. Can be given several times.
    #[arg(long = "kernel", value_name = "SPEC")]
    kernels: Vec<String>,
    /// A set of scenarios to run. Can be given several times.
    #[arg(long = "set", value_name = "NAME", default_value = "ci")]
    sets: Vec<String>,
    /// Share each set on each kernel among so many machines.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=100))]
    shards: u32,
    /// The git repository that dirleak is installed from; not needed in dirleak's own.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Write it to this file instead of the one that the system reads.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Replace the file if there is one.
    #[arg(long)]
    force: bool,
}

/// Writes the file, unless there is one.
pub fn run(arguments: &Args) -> Result<Exit> {
    let Command::Init(init) = &arguments.command;
    let plan = init.plan()?;
    let path = init.file.as_deref().unwrap_or(init.system.file());
    if path.exists() && !init.force {
        let path = path.display();
        return Err(Error::usage(format!(
            "{path} is there already; replace it with --force, or write another file with --file"
        )));
    }
    if let Some(dir) = path.parent().filter(|dir| *dir != Path::new("")) {
        std::fs::create_dir_all(dir).machine(|| format!("cannot make {}", dir.display()))?;
    }
    OutputFile::check(path)?.write_bytes(init.system.workflow(&plan).as_bytes())?;
    let (kernels, sets) = (plan.kernels.join(", "), plan.sets.join(", "));
    print(&format!("wrote {}: kernels {kernels}; sets {sets}; {} shards of each\n", path.display(), plan.shards))?;
    Ok(Exit::Clean)
}

impl Init {
    /// Returns what was asked for, if it can be: CI is a bad place to find a typing mistake.
    fn plan(&self) -> Result<Plan> {
        for set in &self.sets {
            let runs = select(&[], Some(set), &[], &Overrides::default())?.len();
            if self.shards as usize > runs {
                let shards = self.shards;
                return Err(Error::usage(format!(
                    "--shards {shards}: the set {set} has only {runs} scenarios; ask for {runs} at most"
                )));
            }
        }
        let catalog = Catalog::load()?;
        for kernel in &self.kernels {
            spec::parse(kernel, &[], None, &catalog)?;
        }
        let kernels = match self.kernels.as_slice() {
            [] => catalog.iter().map(|series| series.name.clone()).collect(),
            named => named.to_vec(),
        };
        let plan = Plan { kernels, sets: self.sets.clone(), shards: self.shards, program: self.program()? };
        self.check_words(&plan).map(|()| plan)
    }

    /// Fails on words that a workflow cannot carry.
    fn check_words(&self, plan: &Plan) -> Result<()> {
        if let Some(path) = plan.kernels.iter().find(|kernel| self.system == System::Gitlab && kernel.contains('/')) {
            return Err(Error::usage(format!(
                "--kernel {path}: GitLab names its caches by kernels, and such a name cannot contain '/'; put a link to it here"
            )));
        }
        let mut words = plan.kernels.iter().chain(&self.from);
        match words.find(|word| word.contains(|c: char| c == '\'' || c.is_control())) {
            Some(odd) => Err(Error::usage(format!("{odd:?} cannot stand in a workflow; give it a plainer name"))),
            None => Ok(()),
        }
    }

    fn program(&self) -> Result<Program> {
        match &self.from {
            Some(address) => Ok(Program::Git(address.clone())),
            None if Path::new("vm/setup").is_file() && Path::new("Cargo.toml").is_file() => Ok(Program::Here),
            None => Err(Error::usage(
                "this is not dirleak's own repository, so say with --from which git repository CI installs dirleak from",
            )),
        }
    }
}
