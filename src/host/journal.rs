//! How tracing was set before we traced, kept where a later run finds it: if we are killed, that one sets it so again.

use super::mark::{Maker, Mark};
use crate::os::owned;
use crate::os::progress::Ui;
use crate::probe::ftrace::{Before, Settings};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where it is, like the settings until the machine is started anew, and nobody but root can write.
const HOME: &str = "/run";
const PREFIX: &str = "dirleak-trace-";
/// It has a few lines.
const MOST_BYTES: u64 = 4096;

/// As long as this lives tracing may be set otherwise; then all is as it was before.
pub struct Journal {
    file: Option<PathBuf>,
    // Dropped when the journal is still there.
    settings: Option<Settings>,
}

impl Journal {
    /// Sets tracing as it was before runs that were killed, and keeps how that is.
    pub fn begin(ui: &Ui) -> Self {
        Self::begin_in(Path::new(HOME), Settings::keep, ui)
    }

    fn begin_in(home: &Path, keep: impl FnOnce() -> Settings, ui: &Ui) -> Self {
        if mend(home) > 0 {
            ui.line("set tracing as it was before a run that was killed");
        }
        let settings = keep();
        let file = home.join(format!("{PREFIX}{}", Mark::from_this_process()));
        let written = serde_json::to_vec(settings.before()).ok().and_then(|text| write(&file, &text).ok());
        Self { file: written.map(|()| file), settings: Some(settings) }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.settings.take());
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

fn write(file: &Path, text: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text)
}

/// Does what runs that were killed left to be done; how many that were.
fn mend(home: &Path) -> usize {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path()).filter(|path| is_of_dead(path));
    let mend = |file: PathBuf| {
        // One that was cut off was so before anything was changed.
        if let Some(before) = read(&file) {
            before.restore();
        }
        fs::remove_file(&file).ok()
    };
    files.filter_map(mend).count()
}

fn is_of_dead(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Mark::parse(&name, PREFIX).is_some_and(|mark| mark.maker() == Maker::IsDead)
}

/// Reads a journal that only we could have written.
fn read(file: &Path) -> Option<Before> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(file).ok()?;
    let is_ours =
        opened.metadata().is_ok_and(|meta| meta.is_file() && owned::is_of_us(&meta) && owned::is_trusted(&meta));
    let mut text = Vec::new();
    is_ours.then(|| opened.take(MOST_BYTES).read_to_end(&mut text))?.ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(home: &Path) -> Vec<PathBuf> {
        fs::read_dir(home).unwrap().flatten().map(|entry| entry.path()).collect()
    }

    #[test]
    fn journal_is_there_as_long_as_tracing_may_be_changed() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::begin_in(home.path(), Settings::empty, &Ui::silent());
        let [file] = &files(home.path())[..] else { panic!("{:?}", files(home.path())) };
        assert!(read(file).is_some() && !is_of_dead(file), "its writer lives");
        assert_eq!(mend(home.path()), 0);
        drop(journal);
        assert!(files(home.path()).is_empty());
    }

    #[test]
    fn journal_of_a_killed_run_is_carried_out_once() {
        let home = tempfile::tempdir().unwrap();
        // Nothing to be set, as this machine's tracing is none of a test.
        fs::write(
            home.path().join(format!("{PREFIX}{}", Mark::dead())),
            "{\"values\":[],\"was_mounted\":true,\"had_events\":true}",
        )
        .unwrap();
        fs::write(home.path().join("dirleak-trace-other"), "").unwrap();
        assert_eq!((mend(home.path()), mend(home.path())), (1, 0));
        assert_eq!(files(home.path()), [home.path().join("dirleak-trace-other")]);
    }

    #[test]
    fn journal_that_others_could_have_written_is_not_read() {
        let home = tempfile::tempdir().unwrap();
        let text = "{\"values\":[],\"was_mounted\":true,\"had_events\":true}";
        let (file, link, fifo) = (home.path().join("file"), home.path().join("link"), home.path().join("fifo"));
        fs::write(&file, text).unwrap();
        assert!(read(&file).is_some());
        std::os::unix::fs::symlink(&file, &link).unwrap();
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&link).is_none() && read(&fifo).is_none());
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        assert!(read(&file).is_none());
    }
}
