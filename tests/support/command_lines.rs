//! What the documents have people type.

use std::path::{Path, PathBuf};

/// A command line, and where it stands.
pub struct Typed {
    pub at: String,
    pub line: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands before the program's arguments: its name, or how it is run from a checkout.
const PROGRAMS: [&str; 3] = ["dirleak ", "cargo run --release -- ", "target/release/dirleak "];

/// Returns what is typed to the program in the lines of code blocks, after a prompt if `prompt`: all that a line has it do, as root too.
/// Continued lines are joined, what is a remark or goes to another program is left out, and so are lines of which a part is left out there.
pub fn commands(file: &Path, prompt: &str) -> Vec<Typed> {
    let text = std::fs::read_to_string(file).unwrap().replace("\\\n", " ");
    let blocks = text.lines().enumerate().filter_map(|(i, line)| Some((i + 1, line.strip_prefix("    ")?)));
    let mut typed = Vec::new();
    for (i, line) in blocks.filter_map(|(i, line)| Some((i, line.strip_prefix(prompt)?))) {
        let line = line.split(['#', '>']).next().unwrap_or_default();
        for part in line.split("&&").flat_map(|part| part.split([';', '|', '&'])).map(str::trim) {
            let part = part.strip_prefix("sudo ").unwrap_or(part);
            let Some(line) = PROGRAMS.iter().find_map(|program| part.strip_prefix(program)) else { continue };
            if !["…", "..."].iter().any(|mark| line.contains(mark)) {
                let at = format!("{}:{i}", file.strip_prefix(root()).unwrap().display());
                typed.push(Typed { at, line: line.to_owned() });
            }
        }
    }
    typed
}

pub fn documents() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain([root().join("README.md")]).collect()
}
