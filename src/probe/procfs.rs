//! Which kernel runs, what processors have done and how much page cache there is: from `/proc` and getrusage(2).

use super::kernel_files::KernelFiles;
use crate::error::{Context, Error, Result};
use crate::sample::PAGE_BYTES;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// A second of `/proc/stat` (USER_HZ of every architecture but alpha and ia64).
const TICKS_A_SECOND: f64 = 100.0;

/// Processor time of a whole machine.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize, PartialEq)]
pub struct Busy {
    /// In programs, those of a server in userspace included.
    pub user_seconds: f64,
    /// In the kernel, interrupts included.
    pub system_seconds: f64,
}

impl Busy {
    /// Returns what was spent between an earlier reading and this one.
    pub fn since(self, before: Self) -> Self {
        Self {
            user_seconds: self.user_seconds - before.user_seconds,
            system_seconds: self.system_seconds - before.system_seconds,
        }
    }
}

/// Returns what all processors have spent since boot.
pub fn busy() -> Result<Busy> {
    let text = fs::read_to_string("/proc/stat").machine(|| "cannot read /proc/stat".into())?;
    parse_busy(&text).ok_or_else(|| Error::machine("cannot understand /proc/stat"))
}

/// Reads a line `cpu user nice system idle iowait irq softirq ...`.
pub(super) fn parse_busy(text: &str) -> Option<Busy> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(number).map(|ticks| ticks as f64).collect();
    let [user, nice, system, _, _, irq, softirq] = *ticks.first_chunk()?;
    Some(Busy {
        user_seconds: (user + nice) / TICKS_A_SECOND,
        system_seconds: (system + irq + softirq) / TICKS_A_SECOND,
    })
}

/// Returns what the calling thread has spent in the kernel.
pub fn thread_system_seconds() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).machine(|| "cannot tell the time of a thread".into())?;
    Ok(usage.system_time().num_microseconds() as f64 / 1e6)
}

/// Returns the release of the running kernel, as `uname -r` does.
pub fn release() -> Result<String> {
    release_of(&KernelFiles::of_this_machine())
}

/// Returns the release of the kernel whose files these are.
pub fn release_of(files: &KernelFiles) -> Result<String> {
    let text = files.text("/proc/sys/kernel/osrelease").machine(|| "cannot read the kernel's release".into())?;
    Ok(text.trim().to_owned())
}

/// Returns the bytes of all page cache.
pub fn page_cache_bytes() -> Result<i64> {
    let text = fs::read_to_string("/proc/vmstat").machine(|| "cannot read /proc/vmstat".into())?;
    parse_page_cache(&text).ok_or_else(|| Error::machine("/proc/vmstat has no nr_file_pages"))
}

/// Reads `nr_file_pages` of `/proc/vmstat`, in bytes.
pub(super) fn parse_page_cache(text: &str) -> Option<i64> {
    let pages = text.lines().find_map(|line| line.strip_prefix("nr_file_pages ").and_then(number))?;
    Some(pages * PAGE_BYTES as i64)
}

/// No number of things in a kernel's memory is larger: so many objects of 8 bytes are more than any machine has.
pub const MOST: i64 = 1 << 40;

/// Reads a number of things, as the kernel writes it.
pub fn number(word: &str) -> Option<i64> {
    word.parse().ok().filter(|number| (-MOST..=MOST).contains(number))
}

/// Reads a file of /proc from its beginning.
pub(crate) fn read_all(file: &File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    read_into(file, &mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a file of /proc from its beginning into a buffer, which grows if it must and is as long as the text then.
pub(crate) fn read_into(file: &File, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.resize(bytes.capacity().max(16 * 1024), 0);
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => break,
            n => length += n,
        }
        if length == bytes.len() {
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interrupts_are_time_of_the_kernel() {
        let busy = parse_busy("cpu  100 20 300 4000 5 6 7 0 0 0\ncpu0 1 2 3 4 5 6 7 0 0 0\n").unwrap();
        assert_eq!(busy, Busy { user_seconds: 1.2, system_seconds: 3.13 });
        let later = Busy { user_seconds: 2.2, system_seconds: 4.0 };
        assert!((later.since(busy).user_seconds - 1.0).abs() < 1e-9);
        assert_eq!(parse_busy("cpu  1 2 3\n"), None);
        assert_eq!(parse_busy("intr 1\n"), None);
    }

    #[test]
    fn time_since_is_what_was_spent_between() {
        let of = |user_seconds, system_seconds| Busy { user_seconds, system_seconds };
        assert_eq!(of(5.0, 9.0).since(of(2.0, 3.0)), of(3.0, 6.0));
    }

    #[test]
    fn page_cache_is_told_in_bytes() {
        let text = "nr_free_pages 5\nnr_file_pages_x 9\nnr_file_pages 12\nnr_dirty 3\n";
        assert_eq!(parse_page_cache(text), Some(12 * 4096));
        assert_eq!(parse_page_cache("nr_free_pages 5\n"), None);
    }

    #[test]
    fn machine_tells_its_release_what_it_has_done_and_its_page_cache() {
        assert!(release().unwrap().starts_with(|c: char| c.is_ascii_digit()), "{}", release().unwrap());
        assert!(busy().unwrap().user_seconds > 0.0 && page_cache_bytes().unwrap() > 1 << 12);
        // A thread that calls the kernel is in it for longer and longer.
        let begin = thread_system_seconds().unwrap();
        let goes_on = (0..1_000_000).any(|_| {
            drop(fs::read("/proc/self/maps"));
            thread_system_seconds().unwrap() > begin
        });
        assert!(goes_on && (0.0..600.0).contains(&begin), "{begin}");
    }

    #[test]
    fn thread_is_in_the_kernel_no_longer_than_there_was_time() {
        let (begin, before) = (std::time::Instant::now(), thread_system_seconds().unwrap());
        let goes_on = (0..1_000_000).any(|_| {
            drop(fs::read("/proc/self/maps"));
            thread_system_seconds().unwrap() > before
        });
        assert!(goes_on);
        let spent = thread_system_seconds().unwrap() - before;
        // It may be told by the tick.
        assert!(spent <= begin.elapsed().as_secs_f64() + 0.05, "{spent} s");
    }

    #[test]
    fn text_longer_than_the_buffer_is_read_to_its_end() {
        let text: String = (0..20_000).map(|n| format!("{n}\n")).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &text).unwrap();
        let opened = File::open(file.path()).unwrap();
        assert!(read_all(&opened).unwrap() == text);
        let mut bytes = Vec::new();
        read_into(&opened, &mut bytes).unwrap();
        fs::write(file.path(), "short").unwrap();
        read_into(&opened, &mut bytes).unwrap();
        assert_eq!(bytes, b"short");
    }
}
