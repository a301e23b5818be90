//! How the programs that build a kernel are run: what they print is read line by line and kept in a log, what went
//! wrong is picked out of it, and they are asked to end before they are made to.

use crate::error::{Context, Error, Result};
use crate::os::pipe::pipe;
use crate::os::process::Child;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long make may take to remove half-written targets once it was told to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How a program ended and what of its words is worth repeating.
#[derive(Debug)]
pub struct RunOutput {
    pub status: ExitStatus,
    /// All it printed if no log was kept, else nothing.
    pub text: String,
    /// The first complaint of a compiler or linker, else the first of make.
    pub complaint: Option<String>,
    /// Whether a compiler was killed, which is what happens when memory runs out.
    pub killed: bool,
    /// Whether it ran out of disk.
    pub disk_full: bool,
}

/// How a stopped program was left.
#[derive(Debug)]
pub struct Stopped {
    /// Why: the user's signal, or what `tick` said.
    pub why: Error,
    /// It ended by itself when asked to and so had the time to clean up.
    pub gently: bool,
}

/// Runs `command` to its end, reading `input`. `line` gets each line it prints, `tick` is called now and then and can
/// end it.
pub fn run(
    command: &mut Command,
    input: Stdio,
    log: Option<&Path>,
    line: impl FnMut(&str) + Send,
    tick: impl FnMut() -> Result<()>,
) -> std::result::Result<RunOutput, Stopped> {
    let early = |why| Stopped { why, gently: true };
    let log =
        log.map(|p| File::create(p).machine(|| format!("cannot write {}", p.display()))).transpose().map_err(early)?;
    let (reader, writer) = pipe().machine(|| "cannot make a pipe".into()).map_err(early)?;
    let second = writer.try_clone().machine(|| "cannot make a pipe".into()).map_err(early)?;
    command.stdin(input).stdout(second).stderr(writer);
    let child = Child::spawn(command);
    // The pipe ends when the last writer closes it; `command` holds two.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.and_then(Child::guarded).map_err(early)?;
    std::thread::scope(|scope| {
        let words = scope.spawn(|| listen(reader, log, line));
        let waited = child.wait(tick);
        let gently = waited.is_ok() || child.terminate(GRACE);
        // Whoever of its group is still alive would keep the pipe open.
        drop(child);
        let words = words.join().expect("listening does not panic");
        match waited {
            Ok(status) => Ok(words.ended(status)),
            Err(why) => Err(Stopped { why, gently }),
        }
    })
}

impl RunOutput {
    /// Returns the sentence for a failure that is the machine's, not the kernel's.
    pub fn machine_failure(&self, what: &str, place: &Path) -> Error {
        if self.disk_full {
            return disk_full(what, place);
        }
        let why = self.complaint.clone().or_else(|| self.text.lines().next().map(str::to_owned));
        Error::machine(format!("{what} failed ({}): {}", self.status, why.unwrap_or_else(|| "no message".into())))
    }
}

/// Returns the sentence for a full disk.
pub fn disk_full(what: &str, place: &Path) -> Error {
    let place = place.display();
    Error::machine(format!(
        "{what}: the disk that holds {place} is full; free some of it (dirleak kernel clean) or set XDG_CACHE_HOME to another"
    ))
}

#[derive(Default)]
struct Words {
    text: String,
    compiler: Option<String>,
    make: Option<String>,
    disk_full: bool,
    killed: bool,
}

impl Words {
    fn hear(&mut self, line: &str, keep: bool) {
        self.disk_full |= line.contains("No space left on device");
        // As gcc says it when the kernel took one of its own processes.
        self.killed |= line.contains("Killed signal terminated program");
        // The last is a shell's, of a script that has lost its mode: Kconfig then says that the compiler is too old.
        let is_compilers = ["error: ", "undefined reference", "Error: ", "ERROR: modpost: ", ": Permission denied"]
            .iter()
            .any(|e| line.contains(e));
        if is_compilers && self.compiler.is_none() {
            self.compiler = Some(line.trim().to_owned());
        }
        if line.contains("*** ") && self.make.is_none() {
            self.make = Some(line.trim().to_owned());
        }
        if keep {
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    fn ended(self, status: ExitStatus) -> RunOutput {
        RunOutput {
            status,
            text: self.text,
            complaint: self.compiler.or(self.make),
            disk_full: self.disk_full,
            killed: self.killed,
        }
    }
}

fn listen(reader: File, mut log: Option<File>, mut line: impl FnMut(&str)) -> Words {
    let mut words = Words::default();
    let keep = log.is_none();
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
        if let Some(file) = &mut log {
            // A log that cannot be written must not stop the reading, which would stop the program.
            words.disk_full |= file.write_all(&bytes).is_err_and(|e| e.kind() == std::io::ErrorKind::StorageFull);
        }
        let text = String::from_utf8_lossy(&bytes);
        words.hear(text.trim_end_matches('\n'), keep);
        line(text.trim_end_matches('\n'));
        bytes.clear();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> RunOutput {
        run(Command::new("sh").args(["-c", script]), Stdio::null(), None, |_| {}, || Ok(())).unwrap()
    }

    #[test]
    fn first_error_of_the_compiler_is_picked_before_that_of_make() {
        let ended =
            sh("echo 'make: *** [x] Error 1' >&2; echo 'dir.c:5:1: error: expected x'; echo 'b: error: c'; exit 2");
        assert_eq!(ended.complaint.as_deref(), Some("dir.c:5:1: error: expected x"));
        assert_eq!(ended.status.code(), Some(2));
        assert!(!ended.disk_full);
    }

    #[test]
    fn symbol_that_modpost_misses_is_picked_before_the_error_of_make() {
        let ended =
            sh("echo 'make: *** [x] Error 1' >&2; echo 'ERROR: modpost: \"x\" [fs/fat/vfat.ko] undefined!'; exit 2");
        assert_eq!(ended.complaint.as_deref(), Some("ERROR: modpost: \"x\" [fs/fat/vfat.ko] undefined!"));
    }

    #[test]
    fn script_that_may_not_be_run_is_picked_before_the_error_of_make() {
        let ended = sh(
            "echo 'sh: 1: ./scripts/cc-version.sh: Permission denied' >&2; echo 'make: *** [x] Error 1' >&2; exit 2",
        );
        assert_eq!(ended.complaint.as_deref(), Some("sh: 1: ./scripts/cc-version.sh: Permission denied"));
    }

    #[test]
    fn full_disk_is_no_compiler_error() {
        let ended = sh("echo 'as: x.o: No space left on device' >&2; exit 1");
        assert!(ended.disk_full);
        let error = ended.machine_failure("building", Path::new("/cache"));
        assert!(error.to_string().contains("the disk that holds /cache is full"), "{error}");
    }

    #[test]
    fn killed_compiler_is_no_compiler_error() {
        assert!(sh("echo 'gcc: fatal error: Killed signal terminated program cc1' >&2; exit 1").killed);
        assert!(!sh("echo 'x.c:1:1: error: x' >&2; exit 1").killed);
    }

    #[test]
    fn log_has_every_line_and_the_counter_sees_it() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut lines = 0;
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf '\\377three'"]);
        run(&mut command, Stdio::null(), Some(&log), |_| lines += 1, || Ok(())).unwrap();
        assert_eq!(lines, 3);
        assert_eq!(std::fs::read(&log).unwrap(), b"one\ntwo\n\xffthree");
    }

    #[test]
    fn stopped_program_may_clean_up_first() {
        let dir = tempfile::tempdir().unwrap();
        let (begun, clean) = (dir.path().join("begun"), dir.path().join("clean"));
        let script = format!(
            "trap 'touch {}; exit 1' TERM; touch {}; while :; do sleep 0.01; done",
            clean.display(),
            begun.display()
        );
        let enough = || if begun.exists() { Err(Error::machine("enough")) } else { Ok(()) };
        let stopped = run(Command::new("sh").args(["-c", &script]), Stdio::null(), None, |_| {}, enough).unwrap_err();
        assert!(stopped.gently);
        assert_eq!(stopped.why.to_string(), "enough");
        assert!(clean.exists());
    }
}
