//! One run: started in a directory of its own, killed if it is to be, and what it says held against what must come of it.

use super::left::Left;
use super::plan::{Kill, Kind, Must, Next};
use dirleak::result::read;
use dirleak::result::record::{RunRecord, Verdict};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::Result;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CALL_SITE: &str = "nfs_readdir_page_array_append";
const POLL: Duration = Duration::from_millis(5);
/// No run takes nearly this long.
const PATIENCE: Duration = Duration::from_secs(1800);

pub struct Run<'a> {
    child: Child,
    dir: TempDir,
    begin: Instant,
    kind: &'static Kind,
    left: &'a Left,
}

/// How a run ended.
pub struct Ended {
    status: ExitStatus,
    /// What ended it; `None` if it had ended by then.
    pub kill: Option<Kill>,
    pub seconds: f64,
    /// From the signal to its end.
    pub end_seconds: f64,
    /// From its end until its last process was gone.
    pub left_seconds: f64,
    pub verdicts: usize,
    pub faults: Vec<String>,
}

impl<'a> Run<'a> {
    pub fn start(program: &Path, left: &'a Left, next: &Next) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("change.patch"), change(next.number))?;
        let out = |name| File::create(dir.path().join(name));
        let mut command = Command::new(program);
        command.args(next.kind.words).current_dir(dir.path()).stdin(Stdio::null());
        if next.kind.must == Must::Judge {
            command.args(["--json", "result.json", "--seed", &next.number.to_string()]);
        }
        left.mark(&mut command);
        let child = command.stdout(out("stdout")?).stderr(out("stderr")?).spawn()?;
        Ok(Self { child, dir, begin: Instant::now(), kind: next.kind, left })
    }

    /// Waits for its end, killing it when it is time.
    pub fn wait(mut self, kill_it: Option<Kill>) -> Result<Ended> {
        let mut killed_at = None;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            let elapsed = self.begin.elapsed();
            let due = kill_it.filter(|kill| elapsed.as_secs_f64() >= kill.after_seconds && killed_at.is_none());
            let signal = due.map(|kill| kill.signal).or((elapsed > PATIENCE).then_some(Signal::SIGKILL));
            if let Some(signal) = signal {
                kill(Pid::from_raw(self.child.id() as i32), signal)?;
                killed_at = Some(Instant::now());
            }
            std::thread::sleep(POLL);
        };
        let seconds = self.begin.elapsed().as_secs_f64();
        let (left_seconds, still_there) = self.left.wait_for_processes();
        let is_cause =
            |kill: &Kill| status.signal() == Some(kill.signal as i32) || status.code() == exit_status(kill.signal);
        let mut ended = Ended {
            status,
            kill: kill_it.filter(is_cause),
            seconds,
            end_seconds: killed_at.map_or(0.0, |at| at.elapsed().as_secs_f64() - left_seconds),
            left_seconds,
            verdicts: 0,
            faults: still_there.into_iter().map(|process| format!("it left running: {process}")).collect(),
        };
        self.look(&mut ended);
        Ok(ended)
    }

    /// What it said and wrote.
    fn look(&self, ended: &mut Ended) {
        let stderr = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        if ended.kill.is_none() && ended.status.code() != Some(self.kind.status) {
            ended.faults.push(format!("it ended with {} and not {}:\n{stderr}", ended.status, self.kind.status));
        }
        if stderr.contains("panicked") || stderr.contains("a bug of dirleak") {
            ended.faults.push(format!("it failed itself:\n{stderr}"));
        }
        let gently = ended.kill.filter(|kill| kill.signal != Signal::SIGKILL);
        if gently.is_some_and(|kill| !stderr.contains(&format!("stopped by {}", kill.signal))) {
            ended.faults.push(format!("it does not say what stopped it:\n{stderr}"));
        }
        for name in ["result.json", "result.json.unfinished"] {
            let path = self.dir.path().join(name);
            if path.exists() {
                self.judge(&path, ended);
            }
        }
        let is_whole = self.dir.path().join("result.json").exists();
        if self.kind.must == Must::Judge && ended.kill.is_none() && !is_whole {
            ended.faults.push(format!("it wrote no result:\n{stderr}"));
        }
        let known = ["change.patch", "stdout", "stderr", "result.json", "result.json.unfinished"];
        let files = fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
        let files = files.map(|file| file.file_name().to_string_lossy().into_owned());
        ended.faults.extend(files.filter(|file| !known.contains(&file.as_str())).map(|file| format!("it left {file}")));
    }

    /// Every verdict that was given must be right.
    fn judge(&self, path: &Path, ended: &mut Ended) {
        match read::read(path) {
            Ok(file) => {
                ended.verdicts += file.results.len();
                ended.faults.extend(file.results.iter().filter_map(wrong));
            }
            Err(error) => ended.faults.push(error.to_string()),
        }
    }
}

/// What is wrong with a verdict.
fn wrong(record: &RunRecord) -> Option<String> {
    let leaks = record.kernel.spec.contains('+');
    let right = if leaks { Verdict::Leak } else { Verdict::Clean };
    let sites = record.findings.iter().flat_map(|finding| &finding.call_sites);
    let is_right = record.verdict == right && (!leaks || sites.map(|site| &site.function).any(|f| f == CALL_SITE));
    let (scenario, spec, word) = (&record.scenario, &record.kernel.spec, record.verdict.as_str());
    (!is_right).then(|| format!("{scenario} on {spec} is called {word}: {}", record.reason))
}

/// What docs/exit-status.md says of a signal.
fn exit_status(signal: Signal) -> Option<i32> {
    match signal {
        Signal::SIGINT => Some(130),
        Signal::SIGTERM => Some(143),
        _ => None,
    }
}

/// A patch that was never built before.
fn change(number: usize) -> String {
    let id = std::process::id();
    let lines = [
        "--- a/fs/nfs/dir.c",
        "+++ b/fs/nfs/dir.c",
        "@@ -1,3 +1,4 @@",
        " // SPDX-License-Identifier: GPL-2.0-only",
        &format!("+/* {id} {number} */"),
        " /*",
        "  *  linux/fs/nfs/dir.c",
        "",
    ];
    lines.join("\n")
}

impl Ended {
    /// In words.
    pub fn line(&self, kind: &Kind) -> String {
        let (words, seconds) = (kind.words.join(" "), self.seconds);
        match self.kill {
            Some(Kill { signal, .. }) => {
                format!(
                    "{words}: {signal} after {:.2} s, gone {:.2} s later",
                    seconds - self.end_seconds,
                    self.end_seconds
                )
            }
            None => format!("{words}: {} in {seconds:.2} s, {} verdicts", self.status, self.verdicts),
        }
    }
}
