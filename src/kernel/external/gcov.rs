//! The compiler's own gcov: what counters mean in lines of source.

use super::toolchain;
use crate::coverage::counters::FileCounters;
use crate::coverage::gcda;
use crate::coverage::reached::KernelNotes;
use crate::coverage::source::Sources;
use crate::error::{Context, Error, Result};
use crate::os::process;
use crate::os::search_path::SearchPath;
use crate::os::temp_dir::Scratch;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

/// What gcov prints of a kernel's NFS code has some megabytes.
const MOST_BYTES: u64 = 512 << 20;

/// The program.
pub struct Gcov {
    program: String,
}

impl Gcov {
    /// Finds that of the compiler which builds kernels.
    pub fn find() -> Result<Self> {
        let program = beside(&toolchain::chosen_compiler().unwrap_or_else(|| "gcc".into()))?;
        if program.contains('/') || SearchPath::from_env().find(&program).is_some() {
            return Ok(Self { program });
        }
        Err(Error::machine(format!(
            "{program} is not installed, which says what lines of source the counters of a kernel belong to; it comes with the compiler, in Debian in \
             the package of gcc"
        )))
    }

    /// Returns what it says of itself: `gcov (Debian 12.2.0-14) 12.2.0`.
    pub fn version(&self) -> Result<String> {
        toolchain::version_line(&self.program)
    }

    /// Returns what was executed of the files of source that `wanted` says yes to, as the counters say. Notes are in `directory`; a file of which
    /// there are no counters was not executed. What gcov reads is put together in `runs`.
    pub fn sources<'a>(
        &self,
        (notes, directory): (&KernelNotes, &Path),
        counted: impl IntoIterator<Item = &'a FileCounters>,
        wanted: impl Fn(&str) -> bool,
        runs: &Path,
    ) -> Result<Sources> {
        let scratch = Scratch::within(runs)?;
        let place = |file: &str, extension: &str| scratch.path().join(format!("{file}.{extension}"));
        let mut command = Command::new(&self.program);
        for (file, _) in notes.files() {
            let (link, from) = (place(file, "gcno"), directory.join(format!("{file}.gcno")));
            let failed = || format!("cannot make {}", link.display());
            fs::create_dir_all(link.parent().unwrap_or(scratch.path())).machine(failed)?;
            symlink(from, &link).machine(failed)?;
            command.arg(format!("{file}.gcno"));
        }
        for file in counted {
            let data = place(&file.file, "gcda");
            let bytes = gcda::write(notes.file(file)?, &file.unpack());
            fs::write(&data, bytes).machine(|| format!("cannot write {}", data.display()))?;
        }
        command.current_dir(scratch.path()).args(["--json-format", "--stdout", "--branch-probabilities"]);
        let ended = process::finish_bounded(&mut command, Stdio::null(), MOST_BYTES)?;
        let mut sources = Sources::default();
        let read = sources.read(&ended.output, wanted);
        if !ended.status.success() || read.is_err() || sources.files.is_empty() {
            let (program, complaint) = (&self.program, ended.complaint());
            return Err(Error::machine(format!("{program} does not understand what the compiler wrote: {complaint}")));
        }
        Ok(sources)
    }
}

/// Returns the gcov that goes with a compiler, as `CC` has it: `gcov-11` of `ccache gcc-11`.
fn beside(compiler: &str) -> Result<String> {
    let word = compiler.split_whitespace().last().unwrap_or("gcc");
    let (directory, name) =
        word.rsplit_once('/').map_or(("", word), |(_, name)| (&word[..word.len() - name.len()], name));
    match name.rfind("gcc") {
        Some(at) => Ok(format!("{directory}{}gcov{}", &name[..at], &name[at + 3..])),
        None => Err(Error::usage(format!(
            "CC={compiler} is no gcc; what code executes is counted for gcov, which goes with gcc"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::gcda::ObjectCounters;
    use crate::coverage::gcno::ObjectNotes;
    use crate::coverage::reached::Reached;

    const PROGRAM: &str = "int sign(int x) {
    if (x > 0)
        return 1;
    return x < 0 ? -1 : 0;
}
static int never(int x) { return x + 1; }
int (*kept)(int) = never;
int main(int argc, char **argv) {
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += sign(argc - 1);
    return sum == 100 && argv;
}
";

    /// Compiles the program.
    fn compiled() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.c"), PROGRAM).unwrap();
        let mut command = Command::new("gcc");
        let ended = command.current_dir(dir.path()).args(["-O0", "--coverage", "-c", "a.c"]).output();
        let is_known = ended.is_ok_and(|ended| ended.status.success())
            && ObjectNotes::read(&fs::read(dir.path().join("a.gcno")).unwrap()).is_some();
        assert!(is_known, "there is no GCC 12 or newer, which vm/setup installs");
        let linked =
            Command::new("gcc").current_dir(dir.path()).args(["--coverage", "a.o", "-o", "a"]).status().unwrap();
        assert!(linked.success());
        dir
    }

    /// Runs it once, and returns what it counted.
    fn counted(dir: &Path, arguments: &[&str]) -> FileCounters {
        let data = dir.join("a.gcda");
        let _ = fs::remove_file(&data);
        assert!(Command::new(dir.join("a")).args(arguments).status().unwrap().success());
        let ObjectCounters { header, counters } = ObjectCounters::read(&fs::read(data).unwrap()).unwrap();
        FileCounters::pack("a".into(), header.stamp, counters.into_iter())
    }

    #[test]
    fn counters_of_a_program_become_its_lines_branches_and_functions() {
        let dir = compiled();
        let notes = KernelNotes::open(dir.path()).unwrap();
        let counters = counted(dir.path(), &[]);
        let gcov = Gcov::find().unwrap();
        let sources = gcov.sources((&notes, dir.path()), [&counters], |_| true, dir.path()).unwrap();
        let file = &sources.files["a.c"];
        let lines: Vec<_> = file.lines.iter().map(|(number, line)| (*number, line.count)).collect();
        let expected = [(1, 3), (2, 3), (3, 0), (4, 3), (6, 0), (8, 1), (9, 1), (10, 4), (11, 3), (12, 1)];
        assert_eq!(lines, expected);
        assert_eq!(file.lines[&2].branches, [0, 3]);
        let calls: Vec<_> =
            file.functions.iter().map(|((_, name), function)| (name.as_str(), function.calls)).collect();
        assert_eq!(calls, [("sign", 3), ("never", 0), ("main", 1)]);
        // What is told without gcov is the same.
        let executed = notes.executed([&counters], |_| true).unwrap();
        let reached = file.lines.iter().filter(|(_, line)| line.count > 0).map(|(number, _)| *number);
        assert_eq!(executed.lines["a.c"], reached.collect());
        let called = [(1, "sign"), (8, "main")].map(|(line, name)| ("a.c".to_owned(), line, name.to_owned()));
        assert_eq!(executed.functions, called.into());
        assert!(notes.executed([&counters], |_| false).unwrap().lines.is_empty());
        let nothing = gcov.sources((&notes, dir.path()), [], |_| true, dir.path()).unwrap();
        assert!(nothing.files["a.c"].lines.values().all(|line| line.count == 0), "{nothing:?}");
        let elsewhere = gcov.sources((&notes, dir.path()), [&counters], |_| false, dir.path());
        assert!(elsewhere.unwrap_err().to_string().contains("does not understand"));
    }

    #[test]
    fn arcs_of_a_program_are_those_that_it_takes_counted_or_not() {
        let dir = compiled();
        let notes = KernelNotes::open(dir.path()).unwrap();
        let reached = |arguments: &[&str]| notes.reached([&counted(dir.path(), arguments)]).unwrap();
        let (mut known, same, more) = (reached(&[]), reached(&[]), reached(&["one"]));
        assert_eq!(Reached::default().new_in(&known), known.arcs());
        assert_eq!(known.new_in(&same), 0);
        // From the condition to `return 1`, from there to the end, and nothing else of three calls.
        assert_eq!(known.new_in(&more), 2);
        known.join(&more);
        assert_eq!((known.new_in(&more), known.arcs()), (0, same.arcs() + 2));
        let stranger = FileCounters { stamp: 1, ..counted(dir.path(), &[]) };
        assert!(notes.reached([&stranger]).unwrap_err().to_string().contains("compiled another time"));
    }

    #[test]
    fn files_that_are_cut_off_or_changed_are_refused_or_read_and_never_a_panic() {
        let dir = compiled();
        counted(dir.path(), &[]);
        let [notes, data] = ["a.gcno", "a.gcda"].map(|file| fs::read(dir.path().join(file)).unwrap());
        assert_eq!(ObjectNotes::read(&data), None);
        assert_eq!(ObjectCounters::read(&notes), None);
        for length in 0..notes.len() {
            ObjectNotes::read(&notes[..length]);
            let mut changed = notes.clone();
            changed[length] ^= 0xff;
            ObjectNotes::read(&changed);
        }
        for length in 0..data.len() {
            ObjectCounters::read(&data[..length]);
        }
        let mut older = notes.clone();
        // GCC 11.4, whose records are measured in words.
        older[4..8].copy_from_slice(&u32::from_be_bytes(*b"B14*").to_ne_bytes());
        assert_eq!(ObjectNotes::read(&older), None);
    }

    #[test]
    fn gcov_is_that_of_the_compiler() {
        let table = [
            ("gcc", "gcov"),
            ("ccache gcc-11", "gcov-11"),
            ("/opt/bin/x86_64-linux-gnu-gcc-12", "/opt/bin/x86_64-linux-gnu-gcov-12"),
        ];
        for (compiler, expected) in table {
            assert_eq!(beside(compiler).unwrap(), expected);
        }
        assert!(beside("clang").unwrap_err().to_string().contains("CC=clang is no gcc"));
    }
}
