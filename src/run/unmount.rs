//! What unmounting leaves behind: what the kernel complains of, the objects that stay, and who allocated them.
//!
//! References that are never given back show as objects that pile up to the number of entries and no further, so no
//! counter follows the dose. What tells them is a mount that cannot be taken down cleanly.

use crate::protocol::guest_paths::BUSY_CACHES;
use crate::result::finding::Finding;
use crate::sample::{CounterKind, Sample, Site, since};
use crate::stats::estimate::Estimate;
use crate::vm::console::Complaints;
use std::collections::BTreeMap;

/// Functions that make dentries and inodes for whoever asks; the one that asked is told.
const MAKERS: [&str; 12] = [
    "kmem_cache_alloc",
    "kmem_cache_alloc_lru",
    "__d_alloc",
    "d_alloc",
    "d_alloc_parallel",
    "d_alloc_name",
    "alloc_inode",
    "new_inode",
    "iget5_locked",
    "nfs_alloc_inode",
    "nfs_fhget",
    "__nfs_fhget",
];

/// Objects of what a mount is made of, before it and after it.
#[derive(Debug, Default)]
pub struct UnmountLeftovers {
    before: Sample,
    sites_before: BTreeMap<String, Vec<Site>>,
    /// Cache, objects that stayed, and their call sites; most first.
    stayed: Vec<(String, i64, Vec<Site>)>,
}

impl UnmountLeftovers {
    /// Notes what there was when everything but the mount was there.
    pub fn before_mount(&mut self, sample: Sample, sites: BTreeMap<String, Vec<Site>>) {
        self.before = sample;
        self.sites_before = sites;
    }

    /// Compares with what there is after unmount.
    pub fn after_unmount(&mut self, sample: &Sample, sites: &BTreeMap<String, Vec<Site>>) {
        let count_in = |sample: &Sample, cache: &str| sample.objects.get(cache).copied().unwrap_or(0);
        let none = Vec::new();
        let mut stayed: Vec<_> = BUSY_CACHES
            .iter()
            .map(|cache| {
                let now = sites.get(*cache).unwrap_or(&none);
                let grown = since(self.sites_before.get(*cache).unwrap_or(&none), now);
                let count = count_in(sample, cache) - count_in(&self.before, cache);
                (cache.to_string(), count, grown.into_iter().map(with_wanting_function).collect())
            })
            .filter(|(_, count, _)| *count > 0)
            .collect();
        stayed.sort_by_key(|(_, count, _)| -count);
        self.stayed = stayed;
    }

    /// Returns the finding that the kernel's complaints make together, if it complained. `units` were made.
    pub fn finding(&self, complaints: &Complaints, units: u64) -> Option<Finding> {
        let kind = complaints.kind?;
        let (name, count, sites) = match self.stayed.first() {
            Some((cache, count, sites)) => (cache.clone(), *count, sites.as_slice()),
            None => (kind.to_owned(), complaints.count as i64, &[][..]),
        };
        let rate = count as f64 / units.max(1) as f64;
        Some(Finding {
            source: CounterKind::Unmount,
            name,
            objects_per_listing: Estimate { estimate: rate, low: rate, high: rate },
            bytes_per_listing: 0.0,
            survives_unmount: true,
            call_sites: super::call_sites::call_sites(sites),
            objects_per_rpc: None,
            objects_per_entry: None,
            net_objects: count,
            excluded_cache_objects: None,
            shares_with: Vec::new(),
        })
    }
}

/// Returns the site with the function that wanted the object, where the stack says so.
fn with_wanting_function(mut site: Site) -> Site {
    if let Some(function) = site.stack.iter().find(|f| !MAKERS.contains(&f.as_str())) {
        site.function = function.clone();
    }
    site
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dentries: i64, inodes: i64) -> Sample {
        Sample { objects: [("dentry".to_owned(), dentries), ("nfs_inode_cache".to_owned(), inodes)].into() }
    }

    fn complaint() -> Complaints {
        Complaints { kind: Some("Dentry still in use"), count: 1, lines: vec!["BUG: Dentry still in use".into()] }
    }

    #[test]
    fn objects_that_stay_are_told_with_who_wanted_them() {
        let stack = ["kmem_cache_alloc_lru", "__d_alloc", "d_alloc_parallel", "nfs_prime_dcache", "nfs_readdir"];
        let stack = stack.map(str::to_owned).to_vec();
        let site = |objects| Site { function: "__d_alloc".into(), stack: stack.clone(), objects };
        let mut left = UnmountLeftovers::default();
        left.before_mount(sample(1000, 0), [("dentry".to_owned(), vec![site(1)])].into());
        left.after_unmount(&sample(1150, 150), &[("dentry".to_owned(), vec![site(151)])].into());
        let finding = left.finding(&complaint(), 26).unwrap();
        assert_eq!((finding.name.as_str(), finding.net_objects), ("dentry", 150));
        assert_eq!(finding.call_sites[0].function, "nfs_prime_dcache");
        assert_eq!(finding.objects_per_listing.estimate, 150.0 / 26.0);
    }

    #[test]
    fn complaint_without_objects_is_a_finding_and_objects_without_a_complaint_are_none() {
        let mut left = UnmountLeftovers::default();
        left.before_mount(sample(10, 0), BTreeMap::new());
        left.after_unmount(&sample(10, 0), &BTreeMap::new());
        assert_eq!(left.finding(&complaint(), 26).unwrap().name, "Dentry still in use");
        left.after_unmount(&sample(500, 500), &BTreeMap::new());
        assert!(left.finding(&Complaints::default(), 26).is_none());
    }
}
