//! Trials of a kernel that leaks little and much of each source: what a unit leaks is no part of what the controls are judged by, so that a
//! large leak is no less a leak than a small one.

use crate::case::Case;
use crate::program::{Program, SMALL_CACHES, Trialled, varied};
use dirleak::internals::sample::CounterKind;
use dirleak::result::record::Verdict;

/// A kernel of which each listing leaks what its command line says; the patch tells how.
const LEAKING: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/amounts.patch");
/// Where that is allocated.
const FUNCTION: &str = "nfs_leak_on_purpose";
/// How much each listing leaks, in the counter's own unit.
const AMOUNTS: [u32; 3] = [1, 30, 1000];
/// How far the measured rate may be from that: listings of the last rounds may come in one by one.
const TOLERANCE: f64 = 0.02;

pub fn cases() -> Vec<Case> {
    // What is leaked, and the counter that grows.
    let table = [
        ("objects", CounterKind::Slab, "kmalloc-64"),
        // The counter of the control itself.
        ("files", CounterKind::Slab, "filp"),
        ("pages", CounterKind::Pages, "pages"),
        ("areas", CounterKind::Vmalloc, "vmalloc"),
        ("percpu", CounterKind::Percpu, "percpu"),
    ];
    let each = table.into_iter().flat_map(|row| AMOUNTS.map(|amount| (row, amount)));
    each.map(|((of, source, counter), amount)| {
        let name = format!("a leak of {amount} {of} per listing is a leak in {counter}, and no control fails");
        Case::new(name, &[LEAKING], move |_| leaks(of, source, counter, amount))
    })
    .collect()
}

fn leaks(of: &str, source: CounterKind, counter: &str, amount: u32) -> Trialled {
    let arguments = format!("[guest]\nkernel_arguments = \"leak={of},{amount}\"\n");
    let words = ["run", "--kernel", LEAKING, "./leaking.toml"];
    let few = if amount < 10 { &SMALL_CACHES[..] } else { &[] };
    let roomy = [("[guest]\n", arguments.as_str()), ("memory_mib = 256", "memory_mib = 512")];
    let scenario = varied(include_str!("../../scenarios/quick.toml"), &roomy);
    let seen = Program::new(&[&words, few].concat()).with_file("leaking.toml", &scenario).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    seen.must_end_with(1)?;
    for control in &record.controls.sources {
        let near = control.seen >= control.held - control.held / 16 && control.left.abs() <= control.held / 16;
        seen.must(near, || format!("what was held is not what was seen: {control:?}"))?;
    }
    let found = record.findings.iter().find(|finding| finding.name == counter && finding.source == source);
    let Some(finding) = found else {
        return seen.must(false, || format!("nothing is found in {counter}: {:?}", record.findings));
    };
    let (rate, amount) = (finding.objects_per_listing, f64::from(amount));
    let bounded = rate.low <= amount && amount <= rate.high && (rate.estimate - amount).abs() <= TOLERANCE * amount;
    seen.must(bounded, || format!("the rate is {rate:?}"))?;
    seen.must(finding.survives_unmount, || "it does not survive unmounting".into())?;
    let named = finding
        .call_sites
        .first()
        .is_some_and(|site| site.function == FUNCTION || site.stack.iter().any(|frame| frame == FUNCTION));
    seen.must(named, || format!("it is not said to come from {FUNCTION}: {:?}", finding.call_sites))
}
