//! The kernel's own leak detector: what it reports after a scan (Documentation/dev-tools/kmemleak.rst).

use super::kernel_files::KernelFiles;
use super::object_allocators::is_object_allocator;
use super::site_text::without_offset;
use crate::error::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

const FILE: &str = "/sys/kernel/debug/kmemleak";
/// It says nothing of objects younger than 5 s (MSECS_MIN_AGE in mm/kmemleak.c).
const MIN_AGE: Duration = Duration::from_millis(5500);
/// What kmemleak reported.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct KmemleakReport {
    /// Objects that nothing points at.
    pub objects: u64,
    /// The same by the function that allocated them.
    pub functions: BTreeMap<String, u64>,
}

/// Stops the scans that it makes every ten minutes by itself, which would come between readings. Where it is not on, nothing
/// needs to be stopped.
pub fn scan_only_when_asked(files: &KernelFiles) {
    let _ = write(files, "scan=off");
}

/// Scans twice, because the first scan may meet a pointer that is on its way out, and gives what was reported; `None` if this
/// kernel was not booted with kmemleak=on.
pub fn scan(files: &KernelFiles) -> Result<Option<KmemleakReport>> {
    scan_after(files, MIN_AGE)
}

/// Does the same, given how long objects must have been there.
fn scan_after(files: &KernelFiles, age: Duration) -> Result<Option<KmemleakReport>> {
    if write(files, "scan").is_err() {
        return Ok(None);
    }
    std::thread::sleep(age);
    for _ in 0..2 {
        write(files, "scan").machine(|| "cannot make kmemleak scan".into())?;
    }
    let text = files.text(FILE).machine(|| format!("cannot read {FILE}"))?;
    Ok(Some(parse(&text)))
}

/// Gives an order; there is no such file without it.
fn write(files: &KernelFiles, order: &str) -> std::io::Result<()> {
    files.open_to_write(FILE)?.write_all(order.as_bytes())
}

pub(super) fn parse(text: &str) -> KmemleakReport {
    let mut reported = KmemleakReport::default();
    for report in text.split("unreferenced object ").skip(1) {
        reported.objects += 1;
        let frames = report.lines().filter_map(|line| line.split_whitespace().find(|word| word.contains("+0x")));
        let mut frames = frames.map(without_offset);
        if let Some(function) = frames.find(|function| !is_object_allocator(function)) {
            *reported.functions.entry(function).or_default() += 1;
        }
    }
    reported
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn reports_are_counted_by_who_asked() {
        let text = "unreferenced object 0xffff888003a2c400 (size 96):\n  comm \"init\", pid 1, jiffies 4294667296 (age 12.3s)\n\
                    \x20 hex dump (first 32 bytes):\n    00 00 00 00 00 00 00 00  ........\n  backtrace:\n\
                    \x20   [<00000000a1b2c3d4>] kmalloc_trace+0x26/0x90\n    [<0000000011223344>] nfs_opendir+0x2f/0x130\n\
                    unreferenced object 0xffff888003a2c500 (size 96):\n  backtrace (crc 5e0ae7a5):\n\
                    \x20   __kmalloc_cache_noprof+0x1/0x2\n    nfs_opendir+0x2f/0x130\n";
        let reported = parse(text);
        assert_eq!(reported.objects, 2);
        assert_eq!(reported.functions, [("nfs_opendir".to_owned(), 2)].into());
        assert_eq!(parse(""), KmemleakReport::default());
    }

    #[test]
    fn detector_and_helpers_of_strings_are_never_who_asked() {
        let asked = |frames: &[&str]| {
            let text = format!(
                "unreferenced object 0xffff (size 16):\n  backtrace (crc b1564374):\n    {}\n",
                frames.join("\n    ")
            );
            parse(&text).functions.into_keys().next().unwrap()
        };
        let own = ["kmemleak_alloc+0x2d/0x40", "__kmalloc_noprof+0x2fa/0x730", "acpi_ut_initialize_buffer+0x83/0xc0"];
        assert_eq!(asked(&own), "acpi_ut_initialize_buffer");
        let string = [
            "[<0000000010fb5130>] __kmalloc_node_track_caller+0x4c/0x170",
            "[<00000000b866a733>] kvasprintf+0xb0/0x130",
            "[<00000000b3564fca>] kasprintf+0xa6/0xd0",
            "[<00000000f01d6cb3>] nfs_sysfs_move_sb_to_server+0x49/0xd0",
        ];
        assert_eq!(asked(&string), "nfs_sysfs_move_sb_to_server");
        let object = ["kmem_cache_alloc+0x4b9/0x700", "nfs4_alloc_stid+0x29/0x210", "alloc_init_deleg+0x92/0x2e0"];
        assert_eq!(asked(&object), "nfs4_alloc_stid");
        let percpu = ["kmemleak_alloc_percpu+0x1/0x2", "pcpu_alloc_noprof+0x6a/0x8", "nfs_alloc_iostats+0x1/0x2 [nfs]"];
        assert_eq!(asked(&percpu), "nfs_alloc_iostats");
    }

    #[test]
    fn detector_is_asked_where_it_is_on_and_left_alone_where_it_is_not() {
        let made = MadeFiles::new(&[]);
        scan_only_when_asked(&made.files);
        assert_eq!(
            (scan(&made.files).unwrap(), files_below(made.root())),
            (None, 0),
            "it was not booted with kmemleak=on"
        );
        // The order takes the place of the blank lines.
        let report = "unreferenced object 0xffff888003a2c400 (size 96):\n  backtrace:\n    nfs_opendir+0x2f/0x130\n";
        made.write(FILE, format!("\n\n\n\n\n\n\n\n\n{report}"));
        scan_only_when_asked(&made.files);
        assert!(made.text(FILE).starts_with("scan=off\n"));
        let reported = scan_after(&made.files, Duration::ZERO).unwrap().unwrap();
        assert_eq!((reported.objects, reported.functions), (1, [("nfs_opendir".to_owned(), 1)].into()));
    }

    fn files_below(dir: &std::path::Path) -> usize {
        crate::probe::kernel_files::entries(dir).count()
    }
}
