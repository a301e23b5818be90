//! Trace buffers beside that of the whole machine.

use super::tracefs::{ROOT, TraceBuffer};
use crate::probe::kernel_files::{KernelFiles, entries};
use crate::probe::procfs;
use crate::probe::version::Version;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where trace buffers of their own are made, each with events and settings of its own (Documentation/trace/ftrace.rst, "Instances").
const INSTANCES: &str = "instances";
/// How often, and how long after one another, an instance is tried to be removed.
const REMOVALS: u32 = 20;
const BETWEEN_REMOVALS: Duration = Duration::from_millis(50);

/// The trace buffers that were made beside that of the whole machine.
pub struct Instances(KernelFiles);

impl Instances {
    /// Finds them; tracefs must be mounted.
    pub fn of_the_machine(files: &KernelFiles) -> Self {
        Self(files.clone())
    }

    fn dir(&self) -> PathBuf {
        self.0.path(ROOT).join(INSTANCES)
    }

    /// Returns their names.
    pub fn names(&self) -> Vec<String> {
        entries(&self.dir()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Makes one for events with their stacks; if that cannot be, tells why.
    pub fn make(&self, name: &str) -> std::result::Result<Instance, String> {
        let release = procfs::release_of(&self.0).unwrap_or_default();
        if !keeps_stacks_apart(&release) {
            return Err(format!("Linux {release} puts the stacks of its events into that of the whole machine"));
        }
        self.make_without_stacks(name)
    }

    /// Makes one for events that get no stacks; if that cannot be, tells why.
    pub fn make_without_stacks(&self, name: &str) -> std::result::Result<Instance, String> {
        let dir = self.dir().join(name);
        fs::create_dir(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        Ok(Instance(TraceBuffer { files: self.0.clone(), dir }))
    }

    /// Removes one, whatever events are on in it; returns whether it is gone.
    pub fn remove(&self, name: &str) -> bool {
        remove(&self.dir().join(name))
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
    /// Returns its directory.
    pub fn path(&self) -> &Path {
        &self.0.dir
    }

    /// Returns the buffer, into which is traced as long as this lives.
    pub fn buffer(&self) -> TraceBuffer {
        self.0.clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        remove(&self.0.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn instance_is_there_as_long_as_it_is_held() {
        let made = MadeFiles::machine();
        let instances = Instances::of_the_machine(&made.files);
        let error = instances.make("dirleak-1").unwrap_err();
        assert!(error.ends_with("No such file or directory (os error 2)"), "{error}");
        fs::create_dir_all(instances.dir().join("others")).unwrap();
        let instance = instances.make("dirleak-1").unwrap();
        let event = made.files.path("/sys/kernel/tracing/instances/dirleak-1/events/kmem/kfree");
        assert_eq!(instance.buffer().event("kmem/kfree"), event);
        assert_eq!(instances.names().len(), 2);
        drop(instance);
        assert_eq!(instances.names(), ["others"]);
        assert!(instances.remove("others") && instances.remove("others"), "what is gone is gone");
        assert!(instances.names().is_empty());
    }

    #[test]
    fn kernels_that_mix_stacks_of_instances_into_the_buffer_of_all_get_none() {
        assert_eq!(["5.2.1", "5.10.262", "5.15.0-91-generic", "next"].map(keeps_stacks_apart), [false; 4]);
        assert_eq!(["6.1.192", "6.12.118+deb13-cloud-amd64", "7.3.4"].map(keeps_stacks_apart), [true; 3]);
    }
}
