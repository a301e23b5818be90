//! Call sites as results have them.

use crate::result::finding::CallSite;
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
