//! Trials of a few known leaks and honest growths, one of each source; `dirleak score` tries them all.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, SMALL_CACHES, Trialled};
use dirleak::internals::sample::CounterKind;
use dirleak::internals::score::header::{Header, Kind};
use dirleak::internals::score::{Row, patches};
use dirleak::result::record::{RunRecord, Verdict};

/// Patches that stand for the others: pages, what unmounting leaves behind, per-CPU memory, an object of a refused mount, names that
/// are lost only when memory runs short, one object of a read past the cache, three growths that are none, and leaks that come in lumps
/// and in many sizes.
const TRIED: [&str; 11] = [
    "page-per-listing",
    "dentry-reference",
    "iostats-per-mount",
    "refused-mount",
    "names-on-reclaim",
    "uncached-pages",
    "honest-bounded-cache",
    "honest-ring-240-per-open",
    "honest-cache-1000-per-reply",
    "lump-per-64-opens",
    "name-of-any-length",
];
/// Of leaks outside listing: a page that stays although it left the page cache.
const TRIED_OUTSIDE_LISTING: [&str; 1] = ["symlink-page"];
/// The others, which only a nightly run tries.
const NIGHTLY: [&str; 25] = [
    "rename-data",
    "lock-state",
    "honest-duplicate-requests",
    "context-of-failed-open",
    "delegation-record",
    "silly-name",
    "label-per-setxattr",
    "acl-v3",
    "acl-v4-page",
    "direct-request",
    "copy-state",
    "commit-data",
    "xattr-entry",
    "setxattr-page",
    "nfsd-file",
    "nfsd-conflicting-lock",
    "idmap-description",
    "owner-name",
    "lockd-host",
    "transport-of-failed-mount",
    "honest-nfsd-files",
    "honest-closed-stateids",
    "honest-delegations",
    "honest-idmap",
    "honest-xattr-cache",
];
/// Its cache takes more listings to fill than a run of `huge-flat` makes.
const FAR_FROM_FULL: &str = "6.1+honest-bounded-cache";
/// What `score` itself is tried with.
const SCORED: [&str; 2] = ["names-on-free", "honest-first-use"];

pub fn cases() -> Vec<Case> {
    let headers = patches("6.1").expect("every patch has a header");
    let of = |names: &[&str]| {
        let tried: Vec<Header> =
            headers.iter().filter(|header| names.contains(&header.name.as_str())).cloned().collect();
        assert_eq!(tried.len(), names.len(), "every patch that is tried exists");
        tried
    };
    let always = [&TRIED[..], &TRIED_OUTSIDE_LISTING].concat();
    let mut cases: Vec<Case> = of(&always).into_iter().map(known).collect();
    let at_night = |header| known(header).ignored_because(only_nightly("its kernel is of the nightly trials alone"));
    cases.extend(of(&NIGHTLY).into_iter().map(at_night));
    cases.push(Case::new("a cache that is far from full in huge-flat is not accused", &[FAR_FROM_FULL], |_| {
        far_from_full()
    }));
    cases.extend(["context-per-open", "spare-pages"].map(beside_kmemleak));
    let specs = SCORED.map(|patch| format!("6.1+{patch}"));
    let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
    cases.push(Case::new("score shows dirleak beside the plain recipe and kmemleak", &specs, |_| scored()));
    cases
}

/// Whether kmemleak sees a leak depends on what is lost: names are annotated in fs/nfs/dir.c so that it never does.
fn beside_kmemleak(patch: &'static str) -> Case {
    let spec = format!("6.1+{patch}");
    Case::new(format!("kmemleak is asked beside dirleak on {spec}"), &[&spec.clone()], move |_| {
        let arguments = [&["run", "--kernel", &spec, "--kmemleak", "quick"], &SMALL_CACHES[..]].concat();
        let seen = Program::new(&arguments).run()?;
        let record = seen.record()?;
        seen.must(record.verdict == Verdict::Leak && record.findings.len() == 1, || "it is not one leak".into())?;
        let kmemleak = record.kmemleak.clone().unwrap_or_default();
        seen.must(kmemleak.available, || "kmemleak was not asked".into())?;
        let objects = kmemleak.objects_by_function.get("nfs_opendir").copied().unwrap_or(0);
        let listings = record.listings;
        // What looks like a pointer to an object hides it ("false negatives", Documentation/dev-tools/kmemleak.rst): a stale word on a
        // stack or in memory that is in use again. Up to 3 of 322 were seen to be hidden.
        let expected = if patch == "spare-pages" { 0..=0 } else { listings - listings / 20..=listings };
        seen.must(expected.contains(&objects) && kmemleak.objects == objects, || {
            format!("after {listings} listings kmemleak reports {kmemleak:?}")
        })
    })
}

fn far_from_full() -> Trialled {
    let seen = Program::new(&["run", "--kernel", FAR_FROM_FULL, "huge-flat"]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Undecided, || "it is not undecided".into())?;
    let told = record.reason.contains("not yet told from a cache of more than");
    seen.must(told, || format!("the reason does not tell of a cache: {}", record.reason))?;
    seen.must_end_with(125)
}

fn scored() -> Trialled {
    let [leak, honest] = SCORED;
    let seen = Program::new(&["score", "--jobs", "1", "--only", leak, honest]).run()?;
    seen.must_end_with(0)?;
    let summary = "1 of 1 runs caught the leak, 1 with the right function and 1 with bounds that contain the true rate; 1 of 1 runs";
    seen.must(seen.stdout.contains(summary), || format!("it does not say {summary:?}"))?;
    let row = seen.stdout.lines().find(|line| line.starts_with(&format!("| {leak} |"))).unwrap_or_default();
    // 20 listings of 150 names, which kmemleak is told to leave out.
    seen.must(row.ends_with("| sees it | no* |"), || format!("the row of {leak} is {row:?}"))
}

fn known(header: Header) -> Case {
    let spec = format!("6.1+{}", header.name);
    let name = match &header.kind {
        Kind::Leak(leak) => format!("{spec} leaks in {}, told to come from {}", header.scenario, leak.function),
        Kind::Honest => format!("{spec} is not accused in {}", header.scenario),
    };
    Case::new(name, &[&spec.clone()], move |_| {
        // Honest caches are larger.
        let caches = if matches!(header.kind, Kind::Leak(_)) { &SMALL_CACHES[..] } else { &[] };
        let seen = Program::new(&[&["run", "--kernel", &spec, &header.scenario], caches].concat()).run()?;
        let record = seen.record()?;
        let row = Row::new(&header, record, None);
        seen.must(row.right, || "the verdict is wrong".into())?;
        seen.must(row.function_right != Some(false), || format!("another function is named: {:?}", row.found))?;
        seen.must(row.rate_right != Some(false), || format!("the rate is wrong: {:?}", row.found))?;
        let known_source =
            |r: &RunRecord| r.findings.iter().all(|f| f.source != CounterKind::Unmount || !f.call_sites.is_empty());
        seen.must(known_source(record), || "what unmounting left behind has no call site".into())
    })
}
