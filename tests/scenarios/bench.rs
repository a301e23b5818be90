//! Trials of `dirleak bench`: its states are what they are called, a kernel is the same as itself, and one that was slowed down is slower.

use crate::case::Case;
use crate::program::{Program, Seen, Trialled};
use dirleak::internals::protocol::timing::CacheState;
use dirleak::result::bench::{BenchFile, BenchRecord, BenchVerdict, StateComparison};
use dirleak::result::bench_metrics::SECONDS;
use libtest_mimic::Failed;

const KERNEL: &str = "6.1";
/// With a tenth more time for each entry.
const SLOW: &str = "6.1+slow-readdir";
const RESULT: &str = "bench.json";
/// Where instructions are counted a figure is the same each time; elsewhere whatever else the machine does is in it.
const COUNTED: &str = "tcg-icount";
/// What timing each call may add to a listing.
const MOST_ADDED: f64 = 0.05;

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("bench lists in the states that it says", &[KERNEL], |_| states()),
        Case::new("bench walks a tree and looks at every entry", &[KERNEL], |_| walk()),
        Case::new("a kernel is the same as itself, and as its reference", &[KERNEL], |_| same()),
        Case::new("a kernel that was slowed down by a tenth is slower", &[KERNEL, SLOW], |_| slower()),
        Case::new("growth is told with its exponent and drawn", &[KERNEL], |_| growth()),
        Case::new("bench refuses a scenario that is no listing", &[], |_| refused()),
    ]
}

/// Runs a bench to its end and reads its result.
fn bench(arguments: &[&str]) -> Result<(Seen, Option<BenchFile>), Failed> {
    let arguments = [&["bench", "--kernel", KERNEL, "--json", RESULT], arguments].concat();
    let mut running = Program::new(&arguments).start();
    let seen = running.wait()?;
    let file = serde_json::from_str(&running.text(RESULT)).ok();
    Ok((seen, file))
}

/// The same, which must end well.
fn measured(arguments: &[&str]) -> Result<(Seen, BenchFile), Failed> {
    let (seen, file) = bench(arguments)?;
    seen.must_end_with(0)?;
    let file = file.ok_or("there is no result")?;
    Ok((seen, file))
}

fn states() -> Trialled {
    let (seen, file) = measured(&["-n", "5000", "huge-flat"])?;
    let record = &file.results[0];
    let median = |state, name: &str| {
        let found = record.states.iter().find(|found| found.state == state);
        found.and_then(|found| found.medians.get(name)).copied().unwrap_or(0.0)
    };
    for state in CacheState::ALL {
        let entries = median(state, "entries");
        seen.must((5000.0..=5001.0).contains(&entries), || format!("{entries} entries are listed in {state:?}"))?;
        seen.must(median(state, SECONDS) > 0.0, || format!("a listing in {state:?} took no time"))?;
        let readdirs = median(state, "READDIR") + median(state, "READDIRPLUS");
        let asks = matches!(state, CacheState::Cold | CacheState::Changing);
        seen.must(asks == (readdirs > 0.0), || format!("{readdirs} calls of READDIR in {state:?}"))?;
        seen.must(median(state, "GETATTR") > 0.0, || format!("no attributes were asked for in {state:?}"))?;
    }
    seen.must(median(CacheState::Changing, "changes") > 0.0, || "the directory did not change".into())?;
    seen.must(median(CacheState::Cold, SECONDS) > median(CacheState::Warm, SECONDS), || {
        "warm takes as long as cold".into()
    })?;
    memory(&seen, record, file.accelerator == COUNTED)
}

/// Each name of 24 bytes is an object of kmalloc-32 in the client's cache, and none is left when it is dropped.
fn memory(seen: &Seen, record: &BenchRecord, counted: bool) -> Trialled {
    let memory = &record.memory;
    let names = memory.caches.get("kmalloc-32").copied().unwrap_or(0);
    seen.must((5000 * 32..5500 * 32).contains(&names), || format!("the names take {names} bytes"))?;
    let left = memory.slab_left_bytes;
    seen.must(left < memory.slab_held_bytes / 10, || format!("{left} bytes are left when caches are dropped"))?;
    let (timed, bare) = (memory.timed_seconds.unwrap_or(f64::MAX), memory.bare_seconds.unwrap_or(0.0));
    // A clock that is not counted may be disturbed.
    let most = if counted { bare * (1.0 + MOST_ADDED) } else { bare * 2.0 };
    seen.must(timed < most, || format!("a listing takes {bare} s, and {timed} s when it is timed"))
}

fn walk() -> Trialled {
    let (seen, file) = measured(&["--states", "cold,warm", "find"])?;
    for measured in &file.results[0].listings {
        let listing = &measured.listing;
        seen.must(listing.directories > 30, || format!("{} directories were read", listing.directories))?;
        seen.must(listing.entries > 300, || format!("{} entries were shown", listing.entries))?;
        let cold = listing.state == CacheState::Cold;
        let lookups = listing.operations.keys().any(|name| matches!(name.as_str(), "LOOKUP" | "READDIRPLUS"));
        seen.must(cold == lookups, || format!("{:?} in {:?}", listing.operations, listing.state))?;
    }
    Ok(())
}

fn same() -> Trialled {
    // So small a directory takes one READDIR more or less while it changes, which is a fourteenth of all.
    let states = ["--states", "cold,warm,expired"];
    let with = |rest: &[&'static str]| [&states[..], rest].concat();
    let (seen, file) = measured(&with(&["-n", "5000", "huge-flat"]))?;
    let counted = file.accelerator == COUNTED;
    let (vs, other) = bench(&with(&["-n", "5000", "--vs", KERNEL, "--fail-if-slower", "5", "huge-flat"]))?;
    let word = other.map(|file| file.comparisons[0].verdict);
    if counted {
        vs.must_end_with(0)?;
        vs.must(word == Some(BenchVerdict::Same), || format!("the verdict is {word:?}"))?;
    }
    // By a real clock the machine may be too restless to tell, but nothing is told that is not so.
    let is_untold = matches!(word, Some(BenchVerdict::Same | BenchVerdict::Undecided));
    vs.must(is_untold, || format!("a kernel beside itself is called {word:?}"))?;
    let path = std::env::temp_dir().join(format!("dirleak-reference-{}.json", std::process::id()));
    std::fs::write(&path, serde_json::to_string(&file)?)?;
    let reference = path.to_str().ok_or("a path that is no text")?;
    let then = bench(&[&states[..], &["-n", "5000", "--reference", reference, "huge-flat"]].concat());
    let refused = bench(&[&states[..], &["-n", "6000", "--reference", reference, "huge-flat"]].concat());
    std::fs::remove_file(&path)?;
    let (then, compared) = then?;
    then.must_end_with(0)?;
    let word = compared.map(|file| file.comparisons[0].verdict);
    let may_be = |word| word == BenchVerdict::Same || !counted && word == BenchVerdict::Undecided;
    seen.must(word.is_some_and(may_be), || format!("against itself before, the verdict is {word:?}"))?;
    let (refused, none) = refused?;
    refused.must_end_with(129)?;
    refused.must_say("its scenario huge-flat was another one; measure the reference anew")?;
    refused.must(none.is_none(), || "there is a result of nothing".into())
}

fn slower() -> Trialled {
    let (seen, file) = bench(&["-n", "20000", "--vs", SLOW, "--fail-if-slower", "5", "huge-flat"])?;
    let file = file.ok_or("there is no result")?;
    let comparison = &file.comparisons[0];
    if file.accelerator != COUNTED {
        let (word, slower) = (comparison.verdict, BenchVerdict::Slower);
        let is_so = matches!(word, BenchVerdict::Slower | BenchVerdict::Undecided);
        seen.must(is_so, || format!("a kernel that was slowed down is called {word:?}"))?;
        let is_slow = |state: &StateComparison| state.ratios[SECONDS].high > 1.05;
        seen.must(comparison.states.iter().all(is_slow), || "no interval has the true ratio".into())?;
        return seen.must_end_with(if word == slower { 1 } else { 125 });
    }
    seen.must_end_with(1)?;
    seen.must(comparison.verdict == BenchVerdict::Slower, || format!("the verdict is {:?}", comparison.verdict))?;
    for state in &comparison.states {
        let ratio = state.ratios[SECONDS].estimate;
        seen.must((1.06..1.15).contains(&ratio), || format!("{ratio} in {:?}", state.state))?;
    }
    Ok(())
}

fn growth() -> Trialled {
    let arguments = ["--grow", "-n", "100000", "--states", "cold,warm", "--plot", "growth.svg", "million"];
    let arguments = [&["bench", "--kernel", KERNEL, "--json", RESULT], &arguments[..]].concat();
    let mut running = Program::new(&arguments).start();
    let seen = running.wait()?;
    seen.must_end_with(0)?;
    let file: BenchFile = serde_json::from_str(&running.text(RESULT))?;
    seen.must(file.growth.len() == 5, || format!("{} things grow", file.growth.len()))?;
    for growth in &file.growth {
        // Calls and memory have steps: replies become larger, and only the first ones bring attributes.
        let (power, timed) = (growth.last_step, growth.what == SECONDS);
        seen.must(!timed || (0.7..1.3).contains(&power), || format!("{} grows by the power {power}", growth.what))?;
    }
    let svg = running.text("growth.svg");
    seen.must(svg.starts_with("<svg") && svg.contains("6.1 cold: entries^"), || "the plot is none".into())
}

fn refused() -> Trialled {
    let (seen, file) = bench(&["mount-cycle"])?;
    seen.must_end_with(129)?;
    seen.must_say("the scenario mount-cycle cannot be timed, because it has no `list`")?;
    seen.must(file.is_none(), || "there is a result of nothing".into())
}
