//! Growth that another finding explains: one leak is one finding.

use super::size_classes;
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

/// What SLUB keeps for each slab of objects that are charged to a cgroup or counted by the line that allocates: a vector with an
/// entry for each of its objects.
const OF_SLABS: [&str; 3] = ["alloc_slab_obj_exts", "memcg_alloc_slab_cgroups", "memcg_alloc_page_obj_cgroups"];

/// Returns the findings without those that belong to another one.
pub fn without(findings: Vec<Finding>) -> Vec<Finding> {
    let areas = findings.iter().any(|f| f.source == CounterKind::Vmalloc);
    let objects = findings.iter().any(|f| f.source == CounterKind::Slab && !is_made_by(f, &OF_SLABS));
    let belongs = |f: &Finding| areas && is_made_by(f, &OF_VMALLOC) || objects && is_made_by(f, &OF_SLABS);
    findings.into_iter().filter(|f| !belongs(f)).collect()
}

/// Returns the leaks that are findings whatever made them: where areas of vmalloc leak, objects may be what vmalloc keeps for them, two of
/// a size class for each area or more, and that they have gone past a cache says nothing of the areas.
pub fn without_objects_of_areas(leaks: &[(String, f64, i64)]) -> Vec<(String, f64, i64)> {
    let areas = leaks.iter().any(|(name, ..)| CounterKind::from_counter(name) == CounterKind::Vmalloc);
    let may_belong = |name: &str| name == "vmap_area" || name.starts_with(size_classes::COUNTER);
    leaks.iter().filter(|(name, ..)| !(areas && may_belong(name))).cloned().collect()
}

/// Returns whether the objects of a finding are mostly allocated by one of these functions.
fn is_made_by(finding: &Finding, functions: &[&str]) -> bool {
    let first = finding.call_sites.first();
    finding.source == CounterKind::Slab && first.is_some_and(|site| functions.contains(&site.function.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::result::finding::CallSite;

    #[test]
    fn area_must_go_past_a_cache_itself_and_not_by_what_is_kept_of_it() {
        let leak = |name: &str, rate: f64| (name.to_owned(), rate, 40);
        let all = [leak("kmalloc", 2.0), leak("vmalloc", 1.0), leak("vmap_area", 1.0), leak("filp", 0.7)];
        assert_eq!(without_objects_of_areas(&all), [leak("vmalloc", 1.0), leak("filp", 0.7)]);
        let objects = [leak("kmalloc", 2.0), leak("filp", 0.7)];
        assert_eq!(without_objects_of_areas(&objects), objects, "there are no areas");
    }

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

    #[test]
    fn vectors_of_slabs_belong_to_the_objects_in_them() {
        let leak = example::leak().findings.remove(0);
        let mut vectors = leak.clone();
        vectors.call_sites[0].function = "alloc_slab_obj_exts".into();
        assert_eq!(without(vec![leak.clone(), vectors.clone()]), [leak]);
        assert_eq!(without(vec![vectors.clone()]), [vectors], "alone they stand for themselves");
    }
}
