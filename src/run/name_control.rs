//! The control that call sites are seen: the names of a listing stand at their call site before the caches are
//! dropped, and dropping them takes them away.

use crate::sample::{Site, objects_of};
use std::collections::BTreeMap;

/// Every function of the client's directory code that allocates names begins so, on every kernel since 2.6.37.
const NAMES_PREFIX: &str = "nfs_readdir";

/// Returns the size classes that hold names of these allocation lengths, given the object sizes of all caches.
pub fn caches(name_allocations: &[(u64, u64)], object_bytes: &BTreeMap<String, u64>) -> Vec<String> {
    let plain =
        |name: &str| name.strip_prefix("kmalloc-").is_some_and(|class| class.starts_with(|c: char| c.is_ascii_digit()));
    let classes: Vec<_> = object_bytes.iter().filter(|(name, _)| plain(name)).collect();
    let class_of = |length: u64| {
        classes.iter().filter(|(_, bytes)| **bytes >= length).min_by_key(|(_, bytes)| **bytes).map(|(name, _)| *name)
    };
    let mut caches: Vec<String> =
        name_allocations.iter().filter_map(|(length, _)| class_of(*length)).cloned().collect();
    caches.sort();
    caches.dedup();
    caches
}

/// Counts the names at their call site.
pub fn count(sites: &BTreeMap<String, Vec<Site>>) -> i64 {
    sites.values().map(|sites| objects_of(sites, NAMES_PREFIX)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_for_in_the_size_classes_that_hold_them() {
        let bytes = [
            ("kmalloc-16", 16),
            ("kmalloc-32", 32),
            ("kmalloc-cg-32", 32),
            ("kmalloc-192", 192),
            ("kmalloc-256", 256),
            ("filp", 256),
        ];
        let bytes = bytes.map(|(name, bytes)| (name.to_owned(), bytes)).into();
        let caches = |lengths: &[u64]| caches(&lengths.iter().map(|l| (*l, 1)).collect::<Vec<_>>(), &bytes);
        assert_eq!(caches(&[201]), ["kmalloc-256"]);
        assert_eq!(caches(&[16, 17, 25]), ["kmalloc-16", "kmalloc-32"]);
        assert_eq!(caches(&[193]), ["kmalloc-256"]);
    }

    #[test]
    fn objects_of_other_code_than_that_of_directories_do_not_count() {
        let site = |function: &str, objects| Site { function: function.into(), stack: vec![], objects };
        let sites = [("kmalloc-32".to_owned(), vec![site("nfs_readdir_add_to_array", 110), site("seq_open", 3)])];
        assert_eq!(count(&sites.into()), 110);
    }
}
