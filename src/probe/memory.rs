//! `/proc/meminfo`: what there is of memory.

use super::kernel_files::KernelFiles;
use super::procfs::number;

/// Returns a field of this machine's in KiB; `None` if the kernel does not tell it.
pub fn kib(field: &str) -> Option<u64> {
    kib_of(&KernelFiles::of_this_machine(), field)
}

/// Returns the same of these files.
pub fn kib_of(files: &KernelFiles, field: &str) -> Option<u64> {
    parse(&files.text("/proc/meminfo").ok()?, field)
}

pub(super) fn parse(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    number(value.trim().strip_suffix(" kB")?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_found_by_its_whole_name() {
        let text = "MemTotal:       24683536 kB\nSwapCached:            7 kB\nCached:           123 kB\nHugePages_Total:       0\n";
        assert_eq!((parse(text, "Cached"), parse(text, "MemTotal")), (Some(123), Some(24683536)));
        assert_eq!((parse(text, "Mem"), parse(text, "HugePages_Total")), (None, None));
    }

    #[test]
    fn machine_has_memory() {
        assert!(kib("MemTotal") > Some(10_000) && kib("NoSuchField").is_none());
    }
}
