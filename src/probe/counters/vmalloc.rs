//! Areas of vmalloc and who allocated them: from `/proc/vmallocinfo`.

use super::source::CounterSource;
use crate::error::{Context, Result};
use crate::probe::kernel_files::KernelFiles;
use crate::probe::procfs::{number, read_all};
use crate::sample::Site;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;

pub(super) const FILE: &str = "/proc/vmallocinfo";

/// The slab cache that has an object for each area.
const CACHE: &str = "vmap_area";
/// How the line of an area ends that was freed and whose addresses are not given back yet: the kernel does that for all of them at once, when they are
/// many (lazy_max_pages() in mm/vmalloc.c). Until Linux 6.8 neighbours become one; since 6.9 they do not, so that each reading leaves one
/// more, as percpu_stats_show() takes an area for a moment. Seen on 5.2.1, 6.1.192 and 7.3.4.
const PUT_OFF: &str = "unpurged vm_area";

/// The file, kept open.
pub struct Vmalloc {
    file: File,
    /// Areas that were freed and are not gone, when it was read last.
    put_off: Cell<i64>,
}

impl Vmalloc {
    /// Opens the file; `None` if the kernel lacks it.
    pub fn open(files: &KernelFiles) -> Option<Self> {
        files.open(FILE).ok().map(|file| Self { file, put_off: Cell::new(0) })
    }

    fn text(&self) -> Result<String> {
        read_all(&self.file).machine(|| "cannot read /proc/vmallocinfo".into())
    }
}

impl CounterSource for Vmalloc {
    /// Returns how many areas are in use.
    fn count(&self) -> Result<Option<i64>> {
        let text = self.text()?;
        self.put_off.set(text.lines().filter(|line| line.ends_with(PUT_OFF)).count() as i64);
        Ok(Some(areas(&text).count() as i64))
    }

    fn put_off(&self) -> Option<(&'static str, i64)> {
        Some((CACHE, self.put_off.get()))
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
    text.lines().filter_map(caller)
}

/// Returns the pages that vmalloc has allocated for all areas; `None` if a number is none. Seen so on 5.2.1 and 6.1.192.
pub(in crate::probe) fn pages(text: &str) -> Option<i64> {
    allocated(text).map(|(_, pages)| number(pages)).sum()
}

/// Returns whether the stacks of threads, so many pages, are areas of vmalloc (CONFIG_VMAP_STACK): areas of one caller, which a
/// kernel's version and compiler name (kernel_clone on 6.18), each as large as the others, have about that many pages. Those of threads
/// that ended wait to be used again, so there may be more.
pub(in crate::probe) fn has_stacks(text: &str, stack_pages: i64) -> bool {
    let mut callers: BTreeMap<&str, (i64, bool, i64)> = BTreeMap::new();
    for (line, pages) in allocated(text) {
        let (Some(caller), Some(pages)) = (caller(line), number(pages)) else { continue };
        let (each, alike, all) = callers.entry(caller).or_insert((pages, true, 0));
        *alike &= *each == pages;
        *all += pages;
    }
    stack_pages > 0 && callers.values().any(|&(_, alike, all)| alike && all >= stack_pages - stack_pages / 4)
}

fn caller(line: &str) -> Option<&str> {
    line.split_whitespace().nth(2)?.split_once('+').map(|(function, _)| function)
}

/// Returns the lines of areas for which vmalloc has allocated pages, and the `number` of "pages=`number`": those that are "vmalloc"; what
/// vmap and ioremap map is somebody else's.
fn allocated(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let of_vmalloc = |line: &&str| line.split_whitespace().any(|word| word == "vmalloc");
    let with_pages = |line| Some((line, str::split_whitespace(line).find_map(|word| word.strip_prefix("pages="))?));
    text.lines().filter(of_vmalloc).filter_map(with_pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn stacks_are_areas_of_one_caller_that_are_all_alike() {
        let stack = "0x1-0x2   20480 kernel_clone+0xb8/0x400 pages=4 vmalloc N0=4\n";
        let others = "0x3-0x4   20480 irq_init_percpu_irqstack+0xed/0x120 vmap\n\
                      0x5-0x6   8192 bpf_prog_alloc_no_stats+0x1/0x2 pages=1 vmalloc N0=1\n\
                      0x5-0x6   86016 bpf_prog_alloc_no_stats+0x1/0x2 pages=20 vmalloc N0=20\n\
                      0x7-0x8   8192 unpurged vm_area\n";
        assert!(has_stacks(&(stack.repeat(7) + others), 28));
        assert!(has_stacks(&(stack.repeat(9) + others), 28), "two of ended threads");
        assert!(!has_stacks(&(stack.repeat(2) + others), 28), "some other areas of four pages");
        assert!(!has_stacks(others, 21), "of several sizes");
        assert!(!has_stacks("", 28));
    }

    #[test]
    fn areas_that_have_been_freed_do_not_count() {
        let text = "0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack+0xcf/0x100 vmap\n\
                    0xffffc90000005000-0xffffc90000007000    8192 unpurged vm_area\n\
                    0xffffc90000008000-0xffffc9000000a000    8192 nfs_leak+0x1/0x2 pages=1 vmalloc N0=1\n\
                    0xffffc9000000a000-0xffffc9000000c000    8192 vm_map_ram\n";
        assert_eq!(areas(text).collect::<Vec<_>>(), ["irq_init_percpu_irqstack", "nfs_leak"]);
    }

    /// As Linux 5.2.1 shows them, whose meminfo has "VmallocUsed: 0 kB"; 6.1.192 shows the same and has 24 kB there.
    const WITH_FILTERS: &str = "\
        0x(____ptrval____)-0x(____ptrval____)   16384 n_tty_open+0x14/0xa0 pages=3 vmalloc\n\
        0x(____ptrval____)-0x(____ptrval____)    8192 bpf_prog_alloc_no_stats+0x37/0xc0 pages=1 vmalloc\n\
        0x(____ptrval____)-0x(____ptrval____)    8192 bpf_prog_alloc_no_stats+0x37/0xc0 pages=1 vmalloc\n\
        0x(____ptrval____)-0x(____ptrval____)    8192 bpf_prog_alloc_no_stats+0x37/0xc0 pages=1 vmalloc\n";

    #[test]
    fn pages_of_all_areas_are_those_that_vmalloc_allocated() {
        assert_eq!(pages(WITH_FILTERS), Some(6));
        assert_eq!(areas(WITH_FILTERS).count(), 4);
        assert_eq!(pages(""), Some(0));
        let others = "0xffffc90000000000-0xffffc90000005000   20480 irq_init_percpu_irqstack+0xcf/0x100 pages=4 vmap\n\
                      0xffffc90000005000-0xffffc90000007000    8192 unpurged vm_area\n\
                      0xffffc90000008000-0xffffc9000000a000    8192 hpet_enable+0x36/0x2a9 phys=0x00000000fed00000 ioremap\n\
                      0xffffc9000000a000-0xffffc9000000c000    8192 pcpu_get_vm_areas+0x0/0x7d0 vmalloc\n";
        assert_eq!(pages(others), Some(0), "those pages belong to others");
        assert_eq!(pages("0x0-0x2000 8192 nfs_leak+0x1/0x2 pages=many vmalloc\n"), None);
    }

    #[test]
    fn stacks_may_be_a_fourth_fewer_than_the_kernel_counts() {
        let of = |areas| "0x1-0x2   20480 kernel_clone+0xb8/0x400 pages=4 vmalloc N0=4\n".repeat(areas);
        assert!(has_stacks(&of(3), 16) && !has_stacks(&of(2), 16));
        assert!(!has_stacks(&of(3), 0), "there are no threads");
    }

    #[test]
    fn areas_are_counted_and_told_by_who_allocated_them() {
        let made = MadeFiles::machine();
        let vmalloc = Vmalloc::open(&made.files).unwrap();
        assert_eq!((vmalloc.count().unwrap(), vmalloc.is_exact(), vmalloc.notes()), (Some(3), true, vec![]));
        assert_eq!(vmalloc.put_off(), Some(("vmap_area", 0)));
        let freed = "0xffffc90000005000-0xffffc90000007000    8192 unpurged vm_area\n";
        made.write(FILE, &(made.text(FILE) + freed + freed));
        assert_eq!((vmalloc.count().unwrap(), vmalloc.put_off()), (Some(3), Some(("vmap_area", 2))));
        let sites = vmalloc.sites().unwrap().unwrap();
        let told: Vec<_> = sites.iter().map(|site| (site.function.as_str(), site.objects, site.stack.len())).collect();
        assert_eq!(told, [("bpf_prog_alloc_no_stats", 2, 1), ("irq_init_percpu_irqstack", 1, 1)]);
        made.remove(FILE);
        assert!(Vmalloc::open(&made.files).is_none());
    }
}
