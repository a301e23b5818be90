//! A verdict in one sentence, with its numbers and their bounds.

use super::finding::Finding;
use super::record::{RunRecord, Verdict};
use crate::sample::CounterKind;
use crate::text::number;
use crate::text::plural::plural;

/// Other names of a merged cache that are told.
const SHOWN_NAMES: usize = 3;

/// Says one run in a sentence. That of a leak or a clean kernel comes from the numbers alone; every other verdict has
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
    if let Some(names) = shared(&first.shares_with) {
        text += &format!("; {} is one cache with {names} here", first.name);
    }
    match others.len() {
        0 => {}
        1 => text += &format!("; and {}", amount(&others[0], &record.unit)),
        n => text += &format!("; and {} and {} more", amount(&others[0], &record.unit), n - 1),
    }
    text + "."
}

/// Returns the other names of a merged cache; `None` if it has none.
fn shared(names: &[String]) -> Option<String> {
    let (shown, more) = (names.iter().take(SHOWN_NAMES), names.len().saturating_sub(SHOWN_NAMES));
    let shown = shown.map(String::as_str).collect::<Vec<_>>().join(", ");
    (!names.is_empty()).then(|| if more > 0 { format!("{shown} and {more} more") } else { shown })
}

fn clean(record: &RunRecord) -> String {
    let growth = but_for(record);
    let mut text = format!("{} is clean in {}{growth}", record.kernel.spec, record.scenario);
    let Some(bounds) = &record.bounds else { return text + "." };
    let unit = &record.unit;
    let others = bounds.counters.saturating_sub(record.findings.len() as u64);
    let other = if growth.is_empty() { "" } else { "other " };
    text +=
        &format!(": none of {others} {other}counters grows by {} or more per {unit}", number::rate(bounds.min_rate));
    let is_told = |name: &str| record.findings.iter().any(|finding| finding.name == name);
    if let Some(highest) = bounds.highest.iter().find(|bound| !is_told(&bound.name)) {
        text += &format!(" (highest bound {}, {})", number::upper(highest.objects_per_listing.high), highest.name);
    }
    let most = bounds.highest_net.iter().filter(|net| !is_told(&net.name)).max_by_key(|net| net.net_objects);
    if let Some(most) = most.filter(|net| net.net_objects > 0) {
        text += &format!(", or by more than {} in all ({})", most.net_objects, most.name);
    }
    if let Some(rarest) = bounds.rarest_listings {
        text += &format!("; what leaks in fewer than 1 of {} {} is not excluded", rarest.max(1), plural(unit));
    }
    text + "."
}

/// Returns what a clean verdict lets be, as unmounting frees it; empty if it is nothing.
pub fn but_for(record: &RunRecord) -> String {
    if record.verdict != Verdict::Clean {
        return String::new();
    }
    let each: Vec<String> = record.findings.iter().map(|finding| amount(finding, &record.unit)).collect();
    if each.is_empty() { String::new() } else { format!(" but for {} that stay until unmount", each.join(" and ")) }
}

/// Returns `at most 0.13`: the largest growth that is still possible of what is not found to grow, if anything was bounded.
pub fn at_most(record: &RunRecord) -> Option<String> {
    let is_told = |name: &str| record.findings.iter().any(|finding| finding.name == name);
    let highest = record.bounds.as_ref()?.highest.iter().find(|bound| !is_told(&bound.name))?;
    Some(format!("at most {}", number::upper(highest.objects_per_listing.high)))
}

/// Says an amount and its bounds: `25.0 kmalloc-256 objects per listing (24.8 to 25.2)`.
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
    fn leak_says_how_much_of_what_from_where() {
        assert_eq!(
            render(&example::leak()),
            "6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, allocated in \
             nfs_readdir_page_array_append; not freed within 2.0 s; survives unmount."
        );
    }

    #[test]
    fn second_finding_and_a_shared_call_site_are_told() {
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
    fn merged_cache_is_told_with_those_that_it_is_shared_with() {
        let mut record = example::leak();
        record.findings[0].name = "filp".into();
        record.findings[0].shares_with = vec!["ip6_dst_cache".into()];
        let text = render(&record);
        assert!(text.ends_with("; survives unmount; filp is one cache with ip6_dst_cache here."), "{text}");
        record.findings[0].shares_with = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        assert!(render(&record).ends_with("; filp is one cache with a, b, c and 2 more here."));
    }

    #[test]
    fn clean_kernel_says_what_was_excluded() {
        assert_eq!(
            render(&example::clean()),
            "6.1 is clean in quick: none of 93 counters grows by 0.50 or more per listing (highest bound 0.13, dentry); what leaks in fewer than 1 \
             of 18 listings is not excluded."
        );
    }

    #[test]
    fn growth_until_unmount_stands_before_everything_else_and_is_no_other_counter() {
        let mut record = example::clean();
        record.findings = example::leak().findings;
        record.findings[0].survives_unmount = false;
        let bounds = record.bounds.as_mut().unwrap();
        let grows = CounterBound {
            name: "kmalloc-256".into(),
            objects_per_listing: Estimate { estimate: 25.0, low: 24.8, high: 25.2 },
            ..bounds.highest[0].clone()
        };
        bounds.highest.insert(0, grows);
        assert_eq!(
            render(&record),
            "6.1 is clean in quick but for 25.0 kmalloc-256 objects per listing (24.8 to 25.2) that stay until unmount: none of 92 other \
             counters grows by 0.50 or more per listing (highest bound 0.13, dentry); what leaks in fewer than 1 of 18 listings is not \
             excluded."
        );
    }

    #[test]
    fn growth_that_stopped_is_told_of_a_clean_kernel() {
        let mut record = example::clean();
        record.bounds.as_mut().unwrap().highest_net[0].net_objects = 64;
        assert!(
            render(&record).contains("(highest bound 0.13, dentry), or by more than 64 in all (dentry); what"),
            "{}",
            render(&record)
        );
    }

    #[test]
    fn clean_kernel_without_any_bound_still_has_a_sentence() {
        let mut record = example::clean();
        record.bounds = None;
        assert_eq!(render(&record), "6.1 is clean in quick.");
        let no_rate = Estimate { estimate: 0.0, low: 0.0, high: 0.0 };
        let highest = vec![CounterBound { source: CounterKind::Slab, name: "x".into(), objects_per_listing: no_rate }];
        record.bounds = Some(Bounds { highest, ..Bounds::begin(0.99, 2.0, 1) });
        assert!(render(&record).contains("2.00 or more per listing (highest bound 0.00, x)"));
    }

    #[test]
    fn verdicts_of_other_kinds_give_their_reason() {
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
