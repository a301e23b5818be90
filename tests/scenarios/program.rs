//! Runs dirleak as a user does, reads its result, and looks for what it left running.

use crate::hearing::that_hears;
use dirleak::result::file::ResultFile;
use dirleak::result::read;
use dirleak::result::record::RunRecord;
use libtest_mimic::Failed;
use serde_json::Value;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What a trial gives.
pub type Trialled = Result<(), Failed>;

/// Tells growth from small caches alone: to tell one object per listing from one of 5,000, as it is by default, takes minutes.
pub const SMALL_CACHES: [&str; 2] = ["--largest-cache", "300"];

/// A guest keeps a processor busy, and the trials are to run on a machine that has two.
const GUESTS: usize = 2;
/// Nothing that is tried takes nearly this long; whatever does will never end.
const PATIENCE: Duration = Duration::from_secs(2400);
/// A QEMU that was killed is gone at once; the machine may be busy.
const GONE_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// Lines of the guest's console that a failure shows.
const SHOWN_LINES: usize = 30;

static FREE: (Mutex<usize>, Condvar) = (Mutex::new(GUESTS), Condvar::new());

/// Returns a scenario of the library in other words, each of which has to be in it: what no longer is would be tried as it comes.
pub fn varied(scenario: &str, words: &[(&str, &str)]) -> String {
    words.iter().fold(scenario.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the scenario has no {from:?} any more");
        text.replace(from, to)
    })
}

/// The right to have some guests run, or one with as many processors.
pub struct Slots(usize);

impl Slots {
    pub fn take(count: usize) -> Self {
        let count = count.min(GUESTS);
        let mut free = FREE.0.lock().expect("nobody panics with it");
        while *free < count {
            free = FREE.1.wait(free).expect("nobody panics with it");
        }
        *free -= count;
        Self(count)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        *FREE.0.lock().expect("nobody panics with it") += self.0;
        FREE.1.notify_all();
    }
}

/// A dirleak that is to be started: in a directory of its own, with its result in a file there.
pub struct Program {
    pub dir: TempDir,
    command: Command,
    guests: usize,
    shown: String,
}

impl Program {
    /// `dirleak` with these arguments, and `--json` if it measures.
    pub fn new(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("there is room for temporary files");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        command.args(arguments).current_dir(dir.path());
        if matches!(arguments.first(), Some(&("run" | "verify" | "bisect" | "sweep" | "explore"))) {
            command.args(["--json", "result.json"]);
        }
        let out = |name| File::create(dir.path().join(name)).expect("there is room for temporary files");
        command.stdin(Stdio::null()).stdout(out("stdout")).stderr(out("stderr"));
        that_hears(&mut command);
        let guests = if arguments.first() == Some(&"verify") || arguments.contains(&"--vs") { 2 } else { 1 };
        Self { dir, command, guests, shown: format!("dirleak {}", arguments.join(" ")) }
    }

    /// Puts a file into its directory.
    pub fn with_file(self, name: &str, text: &str) -> Self {
        fs::write(self.dir.path().join(name), text).expect("there is room for temporary files");
        self
    }

    /// Its guests have so many processors.
    pub fn with_processors(self, cpus: u32) -> Self {
        Self { guests: (cpus as usize).clamp(self.guests, GUESTS), ..self }
    }

    /// Changes its environment.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Starts it as soon as there are processors for its guests.
    pub fn start(mut self) -> Running {
        let slots = Slots::take(self.guests);
        let child = self.command.spawn().expect("dirleak was built");
        Running { child, dir: self.dir, shown: self.shown, _slots: slots }
    }

    /// Runs it to its end.
    pub fn run(self) -> Result<Seen, Failed> {
        self.start().wait()
    }
}

/// A dirleak that runs. Dropping it kills it.
pub struct Running {
    child: Child,
    dir: TempDir,
    shown: String,
    _slots: Slots,
}

impl Running {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processes of its guests.
    pub fn guests(&self) -> Vec<i32> {
        guests_of(self.id())
    }

    /// Waits until it has so many guests.
    pub fn wait_for_guests(&mut self, count: usize) -> Result<(), Failed> {
        let begin = Instant::now();
        while guests_of(self.id()).len() < count {
            if let Some(status) = self.child.try_wait()? {
                let said = self.text("stderr");
                return Err(format!("{} ended ({status}) before it had {count} guests\n{said}", self.shown).into());
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} never had {count} guests", self.shown).into());
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What a file in its directory holds; nothing if there is none.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// Waits for its end, and for the end of its guests.
    pub fn wait(&mut self) -> Result<Seen, Failed> {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begin.elapsed() > PATIENCE {
                return Err(format!("{} did not end", self.shown).into());
            }
            std::thread::sleep(POLL);
        };
        let left = self.left_running();
        let path = self.dir.path().join("result.json");
        let faults = faults_in(self.dir.path())?;
        let seen = Seen {
            shown: self.shown.clone(),
            status,
            stdout: self.text("stdout"),
            stderr: self.text("stderr"),
            result: path.exists().then(|| read::read(&path)).transpose().map_err(|e| e.to_string())?,
        };
        seen.must(left.is_empty(), || format!("it left QEMU running: {left:?}"))?;
        seen.must(faults.is_empty(), || format!("what it wrote is not as the schemas have it: {faults:?}"))?;
        Ok(seen)
    }

    /// Guests that go on although their dirleak is gone.
    fn left_running(&self) -> Vec<i32> {
        let begin = Instant::now();
        loop {
            let left = guests_of(self.id());
            if left.is_empty() || begin.elapsed() > GONE_LIMIT {
                return left;
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the trial has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns what is wrong with the JSON files in a directory, by name. Those of commands that were stopped are among them.
fn faults_in(dir: &Path) -> Result<Vec<String>, Failed> {
    let mut faults = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".json") || name.ends_with(".json.unfinished") {
            faults.extend(faults_of(&fs::read(&path)?)?.into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    Ok(faults)
}

/// Returns what is wrong with a JSON file that dirleak wrote, by the schema that ships for its kind.
pub fn faults_of(file: &[u8]) -> Result<Vec<String>, Failed> {
    let file: Value = serde_json::from_slice(file)?;
    let has = |field: &str| file.get(field).is_some();
    let schema = match () {
        () if has("bench") => include_str!("../../docs/bench.schema.json"),
        () if has("coverage") => include_str!("../../docs/coverage.schema.json"),
        () if has("forecast") => include_str!("../../docs/forecast.schema.json"),
        () if has("checks") => include_str!("../../docs/doctor.schema.json"),
        () => include_str!("../../docs/result.schema.json"),
    };
    let validator = jsonschema::validator_for(&serde_json::from_str(schema)?)?;
    Ok(validator.iter_errors(&file).map(|e| format!("{}: {e}", e.instance_path())).collect())
}

/// The QEMUs of one dirleak, by the names of their console logs, which hold its process id after the time.
fn guests_of(dirleak: u32) -> Vec<i32> {
    let processes = fs::read_dir("/proc").expect("there is a /proc").flatten();
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    processes.filter(|process| dirleak_of(*process) == Some(dirleak)).collect()
}

fn dirleak_of(process: i32) -> Option<u32> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line);
    let mut words = line.split('\0');
    words.next().filter(|program| program.contains("qemu-system"))?;
    let console = Path::new(words.find_map(|word| word.strip_prefix("file,id=console,path="))?);
    console.file_name()?.to_str()?.split('-').nth(1)?.parse().ok()
}

/// What a dirleak that has ended said and did.
pub struct Seen {
    shown: String,
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub result: Option<ResultFile>,
}

impl Seen {
    /// Fails the trial, showing all there is to see, unless `holds`.
    pub fn must(&self, holds: bool, otherwise: impl FnOnce() -> String) -> Trialled {
        if holds {
            return Ok(());
        }
        let mut message = format!("{}\n{} ended with {}\n{}", otherwise(), self.shown, self.status, self.stderr);
        message += &self.stdout;
        for record in self.result.iter().flat_map(|file| &file.results) {
            let (scenario, verdict) = (&record.scenario, record.verdict.as_str());
            message += &format!("{scenario} on {}: {verdict}: {}\n{}", record.kernel.spec, record.reason, tail(record));
        }
        Err(message.into())
    }

    /// It ended with this status.
    pub fn must_end_with(&self, status: i32) -> Trialled {
        self.must(self.status.code() == Some(status), || format!("the exit status is not {status}"))
    }

    /// It said this on standard error, in one line of its own.
    pub fn must_say(&self, sentence: &str) -> Trialled {
        let mut lines = self.stderr.lines().filter(|line| line.starts_with("dirleak: "));
        let said = lines.next().is_some_and(|line| line.contains(sentence)) && lines.next().is_none();
        self.must(said && !self.stderr.contains("panicked"), || format!("it does not say {sentence:?} in one sentence"))
    }

    /// What it wrote.
    pub fn file(&self) -> Result<&ResultFile, Failed> {
        match &self.result {
            Some(file) => Ok(file),
            None => Err(self.must(false, || "it wrote no result".into()).expect_err("it does not hold")),
        }
    }

    /// The record of its only run.
    pub fn record(&self) -> Result<&RunRecord, Failed> {
        match self.result.as_ref().map(|file| file.results.as_slice()) {
            Some([record]) => Ok(record),
            _ => Err(self.must(false, || "it wrote no result of one run".into()).expect_err("it does not hold")),
        }
    }
}

/// The end of the guest's console.
fn tail(record: &RunRecord) -> String {
    let Some(log) = &record.console_log else { return "it had no guest\n".into() };
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    format!("the end of {log}:\n{}\n", lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
}
