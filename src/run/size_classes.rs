//! The size classes of kmalloc together, as one counter: what a leak spreads over several of them, each too little to be seen, is seen
//! in their sum.

use crate::result::finding::Finding;
use crate::sample::{CounterKind, Growth, Sample, Site};
use crate::stats::net_growth::NetGrowth;
use crate::verdict::judge::{Counter, CounterVerdict, Judgement, stays};
use std::collections::BTreeMap;

/// Classes whose call sites are asked for instead of the sum's, at most.
const MOST_CLASSES: usize = 16;

/// What the names of those classes begin with that hold nothing but vectors of slabs.
const OF_VECTORS: &str = "kmalloc-no-objext-";

/// The counter of all of them.
pub const COUNTER: &str = "kmalloc";

/// Returns the sample with the sum of the size classes beside them.
pub fn with_sum(mut sample: Sample) -> Sample {
    let sum = sample.objects.iter().filter(|(name, _)| is_class(name)).map(|(_, objects)| objects).sum();
    sample.objects.insert(COUNTER.to_owned(), sum);
    sample
}

/// Lets classes leak that certainly grow, too, where the sum leaks. Where something leaks in two of them the sum is soon known to some percent
/// and each of them is not; yet they are what leaks, at rates and of sizes that can be told. `net` is the growth of the whole run, in which
/// `total_dose` units were made.
pub fn accuse_parts(judgement: &mut Judgement, net: &Growth, total_dose: u64, min_rate: f64) {
    if !judgement.counters.iter().any(|c| c.name == COUNTER && c.says == CounterVerdict::Leak) {
        return;
    }
    let grows = |c: &Counter| {
        let stays = stays(&c.fit, net.get(&c.name).copied().unwrap_or(0), total_dose);
        is_class(&c.name) && c.fit.low > 0.0 && c.fit.estimate >= min_rate && stays
    };
    for counter in judgement.counters.iter_mut().filter(|c| grows(c)) {
        counter.says = CounterVerdict::Leak;
    }
}

/// Returns the findings without the sum where classes that are found themselves have half of it or more.
pub fn without_sum(findings: Vec<Finding>) -> Vec<Finding> {
    let of_classes: i64 = findings.iter().filter(|f| is_class(&f.name)).map(|f| f.net_objects).sum();
    let is_sum = |f: &Finding| f.source == CounterKind::Slab && f.name == COUNTER;
    findings.into_iter().filter(|f| !is_sum(f) || 2 * of_classes < f.net_objects).collect()
}

/// Returns the net growth without that of the sum where one class has half of it or more.
pub fn without_summed(mut nets: Vec<NetGrowth>) -> Vec<NetGrowth> {
    let most = nets.iter().filter(|net| is_class(&net.name)).map(|net| net.grown).fold(0.0, f64::max);
    nets.retain(|net| net.name != COUNTER || 2.0 * most < net.grown);
    nets
}

/// Returns what leaks without the sum where the classes that leak themselves have half of its growth or more, as findings have it: else
/// the sum would be the first to go past the largest cache, and then be no finding.
pub fn without_summed_leaks(mut leaks: Vec<(String, f64, i64)>) -> Vec<(String, f64, i64)> {
    let of_classes: i64 = leaks.iter().filter(|(name, ..)| is_class(name)).map(|(_, _, net)| *net).sum();
    leaks.retain(|(name, _, net)| name != COUNTER || 2 * of_classes < *net);
    leaks
}

/// Returns the counters of which call sites are wanted: instead of the sum the classes that grew, most first.
pub fn instead_of_sum(names: impl Iterator<Item = String>, net: &Growth) -> Vec<String> {
    let mut grown: Vec<_> = net.iter().filter(|(name, grown)| is_class(name) && **grown > 0).collect();
    grown.sort_by_key(|(_, grown)| -**grown);
    let classes: Vec<String> = grown.into_iter().take(MOST_CLASSES).map(|(name, _)| name.clone()).collect();
    let mut wanted = Vec::new();
    for name in names {
        let one = if name == COUNTER { classes.clone() } else { vec![name] };
        wanted.extend(one.into_iter().filter(|name| !wanted.contains(name)).collect::<Vec<_>>());
    }
    wanted
}

/// Gives the sum the call sites of the classes, most first.
pub fn attribute_sum(sites: &mut BTreeMap<String, Vec<Site>>) {
    let mut all: Vec<Site> =
        sites.iter().filter(|(name, _)| is_class(name)).flat_map(|(_, sites)| sites.clone()).collect();
    all.sort_by_key(|site| -site.objects);
    sites.insert(COUNTER.to_owned(), all);
}

/// Returns whether a cache of this name is one of them. What counts allocations by line keeps its vectors, one
/// for each slab of any cache, in classes of their own (KMALLOC_NO_OBJ_EXT in mm/slab_common.c of 6.12.118): they grow with a leak and
/// are none of it.
fn is_class(name: &str) -> bool {
    name.starts_with("kmalloc-") && !name.starts_with(OF_VECTORS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::stats::estimate::Estimate;

    #[test]
    fn sum_has_every_class_and_nothing_else() {
        let objects = [
            ("kmalloc-64", 5),
            ("kmalloc-cg-8", 2),
            ("filp", 100),
            ("kmalloc-rcl-192", 1),
            ("kmalloc-no-objext-128", 70),
        ];
        let sample = Sample { objects: objects.map(|(name, n)| (name.to_owned(), n)).into() };
        assert_eq!(with_sum(sample).objects[COUNTER], 8);
    }

    #[test]
    fn call_sites_of_the_sum_are_those_of_the_classes_that_grew() {
        let net = [("kmalloc-8", 5), ("kmalloc-64", 9), ("kmalloc-96", -1), ("kmalloc", 13)];
        let net = net.map(|(name, n)| (name.to_owned(), n)).into();
        let names = |wanted: &[&str]| instead_of_sum(wanted.iter().map(|name| (*name).to_owned()), &net);
        assert_eq!(names(&["pages", COUNTER]), ["pages", "kmalloc-64", "kmalloc-8"]);
        assert_eq!(names(&["kmalloc-8"]), ["kmalloc-8"]);
        let site = |objects| vec![Site { function: "f".into(), stack: vec![], objects }];
        let mut sites =
            [("kmalloc-8".to_owned(), site(5)), ("kmalloc-64".to_owned(), site(9)), ("filp".to_owned(), site(99))]
                .into();
        attribute_sum(&mut sites);
        assert_eq!(sites[COUNTER].iter().map(|site| site.objects).collect::<Vec<_>>(), [9, 5]);
    }

    #[test]
    fn net_growth_of_the_sum_is_told_where_no_class_has_half_of_it() {
        let net = |name: &str, grown| NetGrowth { name: name.into(), grown, lump: 1.0, high: grown / 10.0 };
        let names = |nets| without_summed(nets).into_iter().map(|net| net.name).collect::<Vec<_>>();
        assert_eq!(names(vec![net(COUNTER, 8.0), net("kmalloc-8", 1.0), net("kmalloc-16", 1.0)])[0], COUNTER);
        assert_eq!(names(vec![net(COUNTER, 200.0), net("kmalloc-256", 198.0)]), ["kmalloc-256"]);
    }

    #[test]
    fn leak_of_the_sum_is_none_where_classes_leak_themselves() {
        let names = |leaks: &[(&str, i64)]| {
            let leaks = leaks.iter().map(|(name, net)| ((*name).to_owned(), 1.0, *net)).collect();
            without_summed_leaks(leaks).into_iter().map(|(name, ..)| name).collect::<Vec<_>>()
        };
        // As areas of vmalloc do, whose description and list of pages are in two classes.
        let areas = [("vmalloc", 158), (COUNTER, 320), ("kmalloc-64", 161), ("kmalloc-8", 158)];
        assert_eq!(names(&areas), ["vmalloc", "kmalloc-64", "kmalloc-8"]);
        assert_eq!(names(&[(COUNTER, 320), ("kmalloc-64", 100)]), [COUNTER, "kmalloc-64"]);
        assert_eq!(names(&[(COUNTER, 320)]), [COUNTER]);
    }

    #[test]
    fn sum_is_a_finding_only_where_no_class_explains_it() {
        let class = example::leak().findings.remove(0);
        let sum = Finding { name: COUNTER.into(), net_objects: class.net_objects + 3, ..class.clone() };
        assert_eq!(without_sum(vec![sum.clone(), class.clone()]), std::slice::from_ref(&class));
        assert_eq!(without_sum(vec![sum.clone()]), std::slice::from_ref(&sum));
        let spread = Finding { net_objects: 3 * class.net_objects, ..sum };
        assert_eq!(without_sum(vec![spread.clone(), class.clone()]).len(), 2, "the class is a third of it");
    }

    #[test]
    fn sum_of_which_classes_have_half_is_left_out() {
        let net = |name: &str, grown| NetGrowth { name: name.into(), grown, lump: 1.0, high: 0.0 };
        let is_left = |class, sum| without_summed(vec![net("kmalloc-64", class), net(COUNTER, sum)]).len() == 2;
        assert!(!is_left(32.0, 64.0) && is_left(31.0, 64.0));
        let is_left = |class, sum| {
            let leaks = vec![("kmalloc-64".to_owned(), 1.0, class), (COUNTER.to_owned(), 1.0, sum)];
            without_summed_leaks(leaks).len() == 2
        };
        assert!(!is_left(32, 64) && is_left(31, 64));
        let finding = |name: &str, net| Finding { name: name.into(), net_objects: net, ..example() };
        let is_left = |class, sum| without_sum(vec![finding("kmalloc-64", class), finding(COUNTER, sum)]).len() == 2;
        assert!(!is_left(32, 64) && is_left(31, 64));
    }

    #[test]
    fn classes_that_certainly_grow_leak_where_their_sum_does() {
        let counter = |name: &str, estimate: f64, width: f64, says| {
            let fit = Estimate { estimate, low: estimate - width, high: estimate + width };
            Counter { name: name.into(), fit, says }
        };
        // As two blocks of a label and its text say it: the sum to nine percent, the classes to eighteen.
        let said = |sum, net: i64| {
            let undecided = CounterVerdict::Undecided;
            let mut judgement = Judgement {
                counters: vec![
                    counter(COUNTER, 4.0, 0.36, sum),
                    counter("kmalloc-2k", 2.0, 0.36, undecided),
                    counter("kmalloc-32", 2.0, 2.5, undecided),
                    counter("kmalloc-8", 0.4, 0.36, undecided),
                    counter("filp", 2.0, 0.36, undecided),
                ],
            };
            let net = judgement.counters.iter().map(|c| (c.name.clone(), net)).collect();
            accuse_parts(&mut judgement, &net, 24, 0.5);
            judgement.leaks().iter().map(|c| c.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(said(CounterVerdict::Leak, 48), [COUNTER, "kmalloc-2k"]);
        assert_eq!(said(CounterVerdict::Leak, 20), [COUNTER], "what is not there any more is no leak");
        assert!(said(CounterVerdict::Undecided, 48).is_empty());
    }

    fn example() -> Finding {
        crate::result::example::leak().findings.remove(0)
    }

    #[test]
    fn class_that_did_not_grow_is_not_asked_for() {
        let net =
            [("kmalloc-64", 5), ("kmalloc-32", 0), ("kmalloc-96", 7)].map(|(name, n)| (name.to_owned(), n)).into();
        let wanted = |names: &[&str]| instead_of_sum(names.iter().map(|name| (*name).to_owned()), &net);
        assert_eq!(wanted(&["filp", COUNTER]), ["filp", "kmalloc-96", "kmalloc-64"]);
        assert_eq!(wanted(&["kmalloc-64", COUNTER]), ["kmalloc-64", "kmalloc-96"]);
    }
}
