//! Tracing that disturbs nobody, and is taken back: into a trace buffer of our own, which is made first and removed last, or, where the kernel
//! cannot have one, into that of the whole machine. How that was set before is kept where a later run finds it: if we are killed, that one
//! sets it so again, and removes the buffer.

use super::mark::{Maker, Mark};
use crate::os::owned;
use crate::os::progress::Ui;
use crate::probe::ftrace::{Before, Instance, Instances, Settings, TraceBuffer, Unmounts};
use crate::probe::kernel_files::{KernelFiles, entries};
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
    files: KernelFiles,
    file: Option<PathBuf>,
    // Dropped when the journal is still there, first the instance.
    instance: Option<Instance>,
    settings: Option<Settings>,
    /// Why there is no instance, if there is none.
    why_not: Option<String>,
}

impl Journal {
    /// Takes back what runs left that were killed, and makes a trace buffer of our own, or keeps how that of the whole machine is set.
    pub fn begin(files: &KernelFiles, ui: &Ui) -> Self {
        Self::begin_in(Path::new(HOME), files, |line| ui.line(line))
    }

    /// Does the same for a trace that goes on for hours, which has no stacks and is never of the whole machine: `Err` tells why there cannot be
    /// one.
    pub fn begin_long(files: &KernelFiles, ui: &Ui) -> std::result::Result<Self, String> {
        Self::begin_long_in(Path::new(HOME), files, |line| ui.line(line))
    }

    fn begin_long_in(home: &Path, files: &KernelFiles, tell: impl Fn(&str)) -> std::result::Result<Self, String> {
        let settings = Self::mended(home, files, tell);
        let instances = Instances::of_the_machine(files);
        let instance = instances.make_without_stacks(&format!("{INSTANCE_PREFIX}{}", Mark::from_this_process()))?;
        Ok(Self::keep(home, files, settings, Some(instance), None))
    }

    fn begin_in(home: &Path, files: &KernelFiles, tell: impl Fn(&str)) -> Self {
        let settings = Self::mended(home, files, tell);
        let instances = Instances::of_the_machine(files);
        match instances.make(&format!("{INSTANCE_PREFIX}{}", Mark::from_this_process())) {
            Ok(instance) => Self::keep(home, files, settings, Some(instance), None),
            Err(why_not) => Self::keep(home, files, settings.with_values(), None, Some(why_not)),
        }
    }

    /// Takes back what runs left that were killed, and mounts tracefs.
    fn mended(home: &Path, files: &KernelFiles, tell: impl Fn(&str)) -> Settings {
        let instances = Instances::of_the_machine(files);
        let mounted = Unmounts::mounted_meanwhile(files);
        for name in remove_dead(&instances) {
            tell(&format!("removed the trace buffer {name}, which a run that was killed had left"));
        }
        drop(mounted);
        if mend(home, files) > 0 {
            tell("set tracing as it was before a run that was killed");
        }
        Settings::of_mount(files)
    }

    /// Has the next run find what is to be taken back if this one is killed.
    fn keep(
        home: &Path,
        files: &KernelFiles,
        settings: Settings,
        instance: Option<Instance>,
        why_not: Option<String>,
    ) -> Self {
        let file = home.join(format!("{PREFIX}{}", Mark::from_this_process()));
        let written = serde_json::to_vec(settings.before()).ok().and_then(|text| write(&file, &text).ok());
        Self { files: files.clone(), file: written.map(|()| file), instance, settings: Some(settings), why_not }
    }

    /// Returns the trace buffer to be used.
    pub fn buffer(&self) -> TraceBuffer {
        let of_the_machine = || TraceBuffer::of_the_machine(&self.files);
        self.instance.as_ref().map_or_else(of_the_machine, Instance::buffer)
    }

    /// Returns where the trace buffer of our own is.
    pub fn instance(&self) -> Option<PathBuf> {
        self.instance.as_ref().map(|instance| instance.path().to_owned())
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
fn mend(home: &Path, kernel_files: &KernelFiles) -> usize {
    let files = entries(home).map(|entry| entry.path()).filter(|path| is_of_dead(path));
    let mend = |file: PathBuf| {
        // One that was cut off was so before anything was changed.
        if let Some(before) = read(&file) {
            before.restore(kernel_files);
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
    use crate::probe::kernel_files::made::MadeFiles;
    use std::cell::RefCell;

    fn files(home: &Path) -> Vec<PathBuf> {
        fs::read_dir(home).unwrap().flatten().map(|entry| entry.path()).collect()
    }

    /// Makes a machine with tracefs, a home for journals, and what was told when one began there.
    fn machine() -> (MadeFiles, tempfile::TempDir) {
        let made = MadeFiles::machine();
        made.tracepoints();
        (made, tempfile::tempdir().unwrap())
    }

    fn begin(home: &Path, made: &MadeFiles) -> (Journal, Vec<String>) {
        let told = RefCell::new(Vec::new());
        let journal = Journal::begin_in(home, &made.files, |line| told.borrow_mut().push(line.to_owned()));
        (journal, told.into_inner())
    }

    #[test]
    fn journal_is_there_as_long_as_tracing_may_be_changed() {
        let (made, home) = machine();
        made.write("/proc/sys/kernel/osrelease", "5.10.262\n");
        let (journal, told) = begin(home.path(), &made);
        let [file] = &files(home.path())[..] else { panic!("{:?}", files(home.path())) };
        assert!(read(file).is_some() && !is_of_dead(file), "its writer lives");
        assert_eq!((mend(home.path(), &made.files), told.len()), (0, 0));
        let note = journal.note().unwrap();
        assert!(note.contains("of the whole machine") && note.contains(": Linux 5.10.262 puts the stacks"), "{note}");
        made.write("/sys/kernel/tracing/trace_clock", "local [global]\n");
        drop(journal);
        assert_eq!((files(home.path()).len(), made.tracing("trace_clock")), (0, "local".into()));
    }

    #[test]
    fn buffer_of_our_own_is_made_where_the_kernel_can_and_is_gone_at_the_end() {
        let (made, home) = machine();
        let instances = Instances::of_the_machine(&made.files);
        fs::create_dir(made.files.path("/sys/kernel/tracing/instances")).unwrap();
        let (journal, _) = begin(home.path(), &made);
        assert_eq!((journal.note(), instances.names().len()), (None, 1));
        drop(journal);
        assert!(instances.names().is_empty() && files(home.path()).is_empty());
    }

    #[test]
    fn long_trace_is_into_a_buffer_of_its_own_or_not_at_all() {
        let (made, home) = machine();
        made.write("/proc/sys/kernel/osrelease", "5.10.262\n");
        let begin = || Journal::begin_long_in(home.path(), &made.files, |_| ());
        let Err(why_not) = begin() else { panic!("the kernel makes no instances") };
        assert!(why_not.contains("instances/dirleak-"), "{why_not}");
        assert!(files(home.path()).is_empty());
        fs::create_dir(made.files.path("/sys/kernel/tracing/instances")).unwrap();
        let Ok(journal) = begin() else { panic!("what has no stacks mixes none") };
        assert_eq!(Instances::of_the_machine(&made.files).names().len(), 1);
        drop(journal);
        assert!(Instances::of_the_machine(&made.files).names().is_empty() && files(home.path()).is_empty());
    }

    #[test]
    fn trace_buffers_of_killed_runs_are_removed_and_no_others() {
        let (made, home) = machine();
        let ours = format!("{INSTANCE_PREFIX}{}", Mark::from_this_process());
        let dead = format!("{INSTANCE_PREFIX}{}", Mark::dead());
        for name in [dead.clone(), ours.clone(), "dirleak-1234".into(), "perf".into()] {
            fs::create_dir_all(made.files.path("/sys/kernel/tracing/instances").join(name)).unwrap();
        }
        let instances = Instances::of_the_machine(&made.files);
        let (journal, told) = begin(home.path(), &made);
        assert_eq!(told, [format!("removed the trace buffer {dead}, which a run that was killed had left")]);
        drop(journal);
        assert!(remove_dead(&instances).is_empty());
        let mut left = instances.names();
        left.sort();
        let mut expected = vec![ours, "dirleak-1234".into(), "perf".into()];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn journal_of_a_killed_run_is_carried_out_once() {
        let (made, home) = machine();
        let text = r#"{"values":[["trace_clock","local"]],"was_mounted":true,"had_events":true}"#;
        fs::write(home.path().join(format!("{PREFIX}{}", Mark::dead())), text).unwrap();
        fs::write(home.path().join("dirleak-trace-other"), "").unwrap();
        made.write("/sys/kernel/tracing/trace_clock", "local [global]\n");
        let (journal, told) = begin(home.path(), &made);
        assert_eq!(told, ["set tracing as it was before a run that was killed"]);
        assert_eq!(made.tracing("trace_clock"), "local");
        drop(journal);
        assert_eq!(files(home.path()), [home.path().join("dirleak-trace-other")]);
        assert!(begin(home.path(), &made).1.is_empty());
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
