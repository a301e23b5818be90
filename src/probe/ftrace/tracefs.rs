//! Switching tracepoints on and off, and the kernel's trace buffer: tracefs.

use super::decode::{CACHE_ALLOC, KMALLOC, OBJECT_FREE, PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE, STACK};
use super::format::Format;
use super::wanted::{AllocSource, TraceTargets};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::memory;
use nix::libc::O_NONBLOCK;
use nix::mount::{MsFlags, mount};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(super) const ROOT: &str = "/sys/kernel/tracing";

/// What the buffer of each processor holds whatever the directory, in KiB.
const BASE_KIB: u64 = 4096;
/// For each entry beside that, in KiB. A name that is allocated takes 60 bytes and its stack 150, one that is freed 32, and a
/// unit of most scenarios lists once; what it lists twice, and replies, skbs and pages, have three times as much to spare.
const KIB_PER_ENTRY: u64 = 1;
/// All processors together take no more of the memory than one part in this.
const MEMORY_PART: u64 = 8;

/// Returns the formats of all events that this kernel has of those that are known here; none without tracefs.
pub fn formats(files: &KernelFiles) -> BTreeMap<&'static str, Format> {
    // A kernel without it has no formats.
    mount_unless_mounted(files);
    let top = TraceBuffer::of_the_machine(files);
    let single = [PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE, STACK];
    let names = [KMALLOC, CACHE_ALLOC, OBJECT_FREE].concat().into_iter().chain(single);
    let format = |name| Format::parse(&fs::read_to_string(top.event(name).join("format")).ok()?);
    names.filter_map(|name| Some((name, format(name)?))).collect()
}

/// Returns whether tracefs is there.
pub(super) fn is_mounted(files: &KernelFiles) -> bool {
    files.path(ROOT).join("events").is_dir()
}

/// Mounts tracefs, if that is possible.
pub(super) fn mount_unless_mounted(files: &KernelFiles) {
    if !is_mounted(files) {
        let _ = mount(Some("tracefs"), &files.path(ROOT), Some("tracefs"), MsFlags::empty(), None::<&str>);
    }
}

/// Returns whether this kernel can trace who allocates objects.
pub fn traces_objects(files: &KernelFiles) -> bool {
    let formats = formats(files);
    [&KMALLOC[..1], &OBJECT_FREE].concat().iter().all(|name| formats.contains_key(name))
}

/// Returns how much the buffer of each processor is to hold for units on a directory of so many entries.
pub fn buffer_kib(files: &KernelFiles, entries: u64) -> Option<u64> {
    let processors = TraceBuffer::of_the_machine(files).processors().len().max(1) as u64;
    let most = memory::kib_of(files, "MemTotal")? / MEMORY_PART / processors;
    Some((BASE_KIB + KIB_PER_ENTRY * entries).min(most))
}

/// One of the kernel's trace buffers: that of the whole machine, or one of its own.
#[derive(Clone, Debug)]
pub struct TraceBuffer {
    /// Of the kernel whose buffer it is.
    pub(super) files: KernelFiles,
    pub(super) dir: PathBuf,
}

impl TraceBuffer {
    /// Returns the one of the whole machine, which whoever traces by hand uses.
    pub fn of_the_machine(files: &KernelFiles) -> Self {
        Self { files: files.clone(), dir: files.path(ROOT) }
    }

    /// Returns the files of the kernel whose buffer it is.
    pub fn kernel_files(&self) -> &KernelFiles {
        &self.files
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn event(&self, name: &str) -> PathBuf {
        self.dir.join("events").join(name)
    }

    pub(super) fn processors(&self) -> Vec<PathBuf> {
        let dir = |cpu: u32| self.dir.join(format!("per_cpu/cpu{cpu}"));
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

    /// Returns how many events the buffers have lost since they were emptied, or `None` if any does not tell.
    pub fn losses(&self) -> Option<u64> {
        self.processors().iter().map(|dir| losses(&fs::read_to_string(dir.join("stats")).ok()?)).sum()
    }

    /// Returns whether any processor's buffer has lost events.
    pub fn lost(&self) -> bool {
        let stats = |dir: &PathBuf| fs::read_to_string(dir.join("stats")).unwrap_or_default();
        self.processors().iter().any(|dir| loses(&stats(dir)))
    }
}

/// Returns whether lines "`what`: `count`" tell of entries.
pub(super) fn has_entries(stats: &str) -> bool {
    stats.lines().filter_map(|line| line.strip_prefix("entries: ")).any(|count| count.trim() != "0")
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
    losses(stats).is_none_or(|count| count > 0)
}

/// Returns how many events lines "`what`: `count`" tell to be lost; `None` if they tell nothing that can be read.
fn losses(stats: &str) -> Option<u64> {
    const LOSSES: [&str; 3] = ["overrun", "commit overrun", "dropped events"];
    let counts = stats.lines().filter_map(|line| line.split_once(": ")).filter(|(what, _)| LOSSES.contains(what));
    let counts = counts.map(|(_, count)| count.trim().parse::<u64>().ok());
    (!stats.is_empty()).then(|| counts.sum::<Option<u64>>()).flatten()
}

/// Writes a value; `None` if the kernel does not take it.
pub(super) fn write(file: &Path, value: &str) -> Option<()> {
    fs::write(file, value).ok()
}

/// Events that are on until this is dropped, and a buffer that is as large.
pub struct Enabled {
    pub(super) buffer: TraceBuffer,
    pub(super) events: Vec<PathBuf>,
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

    /// Makes the buffers and switches on allocations and frees of objects that pass a filter, without stacks and by the clock that
    /// programs know as CLOCK_MONOTONIC; `None` if that cannot be.
    pub fn of_objects(buffer: &TraceBuffer, filter: &str, buffer_kib: u64) -> Option<Self> {
        let mut enabled = Self { buffer: buffer.clone(), events: Vec::new() };
        enabled.stop();
        write(&buffer.file("trace_clock"), "mono")?;
        write(&buffer.file("buffer_size_kb"), &buffer_kib.to_string())?;
        [KMALLOC, CACHE_ALLOC].concat().iter().for_each(|name| _ = enabled.event(name, filter, false));
        OBJECT_FREE.iter().try_for_each(|name| enabled.event(name, filter, false))?;
        write(&buffer.file("trace"), "")?;
        Some(enabled)
    }

    /// Has another filter hold for all of them; `None` if it does not for one.
    pub fn filter(&self, filter: &str) -> Option<()> {
        self.events.iter().try_for_each(|dir| write(&dir.join("filter"), filter))
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
    use crate::probe::kernel_files::made::{MadeFiles, NOTHING_LOST};

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
    fn trace_that_was_stopped_is_that_of_somebody() {
        let stats = "entries: 12\noverrun: 0\ncommit overrun: 0\nread events: 3\n";
        assert!(has_entries(stats));
        assert!(!has_entries(&stats.replace("12", "0")) && !has_entries(""));
    }

    /// Makes a trace buffer of two processors.
    fn buffer() -> (MadeFiles, TraceBuffer) {
        let made = MadeFiles::machine();
        made.tracepoints();
        let buffer = TraceBuffer::of_the_machine(&made.files);
        (made, buffer)
    }

    #[test]
    fn buffer_with_an_event_a_tracer_or_an_entry_is_in_use() {
        let (made, buffer) = buffer();
        assert!(!buffer.in_use());
        for (file, text) in [
            ("set_event", "sched:sched_wakeup\n"),
            ("current_tracer", "function\n"),
            ("per_cpu/cpu1/stats", "entries: 3\n"),
        ] {
            let before = made.tracing(file);
            made.write(&format!("{ROOT}/{file}"), text);
            assert!(buffer.in_use(), "{file}");
            made.write(&format!("{ROOT}/{file}"), before);
        }
        assert!(!buffer.in_use());
    }

    #[test]
    fn buffer_of_each_processor_is_read_and_asked_what_it_lost() {
        let (made, buffer) = buffer();
        assert_eq!((buffer.open().len(), buffer.lost()), (2, false));
        made.write(&format!("{ROOT}/per_cpu/cpu1/stats"), NOTHING_LOST.replace("overrun: 0\nc", "overrun: 7\nc"));
        assert!(buffer.lost());
        made.remove(&format!("{ROOT}/per_cpu/cpu1/trace_pipe_raw"));
        assert_eq!(buffer.open().len(), 1);
    }

    #[test]
    fn events_are_on_until_they_are_dropped() {
        let (made, buffer) = buffer();
        let of_event = |file: &str| made.tracing(&format!("events/kmem/kfree/{file}"));
        let mut enabled = Enabled { buffer: buffer.clone(), events: Vec::new() };
        assert_eq!(enabled.event("kmem/no_such_event", "", true), None);
        assert_eq!(enabled.event("kmem/kfree", "", false), Some(()));
        assert_eq!([of_event("enable"), of_event("filter"), of_event("trigger")], ["1", "", ""]);
        enabled.event("kmem/kfree", "", true).unwrap();
        assert_eq!(of_event("trigger"), "stacktrace");
        enabled.event("kmem/kfree", "bytes_alloc==256", true).unwrap();
        assert_eq!([of_event("filter"), of_event("trigger")], ["bytes_alloc==256", "stacktrace if bytes_alloc==256"]);
        assert!(enabled.start());
        assert_eq!(made.tracing("tracing_on"), "1");
        made.write(&format!("{ROOT}/trace"), "what is left");
        drop(enabled);
        assert_eq!([of_event("enable"), of_event("filter"), of_event("trigger")], ["0", "0", "!stacktrace"]);
        assert_eq!(["tracing_on", "trace", "buffer_size_kb"].map(|file| made.tracing(file)), ["0", "", "1"]);
        let gone = TraceBuffer { dir: made.root().join("gone"), ..buffer };
        let gone = Enabled { buffer: gone, events: Vec::new() };
        assert!(!gone.start());
    }

    #[test]
    fn kernel_with_the_tracepoints_traces_objects_and_one_without_does_not() {
        let (made, _) = buffer();
        assert!(traces_objects(&made.files));
        assert_eq!(formats(&made.files)["kmem/kfree"].id, 12);
        made.remove(&format!("{ROOT}/events/kmem/kfree/format"));
        assert!(!traces_objects(&made.files), "nothing would tell what was freed");
        let without = MadeFiles::machine();
        assert!(!traces_objects(&without.files) && formats(&without.files).is_empty());
    }

    #[test]
    fn buffers_hold_what_a_directory_needs_but_no_more_than_a_part_of_the_memory() {
        let (made, _) = buffer();
        let of = |kib: u64, entries| {
            made.write("/proc/meminfo", format!("MemTotal: {kib} kB\n"));
            buffer_kib(&made.files, entries)
        };
        assert_eq!([of(16 << 20, 0), of(16 << 20, 10_000)], [Some(4096), Some(4096 + 10_000)]);
        // An eighth, by halves for the two processors.
        assert_eq!([of(100_000, 10_000), of(100_000, 1_000_000)], [Some(6250); 2]);
        made.write("/proc/meminfo", "");
        assert_eq!(buffer_kib(&made.files, 0), None);
    }
}
