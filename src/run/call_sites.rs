//! Call sites as results have them.

use crate::probe::alloc_calls::NOT_SHOWN;
use crate::result::finding::{CallSite, Finding};
use crate::sample::Site;

/// Sorts call sites by function, largest share first, each with its most frequent stack.
pub(crate) fn call_sites(sites: &[Site]) -> Vec<CallSite> {
    let total: i64 = sites.iter().map(|s| s.objects).sum();
    let mut functions: Vec<CallSite> = Vec::new();
    // Sites come most first, so the first stack of a function is its most frequent one.
    for site in sites {
        let share = site.objects as f64 / total as f64;
        match functions.iter_mut().find(|f| f.function == site.function) {
            Some(function) => function.share += share,
            None => functions.push(CallSite { function: site.function.clone(), share, stack: site.stack.clone() }),
        }
    }
    functions.sort_by(|a, b| b.share.total_cmp(&a.share));
    functions
}

/// Names, for `not_looked_for`, the call sites of what was found that the kernel did not show; `None` if it showed all.
pub(crate) fn not_read(findings: &[Finding]) -> Option<String> {
    let is_cut = |finding: &&Finding| finding.call_sites.iter().any(|site| site.function == NOT_SHOWN);
    let cut: Vec<&str> = findings.iter().filter(is_cut).map(|finding| finding.name.as_str()).collect();
    (!cut.is_empty()).then(|| format!("call sites of {} beyond one page of alloc_calls", cut.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn call_sites_that_did_not_fit_a_page_are_named_as_not_read() {
        let shown = example::leak().findings.remove(0);
        let mut cut = shown.clone();
        let sites = [("nfs_opendir", 3), (NOT_SHOWN, 1)].map(|(function, objects)| Site {
            function: function.into(),
            stack: Vec::new(),
            objects,
        });
        cut.call_sites = call_sites(&sites);
        assert_eq!(not_read(&[]), None);
        assert_eq!(not_read(std::slice::from_ref(&shown)), None);
        let expected = format!("call sites of {} beyond one page of alloc_calls", cut.name);
        assert_eq!(not_read(&[shown, cut]), Some(expected));
    }

    #[test]
    fn call_sites_of_a_function_are_one_with_its_most_frequent_stack() {
        let site = |function: &str, stack: &str, objects| Site {
            function: function.into(),
            stack: vec![stack.into()],
            objects,
        };
        let sites = call_sites(&[site("g", "a", 4), site("f", "b", 3), site("f", "c", 3)]);
        let told: Vec<_> =
            sites.iter().map(|site| (site.function.as_str(), site.share, site.stack[0].as_str())).collect();
        assert_eq!(told, [("f", 0.6, "b"), ("g", 0.4, "a")]);
    }
}
