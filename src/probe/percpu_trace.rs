//! Who allocated per-CPU memory and did not free it: from the percpu tracepoints, allocations and frees paired by pointer.
//!
//! No file of the kernel's tells it, so a few units are traced. What the trace buffer lost is told as no answer at all.

use super::traces::Site;
use crate::error::{Context, Result};
use nix::mount::{MsFlags, mount};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const TRACING: &str = "/sys/kernel/tracing";
const ALLOCATED: &str = "percpu/percpu_alloc_percpu";
const FREED: &str = "percpu/percpu_free_percpu";
/// Functions that allocate for whoever asks, and the tracer's own; the one that asked is told.
const HELPERS: [&str; 5] = ["pcpu_alloc", "__alloc_percpu", "alloc_percpu", "trace_event", "event_triggers"];

/// Tracing that goes on until it is dropped.
pub struct Tracing;

impl Tracing {
    /// Begins; `None` if the kernel has no such tracepoints.
    pub fn begin() -> Option<Self> {
        let root = Path::new(TRACING);
        if !root.join("events").is_dir() {
            mount(Some("tracefs"), TRACING, Some("tracefs"), MsFlags::empty(), None::<&str>).ok()?;
        }
        let tracing = Self;
        write("buffer_size_kb", "4096")?;
        write("trace", "")?;
        write(&format!("events/{ALLOCATED}/trigger"), "stacktrace")?;
        write(&format!("events/{ALLOCATED}/enable"), "1")?;
        write(&format!("events/{FREED}/enable"), "1")?;
        write("tracing_on", "1")?;
        Some(tracing)
    }

    /// Ends and tells what was not freed; `None` if events were lost.
    pub fn end(self) -> Result<Option<Vec<Site>>> {
        drop(self);
        let lost = (0..).map_while(|cpu| fs::read_to_string(format!("{TRACING}/per_cpu/cpu{cpu}/stats")).ok());
        if lost.into_iter().any(|stats| stats.lines().any(|l| l.starts_with("overrun: ") && l != "overrun: 0")) {
            return Ok(None);
        }
        let text =
            fs::read_to_string(format!("{TRACING}/trace")).machine(|| "cannot read the kernel's trace".into())?;
        Ok(Some(unpaired(&text)))
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        for (file, value) in [
            ("tracing_on".to_owned(), "0"),
            (format!("events/{ALLOCATED}/enable"), "0"),
            (format!("events/{FREED}/enable"), "0"),
            (format!("events/{ALLOCATED}/trigger"), "!stacktrace"),
        ] {
            // What could not be switched on need not be switched off.
            let _ = write(&file, value);
        }
    }
}

fn write(file: &str, value: &str) -> Option<()> {
    fs::write(Path::new(TRACING).join(file), value).ok()
}

/// Allocations without a free, by the function that asked. Events are lines "... percpu_alloc_percpu: ... ptr=`pointer` ...", each with
/// its stack below it in lines " => `function`".
fn unpaired(text: &str) -> Vec<Site> {
    let mut alive: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut last = None;
    for line in text.lines() {
        let pointer = line.split_whitespace().find_map(|word| word.strip_prefix("ptr="));
        if let (Some(pointer), true) = (pointer, line.contains("percpu_alloc_percpu:")) {
            alive.insert(pointer, Vec::new());
            last = Some(pointer);
        } else if let (Some(pointer), true) = (pointer, line.contains("percpu_free_percpu:")) {
            alive.remove(pointer);
            last = None;
        } else if let (Some(frame), Some(stack)) =
            (line.trim().strip_prefix("=> "), last.and_then(|p| alive.get_mut(p)))
        {
            stack.push(super::traces::without_offset(frame));
        }
    }
    let mut stacks: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    alive.into_values().for_each(|stack| *stacks.entry(stack).or_default() += 1);
    let mut sites: Vec<Site> = stacks.into_iter().map(|(stack, objects)| site(stack, objects)).collect();
    sites.sort_by_key(|site| -site.objects);
    sites
}

fn site(stack: Vec<String>, objects: i64) -> Site {
    let asked = stack.iter().find(|f| !HELPERS.iter().any(|helper| f.starts_with(helper)));
    Site { function: asked.cloned().unwrap_or_default(), stack, objects }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_freed_is_not_told() {
        let event = |name: &str, pointer: &str| {
            format!(
                "            init-1       [000] ..... 1.5: percpu_{name}_percpu: call_site=x+0x1/0x2 size=8 ptr={pointer} gfp_flags=GFP_KERNEL\n"
            )
        };
        let stack = "            init-1       [000] ...1. 1.5: <stack trace>\n => pcpu_alloc\n => __alloc_percpu\n => nfs_alloc_server\n";
        let text = format!(
            "# tracer: nop\n#\n{}{stack}{}{stack}{}",
            event("alloc", "00000000aa"),
            event("alloc", "00000000bb"),
            event("free", "00000000aa")
        );
        let sites = unpaired(&text);
        assert_eq!(sites.len(), 1);
        assert_eq!((sites[0].function.as_str(), sites[0].objects), ("nfs_alloc_server", 1));
    }
}
