//! Knows where shared libraries lie on this machine, by the dynamic linker's own rules and without running it.

use super::elf::Object;
use crate::error::{Context, Error, Result};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

/// Directories in which libraries are looked for.
pub struct Libraries {
    /// These come first: unpacked packages.
    first: Vec<PathBuf>,
    machine: Vec<PathBuf>,
}

/// What a program needs to run.
#[derive(Debug, Default)]
pub struct Needs {
    pub interpreter: Option<PathBuf>,
    /// The directory where the interpreter finds libraries without being told: its own.
    pub library_dir: PathBuf,
    /// Names and the files that were found for them.
    pub libraries: BTreeMap<String, PathBuf>,
    /// Names without a file, and who asked for them.
    pub missing: BTreeMap<String, PathBuf>,
}

impl Libraries {
    /// Returns the libraries that this machine's programs run with.
    pub fn detect() -> Self {
        let mut machine = configured(Path::new("/etc/ld.so.conf"), 0);
        machine.extend(["/lib64", "/usr/lib64", "/lib", "/usr/lib"].map(PathBuf::from));
        Self { first: Vec::new(), machine }
    }

    /// Looks into `dirs` before anything else.
    pub fn with_first(mut self, dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        self.first.extend(dirs);
        self
    }

    /// Returns everything that `program` needs, found or not.
    pub fn needs(&self, program: &Path) -> Result<Needs> {
        let object = read(program)?;
        let interpreter = object.interpreter.clone();
        self.needs_of(program, object, interpreter)
    }

    /// Returns everything that a library needs which the program `user` loads, found or not.
    pub fn needs_of_library(&self, library: &Path, user: &Path) -> Result<Needs> {
        self.needs_of(library, read(library)?, read(user)?.interpreter)
    }

    fn needs_of(&self, program: &Path, object: Object, interpreter: Option<PathBuf>) -> Result<Needs> {
        let mut needs = Needs { interpreter, ..Needs::default() };
        let Some(interpreter) = &needs.interpreter else { return Ok(needs) };
        let real = fs::canonicalize(interpreter)
            .machine(|| format!("cannot find {}, the interpreter of {}", interpreter.display(), program.display()))?;
        needs.library_dir = real.parent().unwrap_or(Path::new("/")).to_owned();
        let root = (object.rpath.clone(), origin(program));
        let mut todo = VecDeque::from([(program.to_owned(), object)]);
        while let Some((user, object)) = todo.pop_front() {
            for name in &object.needed {
                // The interpreter is itself listed as a library by some.
                let known = needs.libraries.contains_key(name) || real.file_name().is_some_and(|f| f == name.as_str());
                if known || needs.missing.contains_key(name) {
                    continue;
                }
                match self.find(name, &user, &object, &root, &needs.library_dir) {
                    Some((file, library)) => {
                        needs.libraries.insert(name.clone(), file.clone());
                        todo.push_back((file, library));
                    }
                    None => drop(needs.missing.insert(name.clone(), user.clone())),
                }
            }
        }
        Ok(needs)
    }

    fn find(
        &self,
        name: &str,
        user: &Path,
        object: &Object,
        (root_rpath, root_origin): &(Vec<String>, PathBuf),
        library_dir: &Path,
    ) -> Option<(PathBuf, Object)> {
        let replace = |dirs: &[String], origin: &Path| -> Vec<PathBuf> {
            let origin = origin.to_string_lossy();
            dirs.iter().map(|d| d.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin).into()).collect()
        };
        let mut dirs = self.first.clone();
        // RUNPATH holds for the file's own needs and silences RPATH, which holds for everything below it.
        match object.runpath.is_empty() {
            true => {
                dirs.extend(replace(&object.rpath, &origin(user)));
                dirs.extend(replace(root_rpath, root_origin));
            }
            false => dirs.extend(replace(&object.runpath, &origin(user))),
        }
        dirs.extend(self.machine.iter().cloned());
        dirs.push(library_dir.to_owned());
        let candidates: Vec<PathBuf> = match name.contains('/') {
            true => vec![PathBuf::from(name)],
            false => dirs.into_iter().map(|d| d.join(name)).collect(),
        };
        // A library of another processor is passed over, as the dynamic linker does.
        candidates.into_iter().find_map(|path| {
            let found = Object::parse(&fs::read(&path).ok()?).ok()?;
            (found.kind == object.kind).then_some((path, found))
        })
    }
}

fn read(path: &Path) -> Result<Object> {
    let bytes = fs::read(path).machine(|| format!("cannot read {}", path.display()))?;
    Object::parse(&bytes).map_err(|e| Error::machine(format!("{} is no program that can be run: {e}", path.display())))
}

/// Returns the directory that `$ORIGIN` stands for.
fn origin(file: &Path) -> PathBuf {
    let real = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    real.parent().map(Path::to_owned).unwrap_or_default()
}

/// Returns the directories of `ld.so.conf` and the files that it includes.
fn configured(file: &Path, depth: usize) -> Vec<PathBuf> {
    let Ok(text) = fs::read_to_string(file) else { return Vec::new() };
    let mut dirs = Vec::new();
    for line in text.lines().map(|l| l.split('#').next().unwrap_or_default().trim()).filter(|l| !l.is_empty()) {
        match line.strip_prefix("include").filter(|rest| rest.starts_with(char::is_whitespace)) {
            // A file that includes itself must not keep us for ever.
            Some(pattern) if depth < 8 => {
                let base = file.parent().unwrap_or(Path::new("/"));
                let pattern = base.join(pattern.trim());
                let files = glob::glob(&pattern.to_string_lossy()).into_iter().flatten().flatten();
                dirs.extend(files.flat_map(|f| configured(&f, depth + 1)));
            }
            Some(_) => {}
            None if line.starts_with('/') => dirs.push(PathBuf::from(line)),
            None => {}
        }
    }
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_is_resolved() {
        let needs = Libraries::detect().needs(Path::new("/bin/sh")).unwrap();
        assert!(needs.missing.is_empty(), "{needs:?}");
        assert_eq!(needs.interpreter.is_some(), needs.libraries.keys().any(|n| n.starts_with("libc.so")));
    }

    /// Makes a copy of this test's executable that asks for a library which nobody has.
    fn asking_for_the_impossible(dir: &Path) -> PathBuf {
        let mut bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
        let (real, wrong) = (b"\0libc.so.6\0", b"\0libX.so.6\0");
        let at = bytes.windows(real.len()).position(|w| w == real).expect("tests are linked against glibc");
        bytes[at..at + wrong.len()].copy_from_slice(wrong);
        let program = dir.join("program");
        fs::write(&program, bytes).unwrap();
        program
    }

    #[test]
    fn missing_library_is_named_with_its_user() {
        let dir = tempfile::tempdir().unwrap();
        let program = asking_for_the_impossible(dir.path());
        let needs = Libraries::detect().needs(&program).unwrap();
        assert_eq!(needs.missing.get("libX.so.6"), Some(&program));
        let error = super::super::Archive::new()
            .program(&program, "/init", &Libraries::detect())
            .err()
            .expect("the library is missing");
        assert!(error.to_string().contains("program needs the shared library libX.so.6"), "{error}");
    }

    #[test]
    fn first_directories_win_but_not_with_what_is_no_library() {
        let dir = tempfile::tempdir().unwrap();
        let (bad, good) = (dir.path().join("bad"), dir.path().join("good"));
        let program = asking_for_the_impossible(dir.path());
        fs::create_dir(&bad).unwrap();
        fs::create_dir(&good).unwrap();
        fs::write(bad.join("libX.so.6"), "text").unwrap();
        let machine = Libraries::detect();
        let libc = &machine.needs(Path::new("/bin/sh")).unwrap().libraries["libc.so.6"];
        fs::copy(libc, good.join("libX.so.6")).unwrap();
        let needs = machine.with_first([bad, good.clone()]).needs(&program).unwrap();
        assert_eq!(needs.libraries["libX.so.6"], good.join("libX.so.6"));
    }

    #[test]
    fn included_directories_are_read_in_order() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("conf.d")).unwrap();
        fs::write(dir.path().join("conf.d/b.conf"), "/b\n").unwrap();
        fs::write(dir.path().join("conf.d/a.conf"), "# comment\n/a # why\n").unwrap();
        let main = dir.path().join("ld.so.conf");
        fs::write(&main, "/first\ninclude conf.d/*.conf\ninclude ld.so.conf\n").unwrap();
        let dirs = configured(&main, 0);
        assert_eq!(dirs[..3], ["/first", "/a", "/b"].map(PathBuf::from));
        assert!(dirs.len() < 100);
    }

    #[test]
    fn script_is_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        fs::write(&script, "#!/bin/sh\n").unwrap();
        let error = Libraries::detect().needs(&script).unwrap_err();
        assert!(error.to_string().contains("is no program that can be run"), "{error}");
    }
}
