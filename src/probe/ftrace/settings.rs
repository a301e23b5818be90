//! How the trace buffer of the whole machine was set before anybody traced into it, and that it is set so again.

use super::decode::{CACHE_ALLOC, KMALLOC, OBJECT_FREE, PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE};
use super::tracefs::{Enabled, ROOT, TraceBuffer, chosen, is_mounted, mount_unless_mounted, write};
use crate::probe::kernel_files::KernelFiles;
use nix::mount::umount;
use serde::{Deserialize, Serialize};
use std::fs;

/// tracefs is no more mounted when this is dropped than it is now.
pub struct Unmounts {
    files: KernelFiles,
    was_mounted: bool,
}

impl Unmounts {
    /// Notes whether tracefs is mounted now.
    pub fn unless_mounted(files: &KernelFiles) -> Self {
        Self { files: files.clone(), was_mounted: is_mounted(files) }
    }

    /// Notes it, and mounts it.
    pub fn mounted_meanwhile(files: &KernelFiles) -> Self {
        let unmounts = Self::unless_mounted(files);
        mount_unless_mounted(files);
        unmounts
    }
}

impl Drop for Unmounts {
    fn drop(&mut self) {
        if !self.was_mounted {
            // Where somebody uses it by now, it stays.
            let _ = umount(&self.files.path(ROOT));
        }
    }
}

/// How the kernel's buffer was set before anybody traced; it is set so again when this is dropped.
pub struct Settings {
    files: KernelFiles,
    before: Before,
}

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
    pub fn of_mount(files: &KernelFiles) -> Self {
        let was_mounted = is_mounted(files);
        mount_unless_mounted(files);
        Self { files: files.clone(), before: Before { values: Vec::new(), was_mounted, had_events: true } }
    }

    /// Keeps what is set in the buffer of the whole machine now, too, to set it again later.
    pub fn with_values(mut self) -> Self {
        let now = |file: &str| Some((file.to_owned(), now(&self.files, file)?));
        self.before.values = CHANGED.into_iter().filter_map(now).collect();
        self.before.had_events = TraceBuffer::of_the_machine(&self.files).in_use();
        self
    }

    /// Returns what was set before.
    pub fn before(&self) -> &Before {
        &self.before
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.before.set_again(&self.files);
    }
}

impl Before {
    /// Switches off what a run that was killed may have left on, and sets the rest as it was.
    pub fn restore(&self, files: &KernelFiles) {
        if !self.had_events {
            let names = [KMALLOC, CACHE_ALLOC, OBJECT_FREE].concat();
            let names = names.into_iter().chain([PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE]);
            let buffer = TraceBuffer::of_the_machine(files);
            let events = names.map(|name| buffer.event(name)).filter(|dir| dir.is_dir()).collect();
            // What it had on is switched off as it would have done itself.
            drop(Enabled { buffer, events });
        }
        self.set_again(files);
    }

    fn set_again(&self, files: &KernelFiles) {
        // Writing what is there already would empty the buffer (tracing_set_clock in kernel/trace/trace.c).
        let is_changed =
            |file: &str, value: &String| CHANGED.contains(&file) && now(files, file).as_ref() != Some(value);
        for (file, value) in self.values.iter().filter(|(file, value)| is_changed(file, value)) {
            // What cannot be set was not changed either.
            let _ = write(&files.path(ROOT).join(file), value);
        }
        drop(Unmounts { files: files.clone(), was_mounted: self.was_mounted });
    }
}

/// Returns what is set now in the buffer of the whole machine.
fn now(files: &KernelFiles, file: &str) -> Option<String> {
    Some(chosen(&fs::read_to_string(files.path(ROOT).join(file)).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    /// Makes a machine that can trace.
    fn machine() -> MadeFiles {
        let made = MadeFiles::machine();
        made.tracepoints();
        made
    }

    /// Returns what of the whole machine's tracing a run may change.
    fn changed(made: &MadeFiles) -> [String; 3] {
        CHANGED.map(|file| made.tracing(file))
    }

    #[test]
    fn tracing_of_the_machine_is_set_again_as_it_was() {
        let made = machine();
        let settings = Settings::of_mount(&made.files).with_values();
        let values = [("trace_clock", "local"), ("buffer_size_kb", "1408"), ("tracing_on", "1")];
        let values = values.map(|(file, value)| (file.to_owned(), value.to_owned())).to_vec();
        assert_eq!(*settings.before(), Before { values, was_mounted: true, had_events: false });
        for (file, value) in [("trace_clock", "local [global]\n"), ("buffer_size_kb", "4096\n")] {
            made.write(&format!("{ROOT}/{file}"), value);
        }
        drop(settings);
        assert_eq!(changed(&made), ["local", "1408", "1\n"], "what is set already is not written once more");
    }

    #[test]
    fn mount_alone_is_kept_of_a_machine_whose_buffer_is_not_used() {
        let made = machine();
        let settings = Settings::of_mount(&made.files);
        assert_eq!(*settings.before(), Before { values: Vec::new(), was_mounted: true, had_events: true });
        made.write(&format!("{ROOT}/trace_clock"), "local [global]\n");
        drop(settings);
        assert_eq!(made.tracing("trace_clock"), "local [global]\n");
        assert!(!Settings::of_mount(&MadeFiles::machine().files).before().was_mounted);
    }

    #[test]
    fn events_that_a_killed_run_left_on_are_switched_off_and_those_of_others_are_not() {
        for (had_events, left) in [(false, "0"), (true, "1")] {
            let made = machine();
            let values = vec![("trace_clock".to_owned(), "local".to_owned()), ("set_event".to_owned(), "x".to_owned())];
            made.write(&format!("{ROOT}/events/kmem/kfree/enable"), "1");
            made.write(&format!("{ROOT}/trace_clock"), "local [global]\n");
            Before { values, was_mounted: true, had_events }.restore(&made.files);
            assert_eq!(made.tracing("events/kmem/kfree/enable"), left);
            assert_eq!((made.tracing("trace_clock"), made.tracing("set_event")), ("local".into(), "".into()));
        }
    }
}
