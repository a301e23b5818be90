//! Areas of vmalloc and who allocated them: from `/proc/vmallocinfo`.

use super::source::CounterSource;
use crate::error::{Context, Result};
use crate::probe::procfs::read_all;
use crate::sample::Site;
use std::collections::BTreeMap;
use std::fs::File;

/// The file, kept open.
pub struct Vmalloc {
    file: File,
}

impl Vmalloc {
    /// Opens the file; `None` if the kernel lacks it.
    pub fn open() -> Option<Self> {
        File::open("/proc/vmallocinfo").ok().map(|file| Self { file })
    }

    fn text(&self) -> Result<String> {
        read_all(&self.file).machine(|| "cannot read /proc/vmallocinfo".into())
    }
}

impl CounterSource for Vmalloc {
    /// Returns how many areas are in use.
    fn count(&self) -> Result<Option<i64>> {
        Ok(Some(areas(&self.text()?).count() as i64))
    }

    /// Returns the areas in use by the function that allocated them.
    fn sites(&self) -> Result<Option<Vec<Site>>> {
        let mut functions: BTreeMap<String, i64> = BTreeMap::new();
        areas(&self.text()?).for_each(|function| *functions.entry(function.to_owned()).or_default() += 1);
        let site = |(function, objects): (String, i64)| Site { stack: vec![function.clone()], function, objects };
        Ok(Some(functions.into_iter().map(site).collect()))
    }
}

/// Returns the callers of all areas. A line is "`from`-`to` `bytes` `caller`+`offset` pages=..."; what has no caller is no area
/// that anybody holds: "unpurged vm_area" has been freed, "vm_map_ram" is a pool of the kernel's own.
pub(in crate::probe) fn areas(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.split_whitespace().nth(2)?.split_once('+').map(|(function, _)| function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_that_have_been_freed_do_not_count() {
        let text = "0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack+0xcf/0x100 vmap\n\
                    0xffffc90000005000-0xffffc90000007000    8192 unpurged vm_area\n\
                    0xffffc90000008000-0xffffc9000000a000    8192 nfs_leak+0x1/0x2 pages=1 vmalloc N0=1\n\
                    0xffffc9000000a000-0xffffc9000000c000    8192 vm_map_ram\n";
        assert_eq!(areas(text).collect::<Vec<_>>(), ["irq_init_percpu_irqstack", "nfs_leak"]);
    }
}
