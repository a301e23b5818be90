//! Trials of a kernel that stops showing one of the things that are read: no run may say clean then, because a checker that
//! stopped working looks exactly like a clean kernel.

use crate::case::Case;
use crate::program::{Program, Seen, Trialled, varied};
use dirleak::result::record::{RunRecord, Verdict};

/// A kernel that its command line makes blind; the patch says how.
const BLIND: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/blind.patch");
const BLIND_AND_LEAKING: &str = concat!("6.1+spare-pages+", env!("CARGO_MANIFEST_DIR"), "/tests/data/blind.patch");

pub fn cases() -> Vec<Case> {
    // What is broken, the controls that miss it, and how the sentence names the source.
    let table: [(&str, &[&str], &str); 7] = [
        // The class in which eventfds lie is the one that grows.
        ("objects", &["filp", "eventfd"], "slab failed: of 584 objects held on purpose the probe saw 0 in filp"),
        ("alloc_traces", &["eventfd"], "slab failed: of 512 objects held on purpose the probe saw 0 at the call site"),
        ("zoneinfo", &["pages"], "pages failed: of 512 pages held on purpose the probe saw"),
        ("page_owner", &["pipe_write"], "pages failed: of 64 pages held on purpose the probe saw 0 at the call site"),
        ("vmallocinfo", &["vmalloc"], "vmalloc failed: of 64 areas held on purpose the probe saw 0 in vmalloc"),
        ("percpu_stats", &["percpu"], "percpu failed: of 64 allocations held on purpose the probe saw 0 in percpu"),
        ("console", &["console"], "unmount failed: of 2 lines that the guest printed 0 were seen on its console"),
    ];
    let case = |(to, controls, sentence): (&'static str, &'static [&'static str], &'static str)| {
        Case::new(format!("a kernel that is blind to {to} is undecided"), &[BLIND], move |_| {
            undecided(to, controls, &format!("the control of {sentence}"))
        })
    };
    let mut cases: Vec<Case> = table.map(case).into();
    cases.extend([
        Case::new("a kernel that could be blind and is not is clean", &[BLIND], |_| not_blind()),
        Case::new("a kernel that tells nowhere who allocated what says so and is still judged", &["6.1"], |_| {
            no_sites()
        }),
        Case::new("a leak is told by a source that works beside one that is blind", &[BLIND_AND_LEAKING], |_| {
            leaks("vmallocinfo", Verdict::Leak, 1)
        }),
        Case::new("a leak is not told by a source that is blind", &[BLIND_AND_LEAKING], |_| {
            leaks("objects", Verdict::Undecided, 125)
        }),
    ]);
    cases
}

/// The scenario `quick` on a kernel that is blind.
fn run(kernel: &str, to: &str) -> Result<Seen, libtest_mimic::Failed> {
    with_arguments(&["run", "--kernel", kernel, "./blind.toml"], &format!("blind={to}"))
}

fn with_arguments(words: &[&str], kernel_arguments: &str) -> Result<Seen, libtest_mimic::Failed> {
    let guest = format!("[guest]\nkernel_arguments = \"{kernel_arguments}\"\n");
    let scenario = varied(include_str!("../../scenarios/quick.toml"), &[("[guest]\n", &guest)]);
    Program::new(words).with_file("blind.toml", &scenario).run()
}

fn undecided(to: &str, controls: &[&str], sentence: &str) -> Trialled {
    let seen = run(BLIND, to)?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Undecided, || "it is not undecided".into())?;
    seen.must_end_with(125)?;
    seen.must(record.reason.contains(sentence), || format!("the reason does not contain {sentence:?}"))?;
    seen.must(record.reason.lines().count() == 1, || "the reason is no one line".into())?;
    seen.must(missed(record) == controls, || format!("what was missed is {:?}", missed(record)))
}

/// The controls that saw less than half of what was held.
fn missed(record: &RunRecord) -> Vec<&str> {
    let missed = record.controls.sources.iter().filter(|c| 2 * c.seen < c.held);
    missed.map(|c| c.name.as_str()).collect()
}

fn not_blind() -> Trialled {
    let seen = run(BLIND, "nothing")?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
    seen.must_end_with(0)?;
    let controls: Vec<&str> = record.controls.sources.iter().map(|c| c.name.as_str()).collect();
    let all = ["filp", "eventfd", "pages", "pipe_write", "vmalloc", "percpu", "console"];
    seen.must(controls == all, || format!("the controls are {controls:?}"))?;
    seen.must(missed(record).is_empty(), || format!("what was missed is {:?}", missed(record)))
}

/// Neither slub_debug nor tracepoints: tracefs is empty without these two.
fn no_sites() -> Trialled {
    let words = ["run", "--kernel", "6.1", "--stock", "./blind.toml"];
    let seen = with_arguments(&words, "initcall_blacklist=tracer_init_tracefs,event_trace_init")?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
    let missing = &record.not_looked_for;
    seen.must(missing == &["call sites"], || format!("what was not looked for is {missing:?}"))
}

fn leaks(to: &str, verdict: Verdict, status: i32) -> Trialled {
    let seen = run(BLIND_AND_LEAKING, to)?;
    let record = seen.record()?;
    seen.must(record.verdict == verdict, || format!("it is not {}", verdict.as_str()))?;
    seen.must_end_with(status)
}
