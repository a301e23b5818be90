//! Growth that another finding explains: one leak is one finding.

use crate::result::finding::Finding;
use crate::sample::CounterKind;

/// What vmalloc keeps for each of its areas: the area, its description, and the list of its pages.
const OF_VMALLOC: [&str; 5] = [
    "alloc_vmap_area",
    "__get_vm_area_node",
    "__vmalloc_area_node",
    "__vmalloc_node_range",
    "__vmalloc_node_range_noprof",
];

/// Returns the findings without those that belong to another one.
pub fn without(findings: Vec<Finding>) -> Vec<Finding> {
    let areas = findings.iter().any(|f| f.source == CounterKind::Vmalloc);
    let of_vmalloc = |f: &Finding| {
        f.source == CounterKind::Slab
            && f.call_sites.first().is_some_and(|site| OF_VMALLOC.contains(&site.function.as_str()))
    };
    findings.into_iter().filter(|f| !(areas && of_vmalloc(f))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::result::finding::CallSite;

    #[test]
    fn objects_that_vmalloc_keeps_of_its_areas_belong_to_them() {
        let leak = example::leak().findings.remove(0);
        let site = |function: &str| vec![CallSite { function: function.into(), share: 1.0, stack: vec![] }];
        let mut slab = leak.clone();
        slab.call_sites = site("alloc_vmap_area");
        let mut areas = leak.clone();
        areas.source = CounterKind::Vmalloc;
        areas.call_sites = site("nfs_readdir");
        let kept = without(vec![slab.clone(), leak.clone(), areas.clone()]);
        assert_eq!(kept, [leak.clone(), areas]);
        assert_eq!(without(vec![slab.clone()]), [slab], "alone it stands for itself");
    }
}
