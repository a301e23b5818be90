//! What programs of a scenario need in the guest: themselves, their libraries and interpreters, the files beside them, and the programs that
//! their scripts name.

use super::packages;
use crate::error::{Context, Error, Result};
use crate::os::cache::Cache;
use crate::os::process;
use crate::os::progress::Ui;
use crate::os::search_path::SearchPath;
use crate::protocol::guest_paths::{EXEC_FILES, PROGRAM_DIRS};
use crate::protocol::message::ProgramWords;
use crate::scenario::Scenario;
use crate::scenario::program::Program;
use crate::vm::initramfs::{Archive, Libraries};
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// Shells, whose scripts name the programs that they start.
const SHELLS: [&str; 6] = ["sh", "dash", "bash", "ksh", "zsh", "busybox"];
/// A program that a script may name by chance is left out if it is larger.
const MOST_NAMED_BYTES: u64 = 16 << 20;
/// The largest file and the most bytes that come from beside a scenario.
const MOST_FILES_BYTES: u64 = 256 << 20;
/// Parts of Python's library that no script needs: its tests and editors.
const NOT_OF_PYTHON: [&str; 8] =
    ["test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "dist-packages", "site-packages"];

/// Adds everything that the programs of the scenario need, and gives their words as the guest has them.
pub fn add(scenario: &Scenario, archive: &mut Archive, cache: &Cache, ui: &Ui) -> Result<Vec<ProgramWords>> {
    if scenario.unit.programs().next().is_none() {
        return Ok(Vec::new());
    }
    let guest = &scenario.guest;
    let unpacked = if guest.packages.is_empty() { None } else { Some(packages::unpacked(&guest.packages, cache, ui)?) };
    let mut libraries = Libraries::detect();
    let mut places: Vec<PathBuf> = PROGRAM_DIRS.iter().map(PathBuf::from).collect();
    if let Some(root) = &unpacked {
        libraries = libraries.with_first(packages::library_dirs(root));
        packages::add_to(root, archive, &libraries)?;
        let inner = PROGRAM_DIRS.iter().map(|dir| root.join(dir.trim_start_matches('/')));
        places = inner.chain(places).collect();
    }
    let places: Vec<&Path> = places.iter().map(PathBuf::as_path).collect();
    let path = SearchPath::new(&places);
    let beside = if scenario.beside.as_os_str().is_empty() { Path::new(".") } else { &scenario.beside };
    let mut packer = Packer { archive, libraries, path, root: unpacked, beside, packed: BTreeSet::new(), bytes: 0 };
    packer.archive.dir("/tmp", 0o777);
    for name in &guest.programs {
        packer.named(name)?;
    }
    for name in &guest.files {
        packer.beside(name)?;
    }
    let words =
        |program: &Program| Ok(ProgramWords { command: program.command.clone(), words: packer.words(program)? });
    scenario.unit.programs().map(words).collect()
}

struct Packer<'a> {
    archive: &'a mut Archive,
    libraries: Libraries,
    path: SearchPath,
    /// Of packages that are unpacked.
    root: Option<PathBuf>,
    beside: &'a Path,
    packed: BTreeSet<PathBuf>,
    /// Of the files beside the scenario.
    bytes: u64,
}

impl Packer<'_> {
    /// Adds what the words of a program name, and gives them as the guest has them.
    fn words(&mut self, program: &Program) -> Result<Vec<String>> {
        let mut words = program.words().map_err(Error::usage)?;
        let is_shell = SHELLS.contains(&file_name(Path::new(&words[0])).as_str());
        for (number, word) in words.iter_mut().enumerate() {
            let is_file = !word.starts_with('-') && !word.contains('{') && Path::new(word.as_str()).is_relative();
            let is_name = number == 0 && !word.contains('/');
            if is_name {
                *word = self.named(word)?;
            } else if is_file && !word.is_empty() && self.beside.join(word.as_str()).exists() {
                if is_shell {
                    // A script that a shell is given needs no first line that says so.
                    let text = fs::read(self.beside.join(word.as_str())).unwrap_or_default();
                    self.named_in(&String::from_utf8_lossy(&text))?;
                }
                *word = self.beside(word)?;
            } else if number == 0 {
                *word = self.by_path(word)?;
            } else if is_shell && word.contains(' ') {
                self.named_in(word)?;
            }
        }
        Ok(words)
    }

    /// Adds a program by its name, and gives its path.
    fn named(&mut self, name: &str) -> Result<String> {
        let found = self.path.find(name).ok_or_else(|| {
            Error::usage(format!(
                "there is no program {name}: neither beside the scenario nor on this machine; write ./{name} for a file, or name the Debian \
                 package it is in by --package"
            ))
        })?;
        self.program(&found)
    }

    /// Adds a program of the host by an absolute path, or says what is wrong with a word that is none.
    fn by_path(&mut self, word: &str) -> Result<String> {
        let path = Path::new(word);
        if path.is_relative() {
            return Err(Error::usage(format!("there is no program {word} in {}", self.beside.display())));
        }
        if !path.is_file() {
            return Err(Error::usage(format!("there is no program {word} on this machine")));
        }
        self.program(path)
    }

    /// Adds a program of the host or of a package at the same path, with whatever runs it.
    fn program(&mut self, host: &Path) -> Result<String> {
        let inner = self.root.as_ref().and_then(|root| host.strip_prefix(root).ok());
        let guest = inner.map_or(host.to_owned(), |inner| Path::new("/").join(inner));
        self.executable(host, &guest)?;
        Ok(guest.to_string_lossy().into_owned())
    }

    /// Adds a file or directory from beside the scenario, and gives its path in the guest.
    fn beside(&mut self, name: &str) -> Result<String> {
        let plain = Path::new(name).components().filter(|part| *part != Component::CurDir);
        let inner: PathBuf = plain.collect();
        if inner.as_os_str().is_empty() || inner.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(Error::usage(format!("the file {name} must lie beside the scenario, or below")));
        }
        let host = self.beside.join(&inner);
        let guest = Path::new(EXEC_FILES).join(&inner);
        self.tree(&host, &guest)?;
        Ok(guest.to_string_lossy().into_owned())
    }

    fn tree(&mut self, host: &Path, guest: &Path) -> Result<()> {
        let cannot = || format!("cannot read {}, which the scenario's program needs", host.display());
        let about = fs::metadata(host).map_err(|e| Error::usage(format!("{}: {e}", cannot())))?;
        if about.is_dir() {
            self.archive.dir(guest, 0o755);
            for entry in fs::read_dir(host).machine(cannot)? {
                let entry = entry.machine(cannot)?;
                self.tree(&entry.path(), &guest.join(entry.file_name()))?;
            }
            return Ok(());
        }
        if !about.is_file() {
            return Err(Error::usage(format!("{} is neither a file nor a directory", host.display())));
        }
        self.bytes += about.len();
        if self.bytes > MOST_FILES_BYTES {
            let most = MOST_FILES_BYTES >> 20;
            return Err(Error::usage(format!("the files beside the scenario's programs have more than {most} MiB")));
        }
        self.executable(host, guest)
    }

    /// Adds a file, and what runs it if it is a program.
    fn executable(&mut self, host: &Path, guest: &Path) -> Result<()> {
        if !self.packed.insert(guest.to_owned()) {
            return Ok(());
        }
        let cannot = || format!("cannot read {}", host.display());
        let mut head = Vec::new();
        fs::File::open(host).and_then(|file| file.take(256).read_to_end(&mut head)).machine(cannot)?;
        if head.starts_with(b"\x7fELF") {
            self.archive.program(host, guest, &self.libraries)?;
            return if file_name(&real(host)).starts_with("python3") { self.python(host) } else { Ok(()) };
        }
        let text = fs::read(host).machine(cannot)?;
        if let Some(interpreter) = interpreter(&head) {
            self.interpreter(&interpreter, host)?;
            if interpreter.iter().any(|word| SHELLS.contains(&file_name(Path::new(word)).as_str())) {
                self.named_in(&String::from_utf8_lossy(&text))?;
            }
        }
        self.archive.file(guest, 0o755, text);
        Ok(())
    }

    /// Adds what the first line of a script names: a program, and with env the one that it starts.
    fn interpreter(&mut self, words: &[String], script: &Path) -> Result<()> {
        let missing = |name: &str| {
            let script = script.display();
            Error::usage(format!(
                "{script} is run by {name}, which this machine does not have; install it, or name its package by --package"
            ))
        };
        let [program, rest @ ..] = words else { return Ok(()) };
        let host =
            self.root.as_ref().map(|root| root.join(program.trim_start_matches('/'))).filter(|path| path.is_file());
        let host = host.unwrap_or_else(|| PathBuf::from(program));
        if !host.is_file() {
            return Err(missing(program));
        }
        self.executable(&host, Path::new(program))?;
        let is_env = file_name(Path::new(program)) == "env";
        let its_program = rest.iter().find(|word| is_env && !word.starts_with('-') && !word.contains('='));
        if let Some(name) = its_program {
            let found = self.path.find(name).ok_or_else(|| missing(name))?;
            self.program(&found)?;
        }
        Ok(())
    }

    /// Adds all programs whose names stand in the text of a shell script. One that is not meant takes some memory; one that is missed is named
    /// by the shell when it does not find it.
    fn named_in(&mut self, text: &str) -> Result<()> {
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
        let names: BTreeSet<&str> = text.split(|c| !of_a_name(c)).filter(|word| !word.is_empty()).collect();
        for name in names {
            let Some(found) = self.path.find(name) else { continue };
            if fs::metadata(&found).is_ok_and(|about| about.len() <= MOST_NAMED_BYTES) {
                self.program(&found)?;
            }
        }
        Ok(())
    }

    /// Adds Python's standard library, where this Python says that it has it.
    fn python(&mut self, program: &Path) -> Result<()> {
        let ask = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let answer = process::output(Command::new(program).args(["-I", "-c", ask]))?;
        let dir = PathBuf::from(String::from_utf8_lossy(&answer).trim());
        if !dir.is_absolute() || !dir.is_dir() {
            return Err(Error::machine(format!("{} does not say where its library is", program.display())));
        }
        self.python_files(&dir, program)
    }

    fn python_files(&mut self, dir: &Path, program: &Path) -> Result<()> {
        let cannot = || format!("cannot read {}", dir.display());
        self.archive.dir(dir, 0o755);
        for entry in fs::read_dir(dir).machine(cannot)? {
            let path = entry.machine(cannot)?.path();
            let name = file_name(&path);
            if path.is_dir() {
                if !NOT_OF_PYTHON.contains(&name.as_str()) && !name.starts_with("config-") {
                    self.python_files(&path, program)?;
                }
            } else if name.ends_with(".so") {
                self.archive.shared_object(&path, program, &self.libraries)?;
            } else if path.is_file() && !name.ends_with(".a") {
                self.archive.file(&path, 0o644, fs::read(&path).machine(|| format!("cannot read {}", path.display()))?);
            }
        }
        Ok(())
    }
}

fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the words of the first line of a script; `None` if it has no such line.
fn interpreter(head: &[u8]) -> Option<Vec<String>> {
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|&byte| byte == b'\n').next()?;
    let words: Vec<String> = String::from_utf8_lossy(line).split_whitespace().map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packs a program from beside files of these names and texts, and gives its words and the paths in the archive.
    fn packed(files: &[(&str, &str)], command: &str) -> Result<(Vec<String>, Vec<String>)> {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::create_dir_all(home.path().join(name).parent().unwrap()).unwrap();
            fs::write(home.path().join(name), text).unwrap();
        }
        let mut archive = Archive::new();
        let places: Vec<&Path> = PROGRAM_DIRS.iter().map(Path::new).collect();
        let mut packer = Packer {
            archive: &mut archive,
            libraries: Libraries::detect(),
            path: SearchPath::new(&places),
            root: None,
            beside: home.path(),
            packed: BTreeSet::new(),
            bytes: 0,
        };
        let words = packer.words(&Program::new(command))?;
        let packed = packer.packed.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        Ok((words, packed))
    }

    #[test]
    fn script_comes_with_its_shell_and_the_programs_that_it_names() {
        let script = "#!/bin/sh\nmkdir \"$1/x\" && rmdir \"$1/x\" # no-such-program\n";
        let (words, packed) = packed(&[("repro.sh", script)], "./repro.sh {dir} 7").unwrap();
        assert_eq!(words, ["/exec/repro.sh", "{dir}", "7"]);
        let has = |name: &str| packed.iter().any(|path| path.ends_with(name));
        assert!(has("/exec/repro.sh") && has("/sh") && has("/mkdir") && has("/rmdir"), "{packed:?}");
        assert!(!has("/no-such-program"));
    }

    #[test]
    fn shell_with_a_text_comes_with_what_the_text_names() {
        let (words, packed) = packed(&[], "sh -c 'touch {dir}/x; rm {dir}/x'").unwrap();
        assert!(words[0].starts_with('/') && words[2] == "touch {dir}/x; rm {dir}/x", "{words:?}");
        assert!(packed.iter().any(|path| path.ends_with("/touch")) && packed.iter().any(|path| path.ends_with("/rm")));
    }

    #[test]
    fn file_that_a_word_names_lies_in_the_guest_too() {
        let files = [("a/data", "x"), ("run.sh", "cat a/data\n")];
        let (words, packed) = packed(&files, "sh run.sh a {dir}").unwrap();
        assert_eq!(words[1..], ["/exec/run.sh", "/exec/a", "{dir}"]);
        assert!(packed.contains(&"/exec/a/data".to_owned()), "{packed:?}");
        assert!(packed.iter().any(|path| path.ends_with("/cat")), "what a script names that a shell is given");
    }

    #[test]
    fn program_that_is_not_there_is_told_with_the_way_out() {
        let error = |files: &[(&str, &str)], command: &str| packed(files, command).unwrap_err().to_string();
        assert!(
            error(&[], "no-such-program").contains("write ./no-such-program for a file, or name the Debian package")
        );
        assert!(error(&[], "./gone.sh").contains("there is no program ./gone.sh in"));
        assert!(error(&[], "/no/such").contains("there is no program /no/such on this machine"));
        assert!(error(&[("../up", "")], "./../up").contains("must lie beside the scenario"));
        let script = [("a.py", "#!/usr/bin/env no-such-python\n")];
        assert!(error(&script, "./a.py").contains("is run by no-such-python, which this machine does not have"));
    }

    #[test]
    fn program_of_another_processor_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let mut elf = fs::read(std::env::current_exe().unwrap()).unwrap();
        // e_machine: AArch64.
        elf[18..20].copy_from_slice(&183u16.to_le_bytes());
        fs::write(home.path().join("foreign"), &elf[..4096.min(elf.len())]).unwrap();
        let error = Archive::new().program(&home.path().join("foreign"), "/foreign", &Libraries::detect()).err();
        assert!(error.is_some_and(|error| error.to_string().contains("foreign")));
    }
}
