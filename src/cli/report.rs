//! `dirleak report`: shows results that were measured earlier, from any number of files.

use super::format_args::{FormatArgs, Output};
use crate::error::{Exit, Result};
use crate::os::cache::{self, Cache};
use crate::os::output_file::OutputFile;
use crate::report::console::Logs;
use crate::report::merge::{InputFile, Report, ReportSection, merge};
use crate::report::text;
use crate::result::bench::BenchFile;
use crate::result::read;
use std::path::{Path, PathBuf};

/// Show results that were written with --json: as text, and as files for people and for CI.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Result files of run, verify, bisect and bench. What belongs together is put together.
    #[arg(value_name = "RESULT.json", required = true)]
    results: Vec<PathBuf>,
    /// Also tell where the time went.
    #[arg(long)]
    timings: bool,
    #[command(flatten)]
    formats: FormatArgs,
}

/// Reads all files before it writes or prints anything, so that a bad one leaves no half report.
pub fn run(args: &Args) -> Result<Exit> {
    let outputs = args.formats.check(&args.results)?;
    let merged = read(&args.results)?;
    write(&outputs, &merged)?;
    for note in &merged.notes {
        eprintln!("{note}");
    }
    super::output::print(&shown(&merged, args.timings))?;
    let is_whole = merged.chapters.iter().all(|chapter| chapter.incomplete().is_none());
    Ok(if is_whole { Exit::Clean } else { Exit::CannotJudge })
}

/// Reads each file once: those of benches are of another kind.
fn read(paths: &[PathBuf]) -> Result<Report> {
    let (mut verdicts, mut benches) = (Vec::new(), Vec::new());
    for path in paths {
        let (name, value) = (path.display().to_string(), read::read_value(path)?);
        if BenchFile::is(&value) {
            benches.push(InputFile { file: BenchFile::from_value(&name, value)?, name });
        } else {
            verdicts.push(InputFile { file: read::from_value(&name, value)?, name });
        }
    }
    Ok(merge(verdicts, benches))
}

/// Returns the text, under the names of its files if there are several.
fn shown(merged: &Report, timings: bool) -> String {
    let times = |chapter: &ReportSection| match timings {
        true => format!("\n{}", text::timings(&chapter.file.results)),
        false => String::new(),
    };
    let chapters = merged.chapters.iter().map(|c| (c.title(), text::render(&c.file) + &times(c)));
    let benches = merged.benches.iter().map(|b| (b.name.clone(), crate::report::bench::text::render(&b.file)));
    let parts: Vec<(String, String)> = chapters.chain(benches).collect();
    match parts.as_slice() {
        [(_, text)] => text.clone(),
        several => several.iter().map(|(name, text)| format!("{name}:\n{text}")).collect::<Vec<_>>().join("\n"),
    }
}

/// Makes all files before it writes one, so that a report that cannot be made leaves none.
fn write(outputs: &[Output], merged: &Report) -> Result<()> {
    let logs = logs(merged);
    let rendered = outputs.iter().map(|output| Ok((&output.file, output.format.render(merged, &logs)?)));
    let rendered: Vec<(&OutputFile, Vec<u8>)> = rendered.collect::<Result<_>>()?;
    rendered.iter().try_for_each(|(file, text)| file.write_bytes(text))
}

/// Returns where consoles are: in the cache, or beside a result file that they came along with.
fn logs(merged: &Report) -> Logs {
    let cache = Cache::default_root().ok().map(|cache| cache.join(cache::LOGS));
    let benches = merged.benches.iter().map(|bench| &bench.name);
    let files = merged.chapters.iter().flat_map(|chapter| &chapter.names).chain(benches).map(Path::new);
    let beside = files.map(|file| match file.parent() {
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    });
    Logs::within(cache.into_iter().chain(beside))
}
