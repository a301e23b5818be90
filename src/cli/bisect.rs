//! `dirleak bisect`: the commit that broke or mended something, found without a person.

use super::kernel_args::{Config, able_to};
use super::measure_args::{Measure, Targets};
use super::seed;
use crate::bisect::found::Step;
use crate::bisect::history::Terms;
use crate::bisect::search::search;
use crate::bisect::{Confirmation, Found, KernelTester, confirm, record};
use crate::error::{Error, Exit, Result};
use crate::fleet::cluster;
use crate::kernel::Builder;
use crate::kernel::build::ingredients::Options;
use crate::kernel::external::git::Repo;
use crate::os::cache::Cache;
use crate::os::output_file::OutputFile;
use crate::os::progress::Ui;
use crate::os::temp_dir::Scratch;
use crate::report::{bisection, mail};
use crate::result::file::ResultFile;
use crate::scenario::Scenario;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Find the commit that brought a leak, or the one that fixed it.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The git tree. It is not written to.
    #[arg(long, value_name = "DIR")]
    tree: String,
    /// A commit that does not leak.
    #[arg(long, value_name = "REV")]
    good: String,
    /// A commit that leaks.
    #[arg(long, value_name = "REV")]
    bad: String,
    /// The bad commit is the older one: find the one that fixed it.
    #[arg(long)]
    find_fix: bool,
    /// Look only at commits that touch this path. Can be given several times.
    #[arg(long = "path", value_name = "PATH")]
    paths: Vec<String>,
    /// Look for a leak of what this kernel function allocates, and let others be.
    #[arg(long, value_name = "FUNCTION")]
    call_site: Option<String>,
    /// Apply this patch to every commit before it is built: a leak patch by name, or a file. Can be given several times.
    #[arg(long = "patch", value_name = "FILE|NAME")]
    patches: Vec<String>,
    #[command(flatten)]
    config: Config,
    /// Do not build what may be wanted next while a guest runs.
    #[arg(long)]
    no_ahead: bool,
    /// Write a text to be mailed, with a reproducer, to this file.
    #[arg(long, value_name = "FILE")]
    mail: Option<PathBuf>,
    /// The scenario, by name or as a TOML file by path; `quick` if there is none.
    #[arg(value_name = "SCENARIO")]
    scenario: Option<String>,
    #[command(flatten)]
    measure: Measure,
}

/// The scenario that is followed unless one is named.
const DEFAULT: &str = "quick";

/// Searches, asks again, shows; 0 for an answer that was confirmed, 1 for one that was not, 125 for none.
pub fn run(arguments: &Args) -> Result<Exit> {
    let scenario = arguments.scenario()?;
    if arguments.measure.trace.is_some() {
        return Err(Error::usage(
            "--trace goes with run and verify; bisect keeps verdicts and does not list again what it knows",
        ));
    }
    let targets = arguments.measure.targets()?;
    let mail = arguments.mail.as_deref().map(OutputFile::check).transpose()?;
    let ui = Ui::new();
    let cache = Cache::open()?;
    let options = Options { patches: arguments.patches.clone(), ..arguments.config.options() };
    let builder = Builder::new(&arguments.tree, &able_to(std::slice::from_ref(&scenario), options), &cache)?;
    let (good, bad) = (builder.place.commit(&arguments.good)?, builder.place.commit(&arguments.bad)?);
    let terms = if arguments.find_fix { Terms::Fix } else { Terms::Break };
    let ends = if arguments.find_fix { [bad.as_str(), &good] } else { [good.as_str(), &bad] };
    let scratch = Scratch::within(&cache.dir("runs")?)?;
    let shallow = builder.place.repo.shallow();
    let repo = Repo::borrowing(scratch.path().join("git"), &builder.place.repo.dir().join("objects"), Some(&shallow))?;
    let mut options = arguments.measure.options();
    // Verdicts are kept by their seed, so a search that is begun again, or from another good commit, must have the same.
    options.boot.seed = arguments.measure.seed.unwrap_or_else(|| seed::of(&[&bad, &scenario.name]));
    options.every_counter = arguments.call_site.is_some();
    let progress = Progress { ui: ui.clone(), begin: Instant::now(), seconds: Default::default() };
    let mut kernels = KernelTester {
        builder,
        scenario: &scenario,
        options,
        terms,
        call_site: arguments.call_site.clone(),
        ahead: !arguments.no_ahead,
        cache: &cache,
        ui: &ui,
        on_step: Box::new(|step, left| progress.tell(step, left)),
    };
    let found = search(repo, terms, ends, &arguments.paths, &mut kernels)?;
    let confirmation = match &found.commit {
        Some(commit) => Some(confirm(&kernels, commit, ends[1])?),
        None => None,
    };
    arguments.show(&found, confirmation.as_ref(), &kernels, progress.begin.elapsed(), &targets, mail.as_ref())
}

impl Args {
    fn scenario(&self) -> Result<Scenario> {
        let words: Vec<String> = self.scenario.iter().cloned().collect();
        let mut all = self.measure.scenarios(&words, &[DEFAULT])?;
        cluster::none_of(&all, "bisect")?;
        if all.len() != 1 {
            let several = "a bisection follows one scenario; name one instead of a set";
            return Err(Error::usage(several));
        }
        Ok(all.remove(0))
    }

    /// Returns the words of a single run that does the same, after its kernel.
    fn words_of_run(&self) -> Vec<String> {
        let none_is_named = self.scenario.is_none() && self.measure.exec.exec.is_none();
        let named = self.scenario.iter().cloned().chain(none_is_named.then(|| DEFAULT.to_owned())).collect::<Vec<_>>();
        let mut words = self.measure.words(&named);
        let files = self.config.files.iter().map(|file| ("--config", file.display().to_string()));
        let patches = self.patches.iter().map(|patch| ("--patch", patch.clone()));
        words.extend(patches.chain(files).flat_map(|(option, value)| [option.to_owned(), value]));
        words
    }

    fn show(
        &self,
        found: &Found,
        confirmation: Option<&Confirmation>,
        kernels: &KernelTester,
        took: Duration,
        targets: &Targets,
        mail_file: Option<&OutputFile>,
    ) -> Result<Exit> {
        let message = match &found.commit {
            Some(commit) => kernels.builder.place.repo.text(&["log", "-1", "--format=%B", &commit.id])?,
            None => String::new(),
        };
        let question = crate::bisect::record::BisectConfig {
            tree: &self.tree,
            terms: kernels.terms,
            scenario: &kernels.scenario.name,
            call_site: self.call_site.as_deref(),
            run: &self.words_of_run(),
            message: &message,
            seconds: took.as_secs_f64(),
        };
        let record = crate::bisect::record::record(&question, found, confirmation);
        let text = bisection::text(&record);
        if let Some(file) = mail_file {
            file.write_bytes(mail::render(&record).as_bytes())?;
        }
        let mut file = ResultFile::new();
        file.results = crate::bisect::record::runs(found, confirmation);
        let exit = match (&record.commit, record.confirmed) {
            (Some(_), true) => Exit::Clean,
            (Some(_), false) => Exit::Leak,
            (None, _) => Exit::CannotJudge,
        };
        file.bisection = Some(record);
        targets.write(&file)?;
        super::output::print(&text).map(|()| exit)
    }
}

/// What the user sees meanwhile.
struct Progress {
    ui: Ui,
    begin: Instant,
    /// Of the steps so far that took any time.
    seconds: std::sync::Mutex<Vec<f64>>,
}

impl Progress {
    fn tell(&self, step: &Step, left: u64) {
        let mut seconds = self.seconds.lock().expect("no panic while held");
        if step.judged.guests > 0 {
            seconds.push(step.judged.seconds);
        }
        let mut sorted = seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
        let line = bisection::line(&record::step(step));
        self.ui.line(&match left {
            0 => line,
            n => format!("{line}; about {n} more, {:.0} s", n as f64 * median),
        });
    }
}
