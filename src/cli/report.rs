//! `dirleak report`: shows results that were measured earlier, from any number of files.

use crate::error::{Error, Exit, Result};
use crate::os::cache::{self, Cache};
use crate::os::output_file::OutputFile;
use crate::report::console::Logs;
use crate::report::merge::{InputFile, Report, ReportSection, merge};
use crate::report::{html, markdown, test_results, text};
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
    /// Write a page to this file, which needs nothing but itself: no network, no script.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write JUnit XML to this file.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write KTAP, the format of the kernel's own tests, to this file.
    #[arg(long, value_name = "FILE")]
    ktap: Option<PathBuf>,
    /// Write Markdown for a mail or a merge request to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Reads all files before it writes or prints anything, so that a bad one leaves no half report.
pub fn run(args: &Args) -> Result<Exit> {
    let outputs = Outputs::check(args)?;
    let merged = read(&args.results)?;
    outputs.write(&merged)?;
    for note in &merged.notes {
        eprintln!("{note}");
    }
    super::output::print(&shown(&merged, args.timings))?;
    let is_whole = merged.chapters.iter().all(|chapter| chapter.incomplete().is_none());
    Ok(if is_whole { Exit::Clean } else { Exit::CannotJudge })
}

/// Each file once: those of benches are of another kind.
fn read(paths: &[PathBuf]) -> Result<Report> {
    let (mut verdicts, mut benches) = (Vec::new(), Vec::new());
    for path in paths {
        let (name, value) = (path.display().to_string(), read::read_value(path)?);
        if BenchFile::is(&value) {
            benches.push(InputFile { file: BenchFile::of_value(&name, value)?, name });
        } else {
            verdicts.push(InputFile { file: read::of_value(&name, value)?, name });
        }
    }
    Ok(merge(verdicts, benches))
}

/// The text, under the names of its files if there are several.
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

/// The files that were asked for.
struct Outputs {
    html: Option<OutputFile>,
    junit: Option<OutputFile>,
    ktap: Option<OutputFile>,
    markdown: Option<OutputFile>,
}

impl Outputs {
    /// All of them can be written, and none in the place of another or of a result.
    fn check(args: &Args) -> Result<Self> {
        let named =
            [("--html", &args.html), ("--junit", &args.junit), ("--ktap", &args.ktap), ("--markdown", &args.markdown)];
        let named: Vec<(&str, &Path)> = named.iter().filter_map(|(o, path)| Some((*o, path.as_deref()?))).collect();
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b && a.is_file(),
            _ => a == b && !a.exists(),
        };
        for (i, (option, path)) in named.iter().enumerate() {
            let shown = path.display();
            if args.results.iter().any(|result| same(result, path)) {
                return Err(Error::usage(format!("{option} {shown} would replace a result file; name another place")));
            }
            if let Some((other, _)) = named[..i].iter().find(|(_, other)| same(other, path)) {
                return Err(Error::usage(format!("{other} and {option} both name {shown}; name another place")));
            }
        }
        let check = |path: &Option<PathBuf>| path.as_deref().map(OutputFile::check).transpose();
        Ok(Self {
            html: check(&args.html)?,
            junit: check(&args.junit)?,
            ktap: check(&args.ktap)?,
            markdown: check(&args.markdown)?,
        })
    }

    fn write(&self, merged: &Report) -> Result<()> {
        if let Some(target) = &self.html {
            target.write_bytes(html::page(merged, &logs(merged)).as_bytes())?;
        }
        let suites = test_results::suites(merged);
        if let Some(target) = &self.junit {
            target.write_bytes(test_results::junit::render(&suites)?.as_bytes())?;
        }
        if let Some(target) = &self.ktap {
            target.write_bytes(test_results::ktap::render(&suites).as_bytes())?;
        }
        if let Some(target) = &self.markdown {
            target.write_bytes(markdown::render(merged).as_bytes())?;
        }
        Ok(())
    }
}

/// Consoles are in the cache, or came along with a result file.
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
