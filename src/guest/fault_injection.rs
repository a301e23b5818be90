//! Allocations that the kernel is told to fail, as Documentation/fault-injection/fault-injection.rst says: each task has a file into which
//! a number n is written, and the nth allocation that it asks for from then on fails.
//!
//! Read and run of Linux 6.1.192 alone: lib/fault-inject.c (should_fail_ex), mm/failslab.c, mm/page_alloc.c (should_fail_alloc_page).

use crate::error::{Context, Error, Result};
use crate::probe::page_allocator::hands_out_pages;
use crate::probe::site_text::without_offset;
use crate::scenario::fail_nth::AllocationKind;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};

/// The file of the thread that opens it.
const FAIL_NTH: &str = "/proc/thread-self/fail-nth";
const SETTINGS: &str = "/sys/kernel/debug";
const LOG: &str = "/dev/kmsg";
/// Written before each report (fail_dump in lib/fault-inject.c), and behind it the stack.
const REPORT: &str = "FAULT_INJECTION: forcing a failure";
/// What a stack ends with on x86 (show_trace_log_lvl in arch/x86/kernel/dumpstack.c).
const END_OF_STACK: &str = "</TASK>";
/// A record of the log, with what stands before its text (PRINTK_MESSAGE_MAX).
const MOST_RECORD_BYTES: usize = 8192;
/// A number that no order of pages reaches, so that no page fails (MAX_ORDER is 11).
const NO_ORDER: &str = "31";
/// Lines without a level stay out of the console, where a stack for each of some hundred failures would take seconds; warnings and all that
/// is worse are there as ever. The four numbers are those of Documentation/admin-guide/sysctl/kernel.rst, printk.
const QUIET: &str = "5 7 1 5";

/// What fails is told on the kernel's log, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Stack,
    Nothing,
}

/// The failures of the thread that opened it.
pub struct FaultInjection {
    nth: File,
    log: File,
}

impl FaultInjection {
    /// Opens what is needed; an error says which part of the kernel's configuration is missing.
    pub fn open() -> Result<Self> {
        let missing = |what: &str| {
            let what = what.to_owned();
            move |e: std::io::Error| match e.kind() {
                ErrorKind::NotFound => Error::kernel(format!(
                    "this kernel can fail no allocation on purpose: it has no {what}; it needs CONFIG_FAULT_INJECTION_DEBUG_FS, CONFIG_FAILSLAB \
                     and CONFIG_FAIL_PAGE_ALLOC, as kernels have that dirleak builds for it from a series or a tree"
                )),
                _ => Error::machine(format!("cannot open {what}: {e}")),
            }
        };
        let nth = File::options().read(true).write(true).open(FAIL_NTH).map_err(missing(FAIL_NTH))?;
        for kind in AllocationKind::ALL {
            let dir = directory(kind);
            fs::metadata(&dir).map_err(missing(&dir))?;
        }
        let mut log = File::options()
            .read(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(LOG)
            .machine(|| format!("cannot open {LOG}"))?;
        log.seek(SeekFrom::End(0)).machine(|| format!("cannot go to the end of {LOG}"))?;
        fs::write("/proc/sys/kernel/printk", QUIET).machine(|| "cannot set /proc/sys/kernel/printk".into())?;
        Ok(Self { nth, log })
    }

    /// Says which allocations are counted, and whether the one that fails is told.
    pub fn select(&self, kind: AllocationKind, telling: Telling) -> Result<()> {
        let (slab, page) = (kind == AllocationKind::Slab, kind == AllocationKind::Page);
        // With the filter on, only caches that are marked are counted, and none is.
        set(AllocationKind::Slab, "cache-filter", if slab { "N" } else { "Y" })?;
        set(AllocationKind::Page, "min-order", if page { "0" } else { NO_ORDER })?;
        // Most allocations may wait, and are passed over by default.
        set(AllocationKind::Slab, "ignore-gfp-wait", "N")?;
        set(AllocationKind::Page, "ignore-gfp-wait", "N")?;
        set(AllocationKind::Page, "ignore-gfp-highmem", "N")?;
        for kind in AllocationKind::ALL {
            set(kind, "verbose", if telling == Telling::Stack { "2" } else { "0" })?;
            set(kind, "verbose_ratelimit_interval_ms", "0")?;
        }
        Ok(())
    }

    /// Has the `nth` allocation of this thread fail from now on, counted from 1; none if it is 0.
    pub fn arm(&self, nth: u32) -> Result<()> {
        self.nth.write_all_at(nth.to_string().as_bytes(), 0).machine(|| format!("cannot write {nth} to {FAIL_NTH}"))
    }

    /// Has none fail any more, and gives how many were still to be asked for: 0 if one failed.
    pub fn disarm(&self) -> Result<u32> {
        let mut text = [0; 16];
        let length = self.nth.read_at(&mut text, 0).machine(|| format!("cannot read {FAIL_NTH}"))?;
        self.arm(0)?;
        let text = String::from_utf8_lossy(&text[..length]);
        text.trim().parse().map_err(|_| Error::machine(format!("{FAIL_NTH} says {text:?}, which is no number")))
    }

    /// Returns the stack of the last failure that was told since this was asked, from who asked for the allocation outwards, each frame with
    /// its offset; empty if none was.
    pub fn stack(&mut self) -> Result<Vec<String>> {
        Ok(last_stack(&self.news()?))
    }

    /// Returns the lines that the kernel has logged since this was asked.
    fn news(&mut self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut record = vec![0; MOST_RECORD_BYTES];
        loop {
            match self.log.read(&mut record) {
                Ok(0) => return Ok(lines),
                Ok(length) => lines.push(text_of(&String::from_utf8_lossy(&record[..length]))),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(lines),
                // Records that were written over before they were read.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => {}
                Err(e) => return Err(Error::machine(format!("cannot read {LOG}: {e}"))),
            }
        }
    }
}

fn directory(kind: AllocationKind) -> String {
    let name = match kind {
        AllocationKind::Slab => "failslab",
        AllocationKind::Page => "fail_page_alloc",
    };
    format!("{SETTINGS}/{name}")
}

fn set(kind: AllocationKind, name: &str, value: &str) -> Result<()> {
    let file = format!("{}/{name}", directory(kind));
    fs::write(&file, value).machine(|| format!("cannot write {value} to {file}"))
}

/// Returns the text of a record: what stands behind the first semicolon, to the end of its line (Documentation/ABI/testing/dev-kmsg).
fn text_of(record: &str) -> String {
    let text = record.split_once(';').map_or("", |(_, text)| text);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Returns the stack behind the last report, without what the kernel does to fail and without allocators.
fn last_stack(lines: &[String]) -> Vec<String> {
    let Some(report) = lines.iter().rposition(|line| line.contains(REPORT)) else { return Vec::new() };
    let stack = lines[report..].iter().take_while(|line| line.trim() != END_OF_STACK);
    // A frame with a question mark is what happened to lie on the stack.
    let frames = stack.map(|line| line.trim()).filter(|line| line.contains("+0x") && !line.starts_with('?'));
    let frames: Vec<&str> = frames.filter_map(|line| line.split_whitespace().next()).collect();
    let failing = frames.iter().rposition(|frame| frame.contains("should_fail")).map_or(0, |last| last + 1);
    let asked = frames[failing..].iter().skip_while(|frame| hands_out_pages(&without_offset(frame)));
    asked.map(|frame| (*frame).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 6.1 logs it.
    const LOGGED: &str = "5,412,9120,-;FAULT_INJECTION: forcing a failure.\\x0aname failslab, interval 1, probability 0, space 0, times -1
4,413,9121,-;CPU: 0 PID: 1 Comm: init Not tainted 6.1.192 #1
4,414,9122,-;Call Trace:
4,415,9123,-; <TASK>
4,416,9124,-; dump_stack_lvl+0x34/0x48
4,417,9125,-; should_fail_ex.cold+0x32/0x37
4,418,9126,-; should_failslab+0x9/0x20
4,419,9127,-; kmem_cache_alloc_trace+0x39/0x1e0
4,420,9128,-; ? nfs_opendir+0x2f/0x130
4,421,9129,-; nfs_opendir+0x2f/0x130
4,422,9130,-; do_dentry_open+0x1ec/0x390
4,423,9131,-; </TASK>
4,424,9132,-;stranger+0x1/0x2";

    fn logged() -> Vec<String> {
        LOGGED.lines().map(text_of).collect()
    }

    #[test]
    fn stack_begins_with_who_asked() {
        assert_eq!(last_stack(&logged()), ["nfs_opendir+0x2f/0x130", "do_dentry_open+0x1ec/0x390"]);
    }

    #[test]
    fn last_failure_counts_and_none_is_none() {
        assert_eq!(last_stack(&[]), Vec::<String>::new());
        let mut twice = logged();
        twice.extend(logged().into_iter().map(|line| line.replace("nfs_opendir", "nfs_readdir")));
        assert_eq!(last_stack(&twice)[0], "nfs_readdir+0x2f/0x130");
    }

    #[test]
    fn text_of_a_record_stands_behind_its_head() {
        assert_eq!(text_of("6,1,2,-;a; b\n SUBSYSTEM=x\n"), "a; b");
        assert_eq!(text_of("nothing"), "");
    }
}
