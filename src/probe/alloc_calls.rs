//! Who allocated the objects of a cache, before Linux 5.14: from sysfs `alloc_calls`, which has functions but no stacks.
//!
//! The file is no longer than a page, and the kernel stops before the line that might not fit (list_locations in mm/slub.c).
//! What it leaves out is known from the number of objects, and told as a site of its own.

use super::kernel_files::KernelFiles;
use super::procfs::number;
use super::site_text::parse;
use super::slab::SYSFS;
use crate::sample::{PAGE_BYTES, Site};

/// The kernel stops when less than this is left: the longest symbol, and what follows it.
const LAST_LINE_BYTES: usize = 512;
/// Stands for the functions that did not fit.
pub const NOT_SHOWN: &str = "(not shown: alloc_calls is cut at one page)";

/// Returns the sites of a cache, or `None` if the kernel does not track it, or shows it elsewhere.
pub fn read(files: &KernelFiles, cache: &str) -> Option<Vec<Site>> {
    let of_cache = |file: &str| files.text(&format!("{SYSFS}/{cache}/{file}")).ok();
    let (text, objects) = (of_cache("alloc_calls")?, of_cache("objects")?);
    sites(&text, objects.split_whitespace().next().and_then(number)?)
}

/// Returns the sites that the text names; `None` if the kernel had no memory to find it out.
pub(super) fn sites(text: &str, objects: i64) -> Option<Vec<Site>> {
    if text.starts_with("Out of memory") {
        return None;
    }
    let mut sites = parse(text);
    let rest = objects - sites.iter().map(|site| site.objects).sum::<i64>();
    if rest > 0 && text.len() + LAST_LINE_BYTES > PAGE_BYTES {
        sites.push(Site { function: NOT_SHOWN.to_owned(), stack: Vec::new(), objects: rest });
    }
    Some(sites)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use crate::sample::since;

    const LINE: &str = "    110 nfs_readdir_add_to_array+0x73/0xd0 age=1/2/3 pid=1 cpus=0\n";

    /// Makes a text that is cut: as many different functions as the kernel would show of many.
    fn cut() -> String {
        let line = |n: u32| format!("      2 some_function_with_a_name_{n:03}+0x3f/0x1c0 age=4294893531 pid=1\n");
        (0..).map(line).scan(0, |length, line| (*length < 3800).then(|| (*length += line.len(), line).1)).collect()
    }

    #[test]
    fn functions_come_without_stacks() {
        let text = format!("{LINE}      3 seq_open+0x2a/0xb0 [mod] age=7\n      1 <not-available> age=0 pid=0\n");
        let sites = sites(&text, 114).unwrap();
        assert_eq!(sites.len(), 3);
        assert_eq!((sites[0].function.as_str(), sites[0].objects), ("nfs_readdir_add_to_array", 110));
        assert!(sites.iter().all(|site| site.stack.is_empty()));
    }

    #[test]
    fn calls_that_did_not_fit_are_told_and_counted() {
        let text = cut();
        let shown = 2 * text.lines().count() as i64;
        let before = sites(&text, shown + 40).unwrap();
        assert_eq!((before.last().unwrap().function.as_str(), before.last().unwrap().objects), (NOT_SHOWN, 40));
        let after = sites(&text, shown + 140).unwrap();
        let grown = since(&before, &after);
        assert_eq!((grown.len(), grown[0].function.as_str(), grown[0].objects), (1, NOT_SHOWN, 100));
    }

    #[test]
    fn short_file_is_whole() {
        assert_eq!(sites(LINE, 112).unwrap().len(), 1, "objects that came while it was read");
        assert_eq!(sites("No data\n", 0), Some(Vec::new()));
        assert_eq!(sites("Out of memory\n", 5), None);
    }

    #[test]
    fn text_of_a_full_page_that_has_all_objects_hides_none() {
        let text = cut();
        let shown: i64 = parse(&text).iter().map(|site| site.objects).sum();
        let hides = |objects| sites(&text, objects).unwrap().iter().any(|site| site.function == NOT_SHOWN);
        assert!(!hides(shown) && hides(shown + 1));
    }

    #[test]
    fn sites_of_a_cache_are_those_of_its_own_file() {
        let made = MadeFiles::new(&[]);
        made.cache("kmalloc-64", 112);
        made.write("/sys/kernel/slab/kmalloc-64/alloc_calls", LINE);
        let sites = read(&made.files, "kmalloc-64").unwrap();
        assert_eq!((sites.len(), sites[0].objects, sites[0].function.as_str()), (1, 110, "nfs_readdir_add_to_array"));
        made.cache("kmalloc-96", 3);
        assert_eq!(read(&made.files, "kmalloc-96"), None, "nothing is tracked of it");
    }

    #[test]
    fn text_that_leaves_room_for_another_line_is_whole() {
        let of_length = |length: usize| LINE.to_owned() + &" ".repeat(length - LINE.len());
        let is_cut = |length| sites(&of_length(length), 200).unwrap().len() == 2;
        assert!(!is_cut(PAGE_BYTES - LAST_LINE_BYTES) && is_cut(PAGE_BYTES - LAST_LINE_BYTES + 1));
    }
}
