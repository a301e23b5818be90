//! The guests' consoles that records name, as far as they may be shown: of a result file that somebody sent, only the name is
//! known, and a report must not show whatever file of this machine that is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// So much of the end of a log is shown; what went wrong is there.
const SHOWN_BYTES: u64 = 256 * 1024;

/// Where logs are looked for.
#[derive(Clone, Debug, Default)]
pub struct Logs {
    /// Directories whose files may be shown: the cache's own, and those of the result files.
    dirs: Vec<PathBuf>,
}

/// A console, or why it is not shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Console {
    /// The text, and how many bytes before it are left out.
    Text { text: String, left_out: u64 },
    /// Why there is none, in one sentence.
    Missing(String),
}

impl Logs {
    /// Looks in these directories, and nowhere else.
    pub fn within(dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        Self { dirs: dirs.into_iter().filter_map(|dir| dir.canonicalize().ok()).collect() }
    }

    /// Reads the console that a record names.
    pub fn read_console(&self, console_log: Option<&str>) -> Console {
        let Some(named) = console_log else {
            return Console::Missing("The result names no console log.".into());
        };
        match self.find(Path::new(named)) {
            Some(path) => read(&path)
                .unwrap_or_else(|e| Console::Missing(format!("The console log {named} cannot be read: {e}."))),
            None => Console::Missing(format!(
                "The console log {named} is not here: it is neither in the cache's {} nor beside the result file.",
                crate::os::cache::LOGS
            )),
        }
    }

    /// Finds the log itself if it lies where logs do, or a file of its name there.
    fn find(&self, named: &Path) -> Option<PathBuf> {
        let itself = named
            .canonicalize()
            .ok()
            .filter(|path| path.parent().is_some_and(|dir| self.dirs.iter().any(|d| d == dir)));
        let is_log = |path: &PathBuf| path.extension() == Some(OsStr::new("log")) && path.is_file();
        let beside = || {
            let name = named.file_name()?;
            let here = self.dirs.iter().filter_map(|dir| Some((dir, dir.join(name).canonicalize().ok()?)));
            // A symbolic link leads elsewhere.
            here.filter(|(dir, path)| path.parent() == Some(dir)).map(|(_, path)| path).find(is_log)
        };
        itself.filter(is_log).or_else(beside)
    }
}

/// Reads the end of a file, wrong UTF-8 replaced, and control characters taken out that a terminal would have taken for
/// colours.
fn read(path: &Path) -> std::io::Result<Console> {
    let mut file = File::open(path)?;
    let left_out = file.metadata()?.len().saturating_sub(SHOWN_BYTES);
    file.seek(SeekFrom::Start(left_out))?;
    let mut bytes = Vec::new();
    file.take(SHOWN_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    Ok(Console::Text { text: text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect(), left_out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn shown(logs: &Logs, named: &Path) -> Option<String> {
        match logs.read_console(named.to_str()) {
            Console::Text { text, .. } => Some(text),
            Console::Missing(why) => {
                assert!(why.contains("is not here"), "{why}");
                None
            }
        }
    }

    #[test]
    fn logs_that_lie_elsewhere_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let [logs, other] = ["logs", "other"].map(|name| dir.path().join(name));
        for place in [&logs, &other] {
            fs::create_dir(place).unwrap();
        }
        fs::write(logs.join("1.log"), "one\r\n\u{1b}[31mtwo").unwrap();
        fs::write(other.join("secret.log"), "secret").unwrap();
        fs::write(other.join("key"), "secret").unwrap();
        std::os::unix::fs::symlink(other.join("secret.log"), logs.join("link.log")).unwrap();
        let known = Logs::within([logs.clone(), dir.path().join("missing")]);
        assert_eq!(shown(&known, &logs.join("1.log")).unwrap(), "one\n[31mtwo");
        assert_eq!(shown(&known, Path::new("/elsewhere/1.log")).unwrap(), "one\n[31mtwo", "it came with the result");
        for hidden in [
            other.join("secret.log"),
            other.join("key"),
            logs.join("link.log"),
            logs.join("../other/key"),
            logs.clone(),
        ] {
            assert_eq!(shown(&known, &hidden), None, "{}", hidden.display());
        }
        assert_eq!(known.read_console(None), Console::Missing("The result names no console log.".into()));
    }

    #[test]
    fn flood_is_shown_by_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("flood.log");
        fs::write(&path, "x".repeat(SHOWN_BYTES as usize) + "the end\n").unwrap();
        let Console::Text { text, left_out } = Logs::within([dir.path().to_owned()]).read_console(path.to_str()) else {
            panic!()
        };
        assert!(text.ends_with("the end\n") && text.len() as u64 == SHOWN_BYTES);
        assert_eq!(left_out, 8);
    }
}
