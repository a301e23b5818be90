//! Who allocated the objects of a cache: from debugfs `alloc_traces` (Linux 5.14 and later).

use super::kernel_files::{KernelFiles, entries};
use super::site_text::parse;
use super::{alloc_calls, slab};
use crate::sample::{Site, since};

/// Where SLUB shows what it was told to track by `slub_debug=U`.
const DEBUGFS: &str = "/sys/kernel/debug/slab";

/// Returns whether the kernel tells it of any cache: `slub_debug=U` may be for a few.
pub fn are_kept(files: &KernelFiles) -> bool {
    entries(&files.path(DEBUGFS)).any(|cache| cache.path().join("alloc_traces").exists())
}

/// Returns the sites of a cache with all its copies, or `None` if the kernel does not track it.
pub fn read(files: &KernelFiles, cache: &str) -> Option<Vec<Site>> {
    let traces = |name: &String| files.text(&format!("{DEBUGFS}/{name}/alloc_traces")).ok();
    let of_one = |name: &String| traces(name).map(|text| parse(&text)).or_else(|| alloc_calls::read(files, name));
    let members: Vec<_> = slab::members(files, cache).iter().filter_map(of_one).collect();
    (!members.is_empty()).then(|| sum(members))
}

/// Sums up sites to one for each function and stack, most objects first.
fn sum(members: Vec<Vec<Site>>) -> Vec<Site> {
    since(&[], &members.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use crate::sample::objects_of;

    const TEXT: &str = "    152 nfs_readdir_page_array_append+0x2c/0x110 age=3/5/9 pid=1 cpus=0-1\n\
        \tkmemdup_nul+0x1e/0x50\n\
        \tnfs_readdir_page_array_append+0x2c/0x110\n\
        \tnfs_readdir_xdr_to_array+0x2e1/0x3d0\n\
        \n\
        \x20     2 single_open+0x2a/0xb0 waste=16/8 age=1 pid=1 cpus=1\n\
        \tsingle_open+0x2a/0xb0\n\
        \n";

    #[test]
    fn counts_functions_and_stacks_are_read() {
        let sites = parse(TEXT);
        assert_eq!(sites.len(), 2);
        assert_eq!(sites[0].objects, 152);
        assert_eq!(sites[0].function, "nfs_readdir_page_array_append");
        assert_eq!(sites[0].stack[2], "nfs_readdir_xdr_to_array");
        assert_eq!(objects_of(&sites, "nfs_readdir"), 152);
    }

    #[test]
    fn helpers_are_looked_through() {
        let text = "  459 kvmalloc_node+0x2c/0x110 age=3 pid=1 cpus=0\n\t__kmalloc_node+0x1/0x2\n\tkvmalloc_node+0x2c/0x110\n\
                    \tgroups_alloc+0x1e/0x50\n";
        assert_eq!(parse(text)[0].function, "groups_alloc");
        let text = "  3 kasprintf+0xa6/0xd0 age=3 pid=1 cpus=0\n\t__kmalloc_node_track_caller+0x4c/0x170\n\tkvasprintf+0xb0/0x130\n\
                    \tkasprintf+0xa6/0xd0\n\tnfs_sysfs_move_sb_to_server+0x49/0xd0\n";
        assert_eq!(parse(text)[0].function, "nfs_sysfs_move_sb_to_server");
    }

    #[test]
    fn copies_of_a_size_class_are_summed_by_place() {
        let sites = sum(vec![parse(TEXT), parse(TEXT), vec![]]);
        assert_eq!(sites.len(), 2);
        assert_eq!((sites[0].objects, sites[0].function.as_str()), (304, "nfs_readdir_page_array_append"));
    }

    #[test]
    fn file_without_data_has_no_site() {
        assert_eq!(parse("No data\n"), []);
    }

    #[test]
    fn growth_is_told_by_place() {
        let before = parse(TEXT);
        let mut after = before.clone();
        after[0].objects += 25;
        after[1].objects -= 1;
        let grown = since(&before, &after);
        assert_eq!(grown.len(), 1);
        assert_eq!((grown[0].objects, grown[0].function.as_str()), (25, "nfs_readdir_page_array_append"));
    }

    #[test]
    fn numbers_that_no_kernel_counts_are_no_sites() {
        assert_eq!(parse("-5 f+0x1/0x2 age=1\n0 f+0x1/0x2 age=1\n9223372036854775807 f+0x1/0x2 age=1\n"), []);
    }

    #[test]
    fn sites_are_those_of_all_copies_wherever_the_kernel_tells_them() {
        let made = MadeFiles::new(&[]);
        ["kmalloc-64", "kmalloc-rnd-01-64", "filp"].iter().for_each(|cache| made.cache(cache, 200));
        assert!(!are_kept(&made.files) && read(&made.files, "kmalloc-64").is_none());
        for copy in ["kmalloc-64", "kmalloc-rnd-01-64"] {
            made.write(&format!("{DEBUGFS}/{copy}/alloc_traces"), TEXT);
        }
        assert!(are_kept(&made.files));
        let sites = read(&made.files, "kmalloc-64").unwrap();
        assert_eq!((sites.len(), sites[0].objects), (2, 304));
        assert_eq!(read(&made.files, "filp"), None, "slub_debug is for a few caches");
        // Before Linux 5.14.
        made.write("/sys/kernel/slab/filp/alloc_calls", "    200 alloc_empty_file+0x4b/0xf0 age=1 pid=1\n");
        assert_eq!(read(&made.files, "filp").unwrap()[0].function, "alloc_empty_file");
    }
}
