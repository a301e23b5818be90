//! Trials of the library of scenarios on the kernel as it is: no leak, no listing that is wrong, and whatever is to go wrong does. The
//! set `ci` and a few older ones; with `DIRLEAK_NIGHTLY=1` the whole set `nightly`, which takes an hour.

use crate::case::Case;
use crate::kernels::only_nightly;
use crate::program::{Program, Trialled, varied};
use dirleak::internals::scenario::{Overrides, Scenario, select};
use dirleak::result::record::Verdict;

/// Tried elsewhere, with more to be said of them.
const ELSEWHERE: [&str; 3] = ["quick", "recipe-2019", "huge-flat"];
/// Where a reader may end before what is to go wrong does.
const ENDED_BEFORE: [&str; 1] = ["killed"];
/// Unsupported by a kernel that was built without ext4.
const NEEDS_MORE: [&str; 2] = ["ext4-export", "files-xattr-v4"];
/// Of no set that is always run here, and unlike any that is.
const OTHERS: [&str; 8] =
    ["seek", "changing", "server-error", "cgroup", "reclaim", "rm-while-listing", "mount-cycle-v4", "labels"];

pub fn cases() -> Vec<Case> {
    let others = OTHERS.map(str::to_owned);
    let of_set = |set| select(&others, Some(set), &[], &Overrides::default()).expect("they ship");
    let tried = of_set("ci");
    let all = of_set("nightly")
        .into_iter()
        .filter(|scenario| ![&ELSEWHERE[..], &NEEDS_MORE].concat().contains(&scenario.name.as_str()));
    let broken = ["cookie-ignored", "hard-link-cookies"].map(|name| {
        Case::new(format!("{name} on 6.1 is broken unless the server is told to lie"), &["6.1"], move |_| broken(name))
    });
    all.map(|scenario| {
        let name = format!("{} on 6.1 is clean", scenario.name);
        let left_out = only_nightly("it is of the set nightly alone").filter(|_| !tried.contains(&scenario));
        Case::new(name, &["6.1"], move |_| clean(&scenario)).ignored_because(left_out)
    })
    .chain(broken)
    .collect()
}

/// Tries a scenario of the library as if its listings were to be right, and with a server that is so in every reply.
fn broken(name: &str) -> Trialled {
    const LIED_TO: &str = "{ list = { lied_to = true } }";
    let dir = tempfile::tempdir()?;
    let text = std::fs::read_to_string(format!("scenarios/{name}.toml"))?;
    let strict = varied(&text, &[(LIED_TO, "\"list\""), ("{ fault = {", "{ fault = { when = { every = 1 },")]);
    let path = dir.path().join("strict.toml");
    std::fs::write(&path, strict)?;
    let seen = Program::new(&["run", "--kernel", "6.1", &path.to_string_lossy()]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Broken, || "it is not broken".into())?;
    seen.must(record.findings.is_empty(), || format!("it is broken with findings: {:?}", record.findings))?;
    let says = |words: &str| record.reason.contains(words);
    let is_right = match name {
        "cookie-ignored" => says("a second time") && says("it goes round and has no end"),
        _ => says("a second time") || says(" ended without "),
    };
    seen.must(is_right, || format!("it says: {}", record.reason))?;
    seen.must_end_with(1)
}

fn clean(scenario: &Scenario) -> Trialled {
    let program = Program::new(&["run", "--kernel", "6.1", &scenario.name]);
    let seen = program.with_processors(scenario.guest.cpus).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
    seen.must_end_with(0)?;
    let (units, complete) = (record.listings, record.complete_listings);
    seen.must(units > 0 && complete == units, || format!("{complete} of {units} units were complete"))?;
    seen.must(record.not_looked_for.is_empty(), || format!("sources are missing: {:?}", record.not_looked_for))?;
    let charged = record
        .cgroup
        .as_ref()
        .is_none_or(|cgroup| cgroup.peak_bytes >= Some(cgroup.charged_bytes) && cgroup.slab_bytes > 0);
    seen.must(charged, || format!("nothing was charged to the cgroup: {:?}", record.cgroup))?;
    // Who is killed does not always come to where it was to happen; that it never did would be no clean verdict.
    let must_each = !ENDED_BEFORE.contains(&scenario.name.as_str());
    let missed = record.faults.iter().find(|fault| must_each && fault.happened < fault.armed);
    seen.must(missed.is_none(), || format!("a fault did not happen each time: {missed:?}"))
}
