//! Functions that allocate objects for whoever asks. Who asked is told, not they.
//!
//! How many of them stand at the inner end of a stack depends on what the compiler inlined, and their names change with the
//! kernel: `kmem_cache_alloc` is `kmem_cache_alloc_noprof` since Linux 6.10, `kmalloc_trace` was `kmem_cache_alloc_trace` and
//! is `__kmalloc_cache_noprof`. So they are known by families of names: how the name begins once leading underscores are off.

/// How the compiler marks copies of a function: "`name`.constprop.0", ".isra.0", ".part.0", ".cold", ".llvm.123".
const COPY: char = '.';
/// How the functions end that allocations are not booked to (CONFIG_MEM_ALLOC_PROFILING, since Linux 6.10).
const NOT_BOOKED: &str = "_noprof";

/// As mm/slub.c, mm/slab_common.c, mm/util.c, lib/kasprintf.c, mm/mempool.c, mm/vmalloc.c, mm/percpu.c and mm/kmemleak.c name them, those
/// of Linux 6.1 and 6.12.
const FAMILIES: [&str; 35] = [
    "kmalloc",
    "kzalloc",
    "kcalloc",
    "krealloc",
    "kmem_cache_alloc",
    "kmem_cache_zalloc",
    "do_kmalloc",
    "do_krealloc",
    "kmem_buckets_",
    "slab_alloc",
    "slab_pre_alloc_hook",
    "slab_post_alloc_hook",
    "kmemleak_alloc",
    "kmsan_",
    "kasan_",
    "kfence_alloc",
    "kmemdup",
    "kstrdup",
    "kstrndup",
    "kasprintf",
    "kvasprintf",
    "kvmalloc",
    "kvzalloc",
    "kvcalloc",
    "kvrealloc",
    "kvmemdup",
    "memdup_user",
    "memdup_array_user",
    "vmemdup_",
    "strndup_user",
    "mempool_alloc",
    "mempool_kmalloc",
    "vmalloc",
    "pcpu_alloc",
    "alloc_percpu",
];
/// The same, of names that are whole but for a suffix of the compiler or `_noprof`: the beginning alone is also that of others.
const NAMES: [&str; 3] = ["vzalloc", "vcalloc", "vrealloc"];

/// Returns whether a function allocates objects for whoever asks.
pub fn is_object_allocator(function: &str) -> bool {
    let name = plain(function);
    FAMILIES.iter().any(|family| name.starts_with(family)) || NAMES.contains(&name)
}

/// Returns the name of a function without what a compiler or a release has added to it.
pub fn plain(function: &str) -> &str {
    let name = function.split(COPY).next().unwrap_or(function).trim_start_matches('_');
    name.strip_suffix(NOT_BOOKED).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocators_of_every_version_are_known_and_who_asks_them_is_not_one() {
        for function in [
            "kmalloc_trace",
            "kmem_cache_alloc_trace",
            "__kmalloc_cache_noprof",
            "__kmalloc_node_track_caller",
            "__kmalloc_node_track_caller_noprof",
            "kmem_cache_alloc_lru_noprof",
            "__kmem_cache_alloc_node",
            "kmemleak_alloc",
            "kmemleak_alloc_percpu",
            "kmemdup_nul",
            "__kmemdup_nul",
            "kvasprintf_const",
            "kvasprintf",
            "kasprintf",
            "kstrdup_const",
            "vmemdup_user",
            "__kvmalloc_node_noprof",
            "kvmalloc_node",
            "mempool_alloc_slab",
            "__vmalloc_node_range_noprof",
            "slab_post_alloc_hook.constprop.0",
            "__do_kmalloc_node",
            "vzalloc_noprof",
            "___slab_alloc",
            "__alloc_percpu_gfp",
            "pcpu_alloc_noprof",
            "kmem_buckets_alloc_track_caller_noprof",
        ] {
            assert!(is_object_allocator(function), "{function}");
        }
        for function in [
            "nfs_opendir",
            "nfs_readdir_page_array_append",
            "acpi_ut_initialize_buffer",
            "alloc_nfs_open_context",
            "nfs4_alloc_stid",
            "groups_alloc",
            "rpc_malloc",
            "sk_prot_alloc",
            "__alloc_skb",
            "vzalloc_of_a_driver",
            "",
        ] {
            assert!(!is_object_allocator(function), "{function}");
        }
    }
}
