//! Tracing that disturbs nobody, and is taken back: into a trace buffer of our own, which is made first and removed last, or, where the kernel
//! cannot have one, into that of the whole machine. How that was set before is kept where a later run finds it: if we are killed, that one
//! sets it so again, and removes the buffer.

use super::mark::{Maker, Mark};
use crate::os::owned;
use crate::os::progress::Ui;
use crate::probe::ftrace::{Before, Instance, Instances, Settings, TraceBuffer, Unmounts};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where it is, like the settings until the machine is started anew, and nobody but root can write.
const HOME: &str = "/run";
const PREFIX: &str = "dirleak-trace-";
/// How the names of our trace buffers begin.
const INSTANCE_PREFIX: &str = "dirleak-";
/// It has a few lines.
const MOST_BYTES: u64 = 4096;

/// As long as this lives tracing may be set otherwise; then all is as it was before.
pub struct Journal {
    file: Option<PathBuf>,
    // Dropped when the journal is still there, first the instance.
    instance: Option<Instance>,
    settings: Option<Settings>,
    /// Why there is no instance, if there is none.
    why_not: Option<String>,
}

impl Journal {
    /// Takes back what runs left that were killed, and makes a trace buffer of our own, or keeps how that of the whole machine is set.
    pub fn begin(ui: &Ui) -> Self {
        let mounted = Unmounts::mounted_meanwhile();
        for name in remove_dead(&Instances::of_this_machine()) {
            ui.line(&format!("removed the trace buffer {name}, which a run that was killed had left"));
        }
        drop(mounted);
        if mend(Path::new(HOME)) > 0 {
            ui.line("set tracing as it was before a run that was killed");
        }
        let settings = Settings::of_mount();
        let made = Instances::of_this_machine().make(&format!("{INSTANCE_PREFIX}{}", Mark::from_this_process()));
        let settings = if made.is_ok() { settings } else { settings.with_values() };
        Self::begin_in(Path::new(HOME), made, settings)
    }

    fn begin_in(home: &Path, made: Result<Instance, String>, settings: Settings) -> Self {
        let (instance, why_not) = match made {
            Ok(instance) => (Some(instance), None),
            Err(why_not) => (None, Some(why_not)),
        };
        let file = home.join(format!("{PREFIX}{}", Mark::from_this_process()));
        let written = serde_json::to_vec(settings.before()).ok().and_then(|text| write(&file, &text).ok());
        Self { file: written.map(|()| file), instance, settings: Some(settings), why_not }
    }

    /// Returns the trace buffer to be used.
    pub fn buffer(&self) -> TraceBuffer {
        self.instance.as_ref().map_or_else(TraceBuffer::of_the_machine, Instance::buffer)
    }

    /// Returns, in a sentence, that and why the buffer of the whole machine is used; `None` if it is not.
    pub fn note(&self) -> Option<String> {
        let why_not = self.why_not.as_ref()?;
        Some(format!(
            "traced into the trace buffer of the whole machine, as one of its own could not be made: {why_not}"
        ))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.instance.take());
        drop(self.settings.take());
        if let Some(file) = &self.file {
            let _ = fs::remove_file(file);
        }
    }
}

fn write(file: &Path, text: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(text)
}

/// Removes trace buffers of runs that were killed; returns their names.
fn remove_dead(instances: &Instances) -> Vec<String> {
    let is_dead = |name: &String| Mark::parse(name, INSTANCE_PREFIX).is_some_and(|mark| mark.maker() == Maker::IsDead);
    instances.names().into_iter().filter(is_dead).filter(|name| instances.remove(name)).collect()
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
        let journal = Journal::begin_in(home.path(), Err("the kernel has none".into()), Settings::empty());
        let [file] = &files(home.path())[..] else { panic!("{:?}", files(home.path())) };
        assert!(read(file).is_some() && !is_of_dead(file), "its writer lives");
        assert_eq!(mend(home.path()), 0);
        let note = journal.note().unwrap();
        assert!(note.contains("of the whole machine") && note.ends_with(": the kernel has none"), "{note}");
        drop(journal);
        assert!(files(home.path()).is_empty());
    }

    #[test]
    fn trace_buffers_of_killed_runs_are_removed_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let ours = format!("{INSTANCE_PREFIX}{}", Mark::from_this_process());
        for name in [format!("{INSTANCE_PREFIX}{}", Mark::dead()), ours.clone(), "dirleak-1234".into(), "perf".into()] {
            fs::create_dir(home.path().join(name)).unwrap();
        }
        let instances = Instances::at(home.path());
        assert_eq!(remove_dead(&instances), [format!("{INSTANCE_PREFIX}{}", Mark::dead())]);
        assert!(remove_dead(&instances).is_empty());
        let mut left = instances.names();
        left.sort();
        let mut expected = vec![ours, "dirleak-1234".into(), "perf".into()];
        expected.sort();
        assert_eq!(left, expected);
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
