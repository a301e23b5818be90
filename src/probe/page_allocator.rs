//! The functions that hand out pages to whoever asks, by families of names, so that the one that asked can be told.
//!
//! They change their names with every release, and compilers add to them: what `alloc_pages()` was in 6.6 is
//! `__alloc_frozen_pages_noprof` below `alloc_pages_mpol` and `folio_alloc_noprof` in 6.16, and `__alloc_pages_slowpath.constprop.0` between them
//! where memory is short. What stays is how their names begin once that is taken off.

use super::object_allocators::{is_object_allocator, plain};

/// Functions that hand out pages, by their plain name: those of mm/page_alloc.c that stand in each stack, and what page_owner keeps of itself.
const SINGLE: [&str; 9] = [
    "post_alloc_hook",
    "prep_new_page",
    "get_page_from_freelist",
    "alloc_page",
    "alloc_page_vma",
    "alloc_page_interleave",
    "set_page_owner",
    "set_page_owner_handle",
    "save_stack",
];

/// Families of functions that hand out pages, by how their plain names begin, up to the end of a word. Of mm/page_alloc.c, mm/mempolicy.c,
/// mm/filemap.c and mm/cma.c.
const FAMILIES: [&str; 16] = [
    "alloc_pages",
    "alloc_frozen_pages",
    "alloc_kmem_pages",
    "alloc_contig",
    "try_alloc_pages",
    "try_alloc_frozen_pages",
    "cma_alloc",
    "get_free_page",
    "get_free_pages",
    "get_zeroed_page",
    "get_dma_pages",
    "folio_alloc",
    "vma_alloc_folio",
    "filemap_alloc_folio",
    "page_cache_alloc",
    "page_frag",
];

/// Functions, by their plain names, that take pages for what other counters count, or for the page cache and processes; where no flags of a
/// page tell that, its stack does.
const COUNTED_ELSEWHERE: [&str; 15] = [
    "allocate_slab",
    "new_slab",
    "handle_mm_fault",
    "pte_alloc_one",
    "pte_alloc",
    "pmd_alloc",
    "pud_alloc",
    "p4d_alloc",
    "pgd_alloc",
    "vmalloc_node_range",
    "pcpu_populate_chunk",
    "copy_process",
    "page_cache_ra_unbounded",
    "shmem_alloc_folio",
    "shmem_get_folio_gfp",
];

/// Returns the function that asked for pages, given the stack of their allocation, the innermost first; "" if the stack does not reach it.
pub fn who_asked(stack: &[String]) -> String {
    stack.iter().find(|function| !hands_out_pages(function)).cloned().unwrap_or_default()
}

/// Returns the same, but `None` if another counter counts the pages.
pub fn who_asked_for_pages(stack: &[String]) -> Option<String> {
    let counted_elsewhere = |function: &String| COUNTED_ELSEWHERE.contains(&plain(function));
    (!stack.iter().any(counted_elsewhere)).then(|| who_asked(stack))
}

/// Returns whether a function hands out pages to whoever asks. The slab allocator does, too: it hands on what is larger than its caches.
pub fn hands_out_pages(function: &str) -> bool {
    let name = plain(function);
    let is_of = |family: &str| name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
    SINGLE.contains(&name) || FAMILIES.into_iter().any(is_of) || is_object_allocator(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(frames: &str) -> String {
        who_asked(&frames.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn one_who_asked_is_told_whatever_the_release_calls_the_allocator() {
        let within = |allocator: &str| {
            format!("post_alloc_hook get_page_from_freelist {allocator} nfs_readdir_caller nfs_readdir")
        };
        for allocator in [
            // 4.4, 5.2, 5.10, 6.1
            "alloc_kmem_pages kmalloc_order kmalloc_order_trace __kmalloc",
            "__alloc_pages_nodemask alloc_pages_current __get_free_pages",
            "__alloc_pages_slowpath.constprop.0 __alloc_pages_nodemask alloc_page_interleave alloc_pages_current",
            "__alloc_pages_bulk alloc_pages_bulk_array_mempolicy",
            "__alloc_pages __folio_alloc vma_alloc_folio",
            "__alloc_pages alloc_pages_exact.part.0 alloc_pages_exact",
            // NUMA, 6.7 to 6.9
            "__alloc_pages_slowpath.constprop.0 __alloc_pages alloc_pages_mpol alloc_pages __get_free_pages",
            "__alloc_pages_direct_compact __alloc_pages_slowpath.isra.0 __alloc_pages alloc_pages_mpol folio_alloc",
            // 6.10 to 6.12
            "__alloc_pages_noprof alloc_pages_mpol_noprof alloc_pages_noprof get_free_pages_noprof get_zeroed_page_noprof",
            "alloc_pages_bulk_noprof alloc_pages_bulk_array_mempolicy_noprof",
            // Since 6.13
            "__alloc_frozen_pages_noprof alloc_pages_mpol alloc_pages_noprof folio_alloc_noprof",
            "__alloc_frozen_pages_noprof alloc_pages_mpol alloc_frozen_pages_noprof ___kmalloc_large_node __kmalloc_large_node_noprof \
             __kmalloc_noprof",
            "alloc_frozen_pages_nolock_noprof alloc_pages_nolock_noprof",
            "__alloc_frozen_pages_noprof alloc_pages_mpol folio_alloc_mpol_noprof vma_alloc_folio_noprof",
            // Of other compilers, and of a release to come.
            "__alloc_pages_slowpath.llvm.1234567 __alloc_pages.cold",
            "__alloc_frozen_pages_some_new_word_noprof.constprop.0.isra.0 folio_alloc_some_new_word_noprof",
        ] {
            assert_eq!(asked(&within(allocator)), "nfs_readdir_caller", "{allocator}");
        }
    }

    #[test]
    fn functions_that_only_sound_like_the_allocator_have_asked() {
        for function in [
            "nfs_readdir_folio_array_alloc",
            "nfs_readdir_alloc_pages",
            "demo_init",
            "skb_page_frag_refill",
            "page_pool_alloc_pages",
            "iommu_dma_alloc_pages",
            "alloc_pagetable",
            "get_free_pagesize",
            "folio_allocate",
            "filemap_alloc_folios",
            "kthread_create",
            "page_fragment",
            "pipe_write",
        ] {
            assert_eq!(asked(&format!("__alloc_pages {function} somebody")), function);
        }
        assert_eq!(asked("post_alloc_hook __alloc_pages"), "", "the stack was cut");
    }

    #[test]
    fn pages_of_other_counters_are_left_out_by_their_stack() {
        let asked = |frames: &[&str]| who_asked_for_pages(&frames.iter().map(|f| f.to_string()).collect::<Vec<_>>());
        assert_eq!(asked(&["__alloc_pages", "__get_free_pages", "nfsd_readdir"]).as_deref(), Some("nfsd_readdir"));
        assert_eq!(asked(&["__alloc_pages", "allocate_slab", "___slab_alloc"]), None);
        for other in ["new_slab.constprop.0", "copy_process.isra.0", "__vmalloc_node_range_noprof", "__handle_mm_fault"]
        {
            assert_eq!(asked(&["__alloc_pages", other, "somebody"]), None, "{other}");
        }
        // As a trace of 7.3 has them.
        let folio = ["__alloc_frozen_pages_noprof", "__folio_alloc_noprof", "nfs_readdir_folio_filler"];
        assert_eq!(asked(&folio).as_deref(), Some("nfs_readdir_folio_filler"));
        let packet = ["__alloc_frozen_pages_noprof", "alloc_pages_node_noprof", "skb_page_frag_refill"];
        assert_eq!(asked(&packet).as_deref(), Some("skb_page_frag_refill"));
    }
}
