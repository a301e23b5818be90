//! A verdict in one sentence, with its numbers and their bounds.

use super::finding::Finding;
use super::record::{RunRecord, Verdict};
use crate::sample::CounterKind;
use crate::text::number;

/// The sentence of one run. That of a leak or a clean kernel comes from the numbers alone; every other verdict has
/// a cause outside them, which `record.reason` says.
pub fn render(record: &RunRecord) -> String {
    match record.verdict {
        Verdict::Leak => leak(record),
        Verdict::Clean => clean(record),
        verdict => {
            let reason = record.reason.trim_end_matches('.');
            format!("{} on {} is {}: {reason}.", record.scenario, record.kernel.spec, state(verdict))
        }
    }
}

fn state(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Crash => "a crash",
        other => other.as_str(),
    }
}

fn leak(record: &RunRecord) -> String {
    let (kernel, scenario) = (&record.kernel.spec, &record.scenario);
    let Some((first, others)) = record.findings.split_first() else {
        return format!("{kernel} leaks in {scenario}: {}.", record.reason.trim_end_matches('.'));
    };
    let mut text = format!("{kernel} leaks {} in {scenario}", amount(first, &record.unit));
    if let Some(site) = first.call_sites.first() {
        text += &format!(", allocated in {}", site.function);
        if site.share < 0.995 {
            text += &format!(" ({})", number::share(site.share));
        }
    }
    if first.source != CounterKind::Unmount {
        text += &format!("; not freed within {}", number::seconds(record.settled_seconds));
        if record.unmounted() {
            text += if first.survives_unmount { "; survives unmount" } else { "; freed only by unmount" };
        }
    }
    match others.len() {
        0 => {}
        1 => text += &format!("; and {}", amount(&others[0], &record.unit)),
        n => text += &format!("; and {} and {} more", amount(&others[0], &record.unit), n - 1),
    }
    text + "."
}

fn clean(record: &RunRecord) -> String {
    let mut text = format!("{} is clean in {}", record.kernel.spec, record.scenario);
    if let Some(bounds) = &record.bounds {
        let least = number::rate(bounds.min_rate);
        text += &format!(": none of {} counters grows by {least} or more per {}", bounds.counters, record.unit);
        if let Some(highest) = bounds.highest.first() {
            let upper = number::upper(highest.objects_per_listing.high);
            text += &format!(" (highest bound {upper}, {})", highest.name);
        }
    }
    // A kernel stays clean when unmounting frees what grew, but the growth is told.
    for finding in record.findings.iter().filter(|f| !f.survives_unmount) {
        text += &format!("; {} until unmount", amount(finding, &record.unit));
    }
    text + "."
}

/// `at most 0.13`: the largest growth that is still possible, if anything was bounded.
pub fn at_most(record: &RunRecord) -> Option<String> {
    let highest = record.bounds.as_ref()?.highest.first()?;
    Some(format!("at most {}", number::upper(highest.objects_per_listing.high)))
}

/// `25.0 kmalloc-256 objects per listing (24.8 to 25.2)`.
pub fn amount(finding: &Finding, unit: &str) -> String {
    // What saturates has no rate.
    if finding.source == CounterKind::Unmount {
        return format!("{} {}", finding.net_objects, thing(finding));
    }
    let rate = &finding.objects_per_listing;
    let (estimate, bounds) = (number::rate(rate.estimate), rate.bounds());
    format!("{estimate} {} per {unit} ({bounds})", thing(finding))
}

fn thing(finding: &Finding) -> String {
    let info = finding.source.info();
    if info.is_counter { info.noun.into() } else { format!("{} {}", finding.name, info.noun) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::result::parts::{Bounds, CounterBound};
    use crate::stats::estimate::Estimate;

    #[test]
    fn a_leak_says_how_much_of_what_from_where() {
        assert_eq!(
            render(&example::leak()),
            "6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, allocated in \
             nfs_readdir_page_array_append; not freed within 2.0 s; survives unmount."
        );
    }

    #[test]
    fn a_second_finding_and_a_shared_call_site_are_told() {
        let mut record = example::leak();
        record.findings[0].call_sites[0].share = 0.8;
        let mut second = record.findings[0].clone();
        second.source = CounterKind::Pages;
        second.objects_per_listing = Estimate { estimate: 1.0, low: 0.98, high: 1.02 };
        record.findings.push(second);
        let text = render(&record);
        assert!(text.contains("nfs_readdir_page_array_append (80 %);"), "{text}");
        assert!(text.ends_with("; and 1.00 pages per listing (0.98 to 1.02)."), "{text}");
    }

    #[test]
    fn a_clean_kernel_says_what_was_excluded() {
        assert_eq!(
            render(&example::clean()),
            "6.1 is clean in quick: none of 93 counters grows by 0.50 or more per listing (highest bound 0.13, dentry)."
        );
    }

    #[test]
    fn growth_until_unmount_is_told_of_a_clean_kernel() {
        let mut record = example::clean();
        record.findings = example::leak().findings;
        record.findings[0].survives_unmount = false;
        assert!(render(&record).ends_with("; 25.0 kmalloc-256 objects per listing (24.8 to 25.2) until unmount."));
    }

    #[test]
    fn a_clean_kernel_without_any_bound_still_has_a_sentence() {
        let mut record = example::clean();
        record.bounds = None;
        assert_eq!(render(&record), "6.1 is clean in quick.");
        let no_rate = Estimate { estimate: 0.0, low: 0.0, high: 0.0 };
        let highest = vec![CounterBound { source: CounterKind::Slab, name: "x".into(), objects_per_listing: no_rate }];
        record.bounds = Some(Bounds { confidence: 0.99, min_rate: 2.0, counters: 1, highest });
        assert!(render(&record).contains("2.00 or more per listing (highest bound 0.00, x)"));
    }

    #[test]
    fn other_verdicts_give_their_reason() {
        let mut record = example::clean();
        for (verdict, expected) in [
            (Verdict::Undecided, "quick on 6.1 is undecided: the guest was silent."),
            (Verdict::Crash, "quick on 6.1 is a crash: the guest was silent."),
            (Verdict::Broken, "quick on 6.1 is broken: the guest was silent."),
            (Verdict::Unsupported, "quick on 6.1 is unsupported: the guest was silent."),
        ] {
            record.verdict = verdict;
            record.reason = "the guest was silent".into();
            assert_eq!(render(&record), expected);
        }
    }
}
