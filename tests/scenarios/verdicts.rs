//! Trials of what the program is for: it finds the leak where there is one, by name and number, and none elsewhere.

use crate::case::Case;
use crate::program::{Program, SMALL_CACHES, Seen, Trialled};
use crate::spare_pages::{self, Expected};
use dirleak::internals::protocol::message::MOST_LISTED_PLAINLY;
use dirleak::internals::sample::CounterKind;
use dirleak::internals::scenario::{Overrides, ServerKind, select};
use dirleak::result::proof::Outcome;
use dirleak::result::record::{RunRecord, Verdict};

const FIXED: &str = "6.1";
const LEAKING: &str = "6.1+spare-pages";
const VERIFY: [&str; 3] = ["verify", "--unpatched", LEAKING];
/// A kernel that keeps an object per open until it unmounts.
const UNTIL_UNMOUNT: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/until-unmount.patch");
/// A kernel that leaks a page per listing.
const PAGES: &str = "6.1+page-per-listing";
/// A kernel that keeps the service of lockd whenever it ends.
const LOCKD: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/service-per-lockd.patch");
/// Where the names come from that leak.
const CALL_SITE: &str = "nfs_readdir_page_array_append";
/// How much of the leak must be seen to come from there.
const SHARE: f64 = 0.95;
/// How far the measured rate may be from the modelled one.
const RATE_TOLERANCE: f64 = 0.02;
/// So few names a listing take long to be told from a large cache.
const FEW: u64 = 10;
/// What a clean kernel's counters are excluded to grow by, a listing, unless told otherwise.
const CLEAN_BOUND: f64 = 0.5;

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = ["quick", "recipe-2019", "huge-flat"].map(|name| clean(name, FIXED)).into();
    cases.push(clean("recipe-2019", LEAKING));
    let leaking = |scenario, entries| leaking(scenario, entries, FIXED, CALL_SITE);
    cases.extend([None, Some(126), Some(128), Some(300)].map(|entries| leaking("quick", entries)));
    cases.push(leaking("huge-flat", None));
    cases.push(Case::new("growth that unmounting frees is neither a leak nor clean", &[UNTIL_UNMOUNT], |_| {
        until_unmount(&["run", "--kernel", UNTIL_UNMOUNT, "--largest-cache", "300", "quick"], Verdict::Undecided, 125)
    }));
    cases.push(Case::new(
        "growth that unmounting frees is let be with --allow-until-unmount",
        &[UNTIL_UNMOUNT],
        |_| {
            let let_be = ["run", "--kernel", UNTIL_UNMOUNT, "--allow-until-unmount", "--largest-cache", "300", "quick"];
            until_unmount(&let_be, Verdict::Clean, 0)
        },
    ));
    cases.push(Case::new("verify proves nothing over growth that unmounting frees", &[LEAKING, UNTIL_UNMOUNT], |_| {
        let seen =
            Program::new(&[&VERIFY[..], &["--patched", UNTIL_UNMOUNT, "--largest-cache", "300", "quick"]].concat())
                .run()?;
        seen.must(outcome(&seen) == Some(Outcome::Undecided), || "it is not undecided".into())?;
        seen.must(seen.stdout.contains("unmounting frees them"), || "it does not say what frees it".into())?;
        seen.must_end_with(125)
    }));
    cases.push(Case::new("growth that unmounting frees is a leak with --strict", &[UNTIL_UNMOUNT], |_| {
        let strict = ["run", "--kernel", UNTIL_UNMOUNT, "--strict", "--largest-cache", "300", "quick"];
        until_unmount(&strict, Verdict::Leak, 1)
    }));
    cases.push(Case::new("what lockd leaves behind with each mount is a leak", &[LOCKD], |_| lockd()));
    cases.extend([FIXED, LEAKING, PAGES].map(stock));
    cases.push(Case::new("verify quick is proven", &[FIXED, LEAKING], |_| proven()));
    cases.push(Case::new("verify quick with two leaking kernels is not proven", &[LEAKING], |_| not_proven()));
    cases
}

pub fn clean(scenario: &'static str, kernel: &'static str) -> Case {
    Case::new(format!("{scenario} on {kernel} is clean"), &[kernel], move |_| {
        let seen = Program::new(&["run", "--kernel", kernel, scenario]).run()?;
        let record = seen.record()?;
        seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
        seen.must_end_with(0)?;
        seen.must(record.findings.is_empty(), || format!("it is clean with findings: {:?}", record.findings))?;
        within_bounds(&seen, record)?;
        measured_well(&seen, record)
    })
}

fn within_bounds(seen: &Seen, record: &RunRecord) -> Trialled {
    let highest = record.bounds.as_ref().map_or(&[][..], |bounds| &bounds.highest);
    seen.must(!highest.is_empty(), || "there are no bounds".into())?;
    let bounds = record.bounds.as_ref().expect("there are some");
    for net in &bounds.highest_net {
        seen.must(net.high < bounds.min_rate, || {
            format!("it is clean, and {} may leak {} in lumps", net.name, net.high)
        })?;
    }
    seen.must(bounds.rarest_listings.is_some_and(|n| n >= 1), || "it does not say what is too rare".into())?;
    for bound in highest {
        let rate = &bound.objects_per_listing;
        // Clean promises the upper bound. The lower one is where the noise puts it (-0.51 pages was seen on 6.12, beside 0.26); only
        // bounds that are wider than this say nothing.
        let (low, high) = (rate.low, rate.high);
        let within = high <= CLEAN_BOUND && high - low <= 2.0 * CLEAN_BOUND;
        seen.must(within, || format!("{} has bounds of {low:.2} to {high:.2} per listing", bound.name))?;
    }
    Ok(())
}

/// Every listing was cold and complete, and the probe was shown to see what there is.
fn measured_well(seen: &Seen, record: &RunRecord) -> Trialled {
    let listings = record.listings;
    seen.must(listings > 0, || "nothing was listed".into())?;
    let (cold, complete) = (record.cold_listings, record.complete_listings);
    seen.must(cold == listings, || format!("{cold} of {listings} listings were cold"))?;
    seen.must(complete == listings, || format!("{complete} of {listings} listings were complete"))?;
    let calls = |name: &str| record.rpcs.get(name).copied().unwrap_or(0);
    let (plain, plus) = (calls("READDIR"), calls("READDIRPLUS"));
    seen.must(plain + plus >= listings, || format!("{listings} listings sent {plain} READDIR, {plus} READDIRPLUS"))?;
    if record.scenario == "huge-flat" {
        seen.must(plain > 0 && plus > 0, || format!("there were {plain} READDIR and {plus} READDIRPLUS"))?;
    }
    let controls = &record.controls;
    let all_seen = controls.held >= 500 && controls.seen == controls.held && controls.left == 0;
    seen.must(all_seen, || format!("the objects held on purpose were not seen: {controls:?}"))?;
    let names_seen = controls.names_removed >= record.entries.min(MOST_LISTED_PLAINLY) as i64
        && controls.names_cached >= controls.names_removed;
    seen.must(names_seen, || format!("the names were not seen at their call site: {controls:?}"))
}

/// `scenario` on the series with spare-pages, which leaks names from `function`.
pub fn leaking(scenario: &'static str, entries: Option<u64>, series: &'static str, function: &'static str) -> Case {
    let overrides = Overrides { entries, ..Overrides::default() };
    let settings = select(&[scenario.into()], None, &[], &overrides).expect("it is a valid scenario").remove(0);
    let expected = spare_pages::listing(series, &settings);
    let kernel = format!("{series}+spare-pages");
    let cache = if settings.server == ServerKind::Knfsd { "kmalloc-32" } else { "kmalloc-256" };
    let with = entries.map_or(String::new(), |n| format!(" with {n} entries"));
    let name = format!("{scenario}{with} on {kernel} leaks {} names per listing", expected.leaked);
    Case::new(name, &[&kernel.clone()], move |_| {
        let entries = entries.map(|n| n.to_string());
        let mut arguments = vec!["run", "--kernel", &kernel, scenario];
        arguments.extend(entries.iter().flat_map(|n| ["-n", n]));
        if expected.leaked < FEW {
            arguments.extend(SMALL_CACHES);
        }
        let seen = Program::new(&arguments).run()?;
        let record = seen.record()?;
        seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
        seen.must_end_with(1)?;
        leaks_as_expected(&seen, record, (cache, function), expected)?;
        lines_as_expected(&seen, record, series, expected)?;
        measured_well(&seen, record)
    })
}

/// By line of source the names are kmemdup_nul's, each of them, and nothing else is said to leak. Before Linux 6.10 no line is told.
fn lines_as_expected(seen: &Seen, record: &RunRecord, series: &str, expected: Expected) -> Trialled {
    let lines = &record.allocation_sites;
    let all: Vec<_> = lines.iter().map(|line| (line.file.as_str(), line.function.as_str())).collect();
    let named: &[(&str, &str)] = match series {
        "5.10" | "6.1" => &[],
        "6.12" => &[("mm/util.c", "kmemdup_nul")],
        // Which is in line there, in what others call, too.
        "7.2" | "7.3" => &[("mm/util.c", "__kmemdup_nul")],
        // Not known of a kernel that nobody has tried.
        _ => return Ok(()),
    };
    seen.must(all == named, || format!("the lines of source are {all:?}"))?;
    lines.iter().try_for_each(|line| near(seen, "allocations", line.calls_per_listing, expected.leaked))
}

fn leaks_as_expected(seen: &Seen, record: &RunRecord, (cache, function): (&str, &str), expected: Expected) -> Trialled {
    let [finding] = record.findings.as_slice() else {
        return seen.must(false, || format!("one leak is {} findings", record.findings.len()));
    };
    let place = (finding.source, finding.name.as_str());
    seen.must(place == (CounterKind::Slab, cache), || format!("the leak is in {place:?}, not in {cache}"))?;
    seen.must(finding.survives_unmount, || "the leak does not survive unmount".into())?;
    let site = finding.call_sites.first();
    // Before Linux 5.14 the kernel keeps functions without their stacks.
    let stacked = |stack: &[String]| stack.is_empty() || stack.iter().any(|frame| frame == function);
    let named = site.is_some_and(|s| s.function == function && s.share >= SHARE && stacked(&s.stack));
    seen.must(named, || format!("the leak is not said to come from {function}: {site:?}"))?;
    near(seen, "names leaked", finding.objects_per_listing.estimate, expected.leaked)?;
    let calls = |name: &str| record.rpcs.get(name).copied().unwrap_or(0) as f64 / record.listings.max(1) as f64;
    near(seen, "READDIR calls", calls("READDIR"), expected.readdir)?;
    near(seen, "READDIRPLUS calls", calls("READDIRPLUS"), expected.readdirplus)
}

/// The figure per listing is what the model of the leak patch says.
fn near(seen: &Seen, what: &str, measured: f64, modelled: u64) -> Trialled {
    let modelled = modelled as f64;
    let near = (measured - modelled).abs() <= RATE_TOLERANCE * modelled;
    seen.must(near, || format!("{measured:.2} {what} per listing were measured, {modelled} are to be expected"))
}

/// Without slub_debug and page_owner, so that tracepoints must tell who allocated what.
fn stock(kernel: &'static str) -> Case {
    let (verdict, counter, function) = match kernel {
        LEAKING => (Verdict::Leak, "kmalloc-256", CALL_SITE),
        PAGES => (Verdict::Leak, "pages", "nfs_readdir_page_filler"),
        _ => (Verdict::Clean, "", ""),
    };
    Case::new(format!("quick on {kernel} without debugging is {}", verdict.as_str()), &[kernel], move |_| {
        let arguments = [&["run", "--kernel", kernel, "--stock", "quick"], &SMALL_CACHES[..]].concat();
        let seen = Program::new(&arguments).run()?;
        let record = seen.record()?;
        seen.must(record.verdict == verdict, || format!("it is not {}", verdict.as_str()))?;
        let kept = record.controls.sources.iter().any(|c| ["eventfd", "pipe_write"].contains(&c.name.as_str()));
        seen.must(!kept, || "the kernel kept call sites".into())?;
        let found =
            record.findings.iter().map(|f| (f.name.as_str(), f.call_sites.first().map(|s| s.function.as_str())));
        let expected: Vec<_> = (verdict == Verdict::Leak).then_some((counter, Some(function))).into_iter().collect();
        seen.must(found.clone().eq(expected), || format!("what is found is {:?}", found.collect::<Vec<_>>()))?;
        seen.must(record.notes.is_empty(), || format!("there are notes: {:?}", record.notes))?;
        measured_well(&seen, record)
    })
}

/// The service and its pools are two objects a mount, found by their function.
fn lockd() -> Trialled {
    let seen = Program::new(&[&["run", "--kernel", LOCKD, "mount-cycle-lockd"], &SMALL_CACHES[..]].concat()).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    seen.must_end_with(1)?;
    let service = record.findings.iter().find(|finding| finding.name == "kmalloc-256");
    let named = service.and_then(|finding| finding.call_sites.first()).is_some_and(|s| s.function == "__svc_create");
    seen.must(named, || format!("the leak is not said to come from __svc_create: {:?}", record.findings))?;
    near(&seen, "services kept", service.map_or(0.0, |finding| finding.objects_per_listing.estimate), 1)
}

fn until_unmount(arguments: &[&str], verdict: Verdict, status: i32) -> Trialled {
    let seen = Program::new(arguments).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == verdict, || format!("it is not {}", verdict.as_str()))?;
    seen.must_end_with(status)?;
    let [finding] = record.findings.as_slice() else {
        return seen.must(false, || format!("one growth is {} findings", record.findings.len()));
    };
    let freed = finding.name == "kmalloc-256" && !finding.survives_unmount;
    seen.must(freed, || format!("what grows is {} and survives unmount: {}", finding.name, finding.survives_unmount))?;
    // The first sentence says how much, and that unmounting frees it.
    let rate = "1.00 kmalloc-256 objects per listing";
    let told = record.reason.contains(rate) && record.reason.contains("unmount");
    seen.must(told, || format!("the reason does not tell it: {}", record.reason))?;
    near(&seen, "objects kept", finding.objects_per_listing.estimate, 1)
}

fn proven() -> Trialled {
    let seen = Program::new(&[&VERIFY[..], &["--patched", FIXED, "quick"]].concat()).run()?;
    let verdicts = verdicts(&seen);
    seen.must(verdicts == [Verdict::Leak, Verdict::Clean], || format!("the verdicts are {verdicts:?}"))?;
    seen.must(outcome(&seen) == Some(Outcome::Proven), || "it is not proven".into())?;
    seen.must_end_with(0)
}

fn not_proven() -> Trialled {
    let seen = Program::new(&[&VERIFY[..], &["--patched", LEAKING, "quick"]].concat()).run()?;
    let verdicts = verdicts(&seen);
    seen.must(verdicts == [Verdict::Leak, Verdict::Leak], || format!("the verdicts are {verdicts:?}"))?;
    seen.must(outcome(&seen) == Some(Outcome::NotProven), || "it is not called unproven".into())?;
    seen.must_end_with(1)
}

/// Returns the verdicts of a result file in their order.
pub fn verdicts(seen: &Seen) -> Vec<Verdict> {
    seen.result.iter().flat_map(|file| &file.results).map(|record| record.verdict).collect()
}

/// Returns what became of a proof.
pub fn outcome(seen: &Seen) -> Option<Outcome> {
    seen.result.as_ref()?.proof.as_ref().map(|proof| proof.outcome)
}
