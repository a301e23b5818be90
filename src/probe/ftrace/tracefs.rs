//! Switching tracepoints on and off, and the kernel's trace buffer: tracefs.

use super::decode::{CACHE_ALLOC, KMALLOC, OBJECT_FREE, PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE, STACK};
use super::format::Format;
use super::wanted::{AllocSource, TraceTargets};
use crate::probe::version::Version;
use crate::probe::{memory, procfs};
use nix::libc::O_NONBLOCK;
use nix::mount::{MsFlags, mount, umount};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/sys/kernel/tracing";
/// Where trace buffers of their own are made, each with events and settings of its own (Documentation/trace/ftrace.rst, "Instances").
const INSTANCES: &str = "instances";

/// What the buffer of each processor holds whatever the directory, in KiB.
const BASE_KIB: u64 = 4096;
/// For each entry beside that, in KiB. A name that is allocated takes 60 bytes and its stack 150, one that is freed 32, and a
/// unit of most scenarios lists once; what it lists twice, and replies, skbs and pages, have three times as much to spare.
const KIB_PER_ENTRY: u64 = 1;
/// How often, and how long after one another, an instance is tried to be removed.
const REMOVALS: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(50);
/// All processors together take no more of the memory than one part in this.
const MEMORY_PART: u64 = 8;

/// Returns the formats of all events that this kernel has of those that are known here; none without tracefs.
pub fn formats() -> BTreeMap<&'static str, Format> {
    // A kernel without it has no formats.
    mount_unless_mounted();
    let top = TraceBuffer::of_the_machine();
    let single = [PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE, STACK];
    let names = [KMALLOC, CACHE_ALLOC, OBJECT_FREE].concat().into_iter().chain(single);
    let format = |name| Format::parse(&fs::read_to_string(top.event(name).join("format")).ok()?);
    names.filter_map(|name| Some((name, format(name)?))).collect()
}

fn is_mounted() -> bool {
    Path::new(ROOT).join("events").is_dir()
}

fn mount_unless_mounted() {
    if !is_mounted() {
        let _ = mount(Some("tracefs"), ROOT, Some("tracefs"), MsFlags::empty(), None::<&str>);
    }
}

/// Returns whether this kernel can trace who allocates objects.
pub fn traces_objects() -> bool {
    let formats = formats();
    [&KMALLOC[..1], &OBJECT_FREE].concat().iter().all(|name| formats.contains_key(name))
}

/// Returns how much the buffer of each processor is to hold for units on a directory of so many entries.
pub fn buffer_kib(entries: u64) -> Option<u64> {
    let most =
        memory::kib("MemTotal")? / MEMORY_PART / (TraceBuffer::of_the_machine().processors().len().max(1) as u64);
    Some((BASE_KIB + KIB_PER_ENTRY * entries).min(most))
}

/// One of the kernel's trace buffers: that of the whole machine, or one of its own.
#[derive(Clone, Debug)]
pub struct TraceBuffer(PathBuf);

impl TraceBuffer {
    /// Returns the one of the whole machine, which whoever traces by hand uses.
    pub fn of_the_machine() -> Self {
        Self(PathBuf::from(ROOT))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn event(&self, name: &str) -> PathBuf {
        self.0.join("events").join(name)
    }

    fn processors(&self) -> Vec<PathBuf> {
        let dir = |cpu: u32| self.0.join(format!("per_cpu/cpu{cpu}"));
        (0..).map(dir).take_while(|dir| dir.is_dir()).collect()
    }

    /// Returns whether somebody else traces into it, or has stopped a trace to read it, which must not be spoiled. Of one of its own it is
    /// nobody else.
    pub fn in_use(&self) -> bool {
        let read = |file: &str| fs::read_to_string(self.file(file)).unwrap_or_default();
        let stats = |dir: &PathBuf| fs::read_to_string(dir.join("stats")).unwrap_or_default();
        !read("set_event").trim().is_empty()
            || !["", "nop"].contains(&read("current_tracer").trim())
            || self.processors().iter().any(|dir| has_entries(&stats(dir)))
    }

    /// Returns the buffers of all processors, opened for reading what is there.
    pub fn open(&self) -> Vec<File> {
        let open =
            |dir: PathBuf| File::options().read(true).custom_flags(O_NONBLOCK).open(dir.join("trace_pipe_raw")).ok();
        self.processors().into_iter().filter_map(open).collect()
    }

    /// Returns whether any processor's buffer has lost events.
    pub fn lost(&self) -> bool {
        let stats = |dir: &PathBuf| fs::read_to_string(dir.join("stats")).unwrap_or_default();
        self.processors().iter().any(|dir| loses(&stats(dir)))
    }
}

/// The trace buffers that were made beside that of the whole machine.
pub struct Instances(PathBuf);

impl Instances {
    /// Finds them; tracefs must be mounted.
    pub fn of_this_machine() -> Self {
        Self(Path::new(ROOT).join(INSTANCES))
    }

    /// Takes a directory for theirs.
    #[cfg(test)]
    pub fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Returns their names.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Makes one; if that cannot be, tells why.
    pub fn make(&self, name: &str) -> std::result::Result<Instance, String> {
        let release = procfs::release().unwrap_or_default();
        if !keeps_stacks_apart(&release) {
            return Err(format!("Linux {release} puts the stacks of its events into that of the whole machine"));
        }
        let dir = self.0.join(name);
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Instance(TraceBuffer(dir)))
    }

    /// Removes one, whatever events are on in it; returns whether it is gone.
    pub fn remove(&self, name: &str) -> bool {
        remove(&self.0.join(name))
    }
}

/// Returns whether a stack that an event of an instance triggers is put into that instance: stacktrace_trigger in
/// kernel/trace/trace_events_trigger.c does so in Linux 6.1, and did not in 5.2. Those between were not looked at.
fn keeps_stacks_apart(release: &str) -> bool {
    const FIRST: Version = Version { major: 6, minor: 1 };
    release.parse::<Version>().is_ok_and(|version| version >= FIRST)
}

/// Removes an instance, which the kernel does not while somebody reads it.
fn remove(dir: &Path) -> bool {
    (0..REMOVALS).any(|attempt| {
        if attempt > 0 {
            std::thread::sleep(BETWEEN_REMOVALS);
        }
        fs::remove_dir(dir).is_ok() || !dir.exists()
    })
}

/// A trace buffer of its own, gone when this is dropped.
#[derive(Debug)]
pub struct Instance(TraceBuffer);

impl Instance {
    /// Returns the buffer, into which is traced as long as this lives.
    pub fn buffer(&self) -> TraceBuffer {
        self.0.clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        remove(&self.0.0);
    }
}

/// Returns whether lines "`what`: `count`" tell of entries.
pub(super) fn has_entries(stats: &str) -> bool {
    stats.lines().filter_map(|line| line.strip_prefix("entries: ")).any(|count| count.trim() != "0")
}

/// tracefs is no more mounted when this is dropped than it is now.
pub struct Unmounts {
    was_mounted: bool,
}

impl Unmounts {
    /// Notes whether tracefs is mounted now.
    pub fn unless_mounted() -> Self {
        Self { was_mounted: is_mounted() }
    }

    /// Notes it, and mounts it.
    pub fn mounted_meanwhile() -> Self {
        let unmounts = Self::unless_mounted();
        mount_unless_mounted();
        unmounts
    }
}

impl Drop for Unmounts {
    fn drop(&mut self) {
        if !self.was_mounted {
            // Where somebody uses it by now, it stays.
            let _ = umount(ROOT);
        }
    }
}

/// How the kernel's buffer was set before anybody traced; it is set so again when this is dropped.
pub struct Settings(Before);

/// What was set before, and whether tracefs was there at all.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Before {
    /// Files below the root of tracefs, and what they had in them.
    values: Vec<(String, String)>,
    was_mounted: bool,
    /// Whether somebody else had events on, so that none of ours were switched on.
    had_events: bool,
}

/// Files that are changed, in the order in which they are set again.
const CHANGED: [&str; 3] = ["trace_clock", "buffer_size_kb", "tracing_on"];

impl Settings {
    /// Mounts tracefs, and keeps whether it was: nothing else of the whole machine's is changed.
    pub fn of_mount() -> Self {
        let was_mounted = is_mounted();
        mount_unless_mounted();
        Self(Before { values: Vec::new(), was_mounted, had_events: true })
    }

    /// Keeps what is set in the buffer of the whole machine now, too, to set it again later.
    pub fn with_values(mut self) -> Self {
        self.0.values = CHANGED.into_iter().filter_map(|file| Some((file.to_owned(), now(file)?))).collect();
        self.0.had_events = TraceBuffer::of_the_machine().in_use();
        self
    }

    /// Keeps nothing and sets nothing again: this machine's tracing is none of a test.
    #[cfg(test)]
    pub fn empty() -> Self {
        Self(Before { values: Vec::new(), was_mounted: true, had_events: true })
    }

    /// Returns what was set before.
    pub fn before(&self) -> &Before {
        &self.0
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.0.set_again();
    }
}

impl Before {
    /// Switches off what a run that was killed may have left on, and sets the rest as it was.
    pub fn restore(&self) {
        if !self.had_events {
            let names = [KMALLOC, CACHE_ALLOC, OBJECT_FREE].concat();
            let names = names.into_iter().chain([PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE]);
            let buffer = TraceBuffer::of_the_machine();
            let events = names.map(|name| buffer.event(name)).filter(|dir| dir.is_dir()).collect();
            // What it had on is switched off as it would have done itself.
            drop(Enabled { buffer, events });
        }
        self.set_again();
    }

    fn set_again(&self) {
        // Writing what is there already would empty the buffer (tracing_set_clock in kernel/trace/trace.c).
        let is_changed = |file: &str, value: &String| CHANGED.contains(&file) && now(file).as_ref() != Some(value);
        for (file, value) in self.values.iter().filter(|(file, value)| is_changed(file, value)) {
            // What cannot be set was not changed either.
            let _ = write(&Path::new(ROOT).join(file), value);
        }
        drop(Unmounts { was_mounted: self.was_mounted });
    }
}

/// Returns what is set now in the buffer of the whole machine.
fn now(file: &str) -> Option<String> {
    Some(chosen(&fs::read_to_string(Path::new(ROOT).join(file)).ok()?))
}

/// Returns the value of a file that shows others, too: "local \[global\] counter", or "7 (expanded: 1408)" before anybody has
/// traced.
pub(crate) fn chosen(text: &str) -> String {
    let within =
        |open: &str, close: char| text.split_once(open)?.1.split_once(close).map(|(value, _)| value.to_owned());
    within("[", ']').or_else(|| within("(expanded: ", ')')).unwrap_or_else(|| text.trim().to_owned())
}

/// Returns whether lines "`what`: `count`" tell of lost events, or tell nothing.
pub(crate) fn loses(stats: &str) -> bool {
    let losses = ["overrun", "commit overrun", "dropped events"];
    let counts = stats.lines().filter_map(|line| line.split_once(": ")).filter(|(what, _)| losses.contains(what));
    stats.is_empty() || counts.into_iter().any(|(_, count)| count != "0")
}

fn write(file: &Path, value: &str) -> Option<()> {
    fs::write(file, value).ok()
}

/// Events that are on until this is dropped, and a buffer that is as large.
pub struct Enabled {
    buffer: TraceBuffer,
    events: Vec<PathBuf>,
}

impl Enabled {
    /// Makes the buffer and switches on what tells of all that is wanted; allocations are filtered by size.
    pub fn new(buffer: &TraceBuffer, wanted: &TraceTargets, stacks: bool, buffer_kib: u64) -> Option<Self> {
        let mut enabled = Self { buffer: buffer.clone(), events: Vec::new() };
        enabled.stop();
        // One clock for all processors, because an object is allocated on one and freed on another.
        write(&buffer.file("trace_clock"), "global")?;
        write(&buffer.file("buffer_size_kb"), &buffer_kib.to_string())?;
        for (names, size_classes) in [(KMALLOC, true), (CACHE_ALLOC, false)] {
            let slot_bytes = wanted.slot_bytes(size_classes);
            if !slot_bytes.is_empty() {
                let filter =
                    slot_bytes.iter().map(|bytes| format!("bytes_alloc=={bytes}")).collect::<Vec<_>>().join("||");
                // Which of them there are differs; a kernel with none of them was not begun on.
                names.iter().for_each(|name| _ = enabled.event(name, &filter, stacks));
            }
        }
        if wanted.has(|source| matches!(source, AllocSource::Slab(_))) {
            OBJECT_FREE.iter().try_for_each(|name| enabled.event(name, "", false))?;
        }
        // Without their stacks nobody knows whose these are.
        for (source, allocated, freed) in
            [(AllocSource::Pages, PAGE_ALLOC, PAGE_FREE), (AllocSource::PerCpu, PERCPU_ALLOC, PERCPU_FREE)]
        {
            if wanted.index_of_source(source).is_some() {
                enabled.event(freed, "", false)?;
                enabled.event(allocated, "", true)?;
            }
        }
        write(&buffer.file("trace"), "")?;
        Some(enabled)
    }

    /// Returns the directory of an event; `None` if this kernel has no such event.
    fn event(&mut self, name: &str, filter: &str, stacks: bool) -> Option<()> {
        let dir = self.buffer.event(name);
        if !dir.is_dir() {
            return None;
        }
        self.events.push(dir.clone());
        if !filter.is_empty() {
            write(&dir.join("filter"), filter)?;
        }
        if stacks {
            let condition = if filter.is_empty() { String::new() } else { format!(" if {filter}") };
            write(&dir.join("trigger"), &format!("stacktrace{condition}"))?;
        }
        write(&dir.join("enable"), "1")
    }

    /// Begins.
    pub fn start(&self) -> bool {
        write(&self.buffer.file("tracing_on"), "1").is_some()
    }

    /// Makes no more events; what is in the buffer can still be read.
    pub fn stop(&self) {
        // What is not there is not on.
        let _ = write(&self.buffer.file("tracing_on"), "0");
    }
}

impl Drop for Enabled {
    fn drop(&mut self) {
        self.stop();
        for dir in &self.events {
            // What could not be switched on need not be switched off.
            for (file, value) in [("enable", "0"), ("trigger", "!stacktrace"), ("filter", "0")] {
                let _ = write(&dir.join(file), value);
            }
        }
        // What is left in the buffer would be taken for somebody's trace.
        let _ = write(&self.buffer.file("trace"), "");
        // The smallest there is: the rest are pages that the counters would see.
        let _ = write(&self.buffer.file("buffer_size_kb"), "1");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_that_is_chosen_is_told_from_those_that_could_be() {
        assert_eq!(chosen("local [global] counter uptime\n"), "global");
        assert_eq!(chosen("7 (expanded: 1408)\n"), "1408");
        assert_eq!(chosen("1408\n"), "1408");
    }

    #[test]
    fn lost_events_are_noticed() {
        let stats = "entries: 12\noverrun: 0\ncommit overrun: 0\nbytes: 520\ndropped events: 0\nread events: 3\n";
        assert!(!loses(stats));
        assert!(loses(&stats.replace("overrun: 0\nb", "overrun: 7\nb")));
        assert!(loses(&stats.replace("dropped events: 0", "dropped events: 1")));
        assert!(loses(""), "a buffer that tells nothing may have lost everything");
    }

    #[test]
    fn instance_is_there_as_long_as_it_is_held() {
        let home = tempfile::tempdir().unwrap();
        let instances = Instances::at(home.path());
        let made = Instance(TraceBuffer(home.path().join("dirleak-1")));
        fs::create_dir(home.path().join("dirleak-1")).unwrap();
        fs::create_dir(home.path().join("others")).unwrap();
        assert_eq!(made.buffer().event("kmem/kfree"), home.path().join("dirleak-1/events/kmem/kfree"));
        drop(made);
        assert_eq!(instances.names(), ["others"]);
        assert!(instances.remove("others") && instances.remove("others"), "what is gone is gone");
        assert!(instances.names().is_empty());
    }

    #[test]
    fn kernels_that_mix_stacks_of_instances_into_the_buffer_of_all_get_none() {
        assert_eq!(["5.2.1", "5.10.262", "5.15.0-91-generic", "next"].map(keeps_stacks_apart), [false; 4]);
        assert_eq!(["6.1.192", "6.12.118+deb13-cloud-amd64", "7.3.4"].map(keeps_stacks_apart), [true; 3]);
    }

    #[test]
    fn trace_that_was_stopped_is_that_of_somebody() {
        let stats = "entries: 12\noverrun: 0\ncommit overrun: 0\nread events: 3\n";
        assert!(has_entries(stats));
        assert!(!has_entries(&stats.replace("12", "0")) && !has_entries(""));
    }

    const NOTHING: &str = "entries: 0\noverrun: 0\ncommit overrun: 0\ndropped events: 0\n";

    /// Makes a directory that looks like a trace buffer of two processors with one event.
    fn buffer() -> (tempfile::TempDir, TraceBuffer) {
        let dir = tempfile::tempdir().unwrap();
        let files =
            ["set_event", "per_cpu/cpu0/trace_pipe_raw", "per_cpu/cpu1/trace_pipe_raw", "events/kmem/kfree/enable"];
        for (file, text) in files.map(|file| (file, "")).into_iter().chain([
            ("current_tracer", "nop\n"),
            ("per_cpu/cpu0/stats", NOTHING),
            ("per_cpu/cpu1/stats", NOTHING),
        ]) {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let buffer = TraceBuffer(dir.path().to_owned());
        (dir, buffer)
    }

    #[test]
    fn buffer_with_an_event_a_tracer_or_an_entry_is_in_use() {
        let (dir, buffer) = buffer();
        assert!(!buffer.in_use());
        for (file, text) in [
            ("set_event", "sched:sched_wakeup\n"),
            ("current_tracer", "function\n"),
            ("per_cpu/cpu1/stats", "entries: 3\n"),
        ] {
            let before = fs::read(dir.path().join(file)).unwrap();
            fs::write(dir.path().join(file), text).unwrap();
            assert!(buffer.in_use(), "{file}");
            fs::write(dir.path().join(file), before).unwrap();
        }
        assert!(!buffer.in_use());
    }

    #[test]
    fn buffer_of_each_processor_is_read_and_asked_what_it_lost() {
        let (dir, buffer) = buffer();
        assert_eq!((buffer.open().len(), buffer.lost()), (2, false));
        fs::write(dir.path().join("per_cpu/cpu1/stats"), NOTHING.replace("overrun: 0\nc", "overrun: 7\nc")).unwrap();
        assert!(buffer.lost());
        fs::remove_file(dir.path().join("per_cpu/cpu1/trace_pipe_raw")).unwrap();
        assert_eq!(buffer.open().len(), 1);
    }

    #[test]
    fn events_are_on_until_they_are_dropped() {
        let (dir, buffer) = buffer();
        let read = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap_or_default();
        let of_event = |file: &str| read(&format!("events/kmem/kfree/{file}"));
        let mut enabled = Enabled { buffer: buffer.clone(), events: Vec::new() };
        assert_eq!(enabled.event("kmem/no_such_event", "", true), None);
        assert_eq!(enabled.event("kmem/kfree", "", false), Some(()));
        assert_eq!([of_event("enable"), of_event("filter"), of_event("trigger")], ["1", "", ""]);
        enabled.event("kmem/kfree", "", true).unwrap();
        assert_eq!(of_event("trigger"), "stacktrace");
        enabled.event("kmem/kfree", "bytes_alloc==256", true).unwrap();
        assert_eq!([of_event("filter"), of_event("trigger")], ["bytes_alloc==256", "stacktrace if bytes_alloc==256"]);
        assert!(enabled.start());
        assert_eq!(read("tracing_on"), "1");
        fs::write(dir.path().join("trace"), "what is left").unwrap();
        drop(enabled);
        assert_eq!([of_event("enable"), of_event("filter"), of_event("trigger")], ["0", "0", "!stacktrace"]);
        assert_eq!([read("tracing_on"), read("trace"), read("buffer_size_kb")], ["0", "", "1"]);
        let gone = Enabled { buffer: TraceBuffer(dir.path().join("gone")), events: Vec::new() };
        assert!(!gone.start());
    }
}
