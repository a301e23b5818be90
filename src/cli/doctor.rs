//! `dirleak doctor`: what this machine lacks, and what mends it.

use super::output::print;
use super::verify;
use crate::doctor::request::{CheckRequest, Places};
use crate::doctor::{examine, text};
use crate::error::{Error, Exit, Result};
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::scenario::load;
use std::path::PathBuf;

/// Look whether this machine has all that is needed, and say what mends it.
///
/// Exit status: 0 if verify can run here, 128 if something is missing for that.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Write the same to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Shows everything, then ends with what is missing, if something is.
pub fn run(arguments: &Args) -> Result<Exit> {
    let target = arguments.json.as_deref().map(OutputFile::check).transpose()?;
    let cache = Cache::open()?;
    let scenarios = verify::SCENARIOS.iter().map(|name| load(name)).collect::<Result<_>>()?;
    let question = CheckRequest { kernels: verify::usual_kernels(false, false)?.to_vec(), scenarios };
    let checkup = examine(&question, &Places::from_user(), &cache, &Ui::new())?;
    if let Some(target) = target {
        target.write(&checkup)?;
    }
    print(&text(&checkup))?;
    let missing = checkup.missing();
    if missing.is_empty() {
        return Ok(Exit::Clean);
    }
    let missing = missing.join(", ");
    Err(Error::machine(format!("verify cannot run here for want of {missing}; see above what mends it")))
}
