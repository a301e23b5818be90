//! Trials of `host` where the machine has policies or memory of more than one kind: cgroups of both versions, SELinux, nodes of memory.

use super::gentle::{GENTLE, notes_once};
use super::guest::{
    CALL_SITE, Guest, LEAKING, PATIENT, command, is_at_its_rate, is_the_leak, measured_anywhere, must, record, says,
    scenario,
};
use crate::case::Case;
use crate::kernels::left_out_unless;
use crate::program::Trialled;
use dirleak::internals::protocol::message::{CommandLine, Confinement};
use dirleak::internals::scenario::{Scenario, load};
use dirleak::result::record::Verdict;

/// Debian's own kernel that leaks, and memory of it in two nodes.
const DEBIANS: &str = "6.1:amd64";
const DEBIANS_LEAKING: &str = "6.1:amd64+spare-pages";
const TWO_NODES: &str = "numa=fake=2";
const COUNTED: &str = "/sys/kernel/slab/kmalloc-256/objects";
/// Denies what its policy does not allow.
const ENFORCES: &str = "enforcing=1";
const ENFORCED: &str = "/sys/fs/selinux/enforce";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("host in a memory cgroup of version 1, or of 2, finds the leak and its rate", &[LEAKING], |_| {
            in_cgroups()
        }),
        Case::new(
            "host under an enforcing SELinux finds the leak, and says what a domain keeps from it",
            &[LEAKING],
            |_| under_selinux(),
        ),
        Case::new(
            "host on Debian's 6.1+spare-pages with two nodes of memory counts the objects of both",
            &[DEBIANS_LEAKING],
            |_| on_two_nodes(),
        )
        .ignored_because(left_out_unless(DEBIANS_LEAKING, DEBIANS)),
    ]
}

/// A kernel gives its memory controller to one version, and does not take it back while pages are charged to a cgroup: each has its own guest.
fn in_cgroups() -> Trialled {
    for cgroup in [Confinement::MemoryCgroupV1, Confinement::MemoryCgroupV2] {
        let mut guest = Guest::start(LEAKING, true)?;
        let words = [&GENTLE[..], &PATIENT].concat();
        let ended = guest.run(CommandLine { confined: vec![cgroup], ..command(&words) })?;
        let record = record(&ended)?;
        must(&ended, record.verdict == Verdict::Leak, || format!("in {cgroup:?} it is no leak"))?;
        is_the_leak(&ended, &record)?;
        guest.finish()?;
    }
    Ok(())
}

fn under_selinux() -> Trialled {
    let mut labelled: Scenario = scenario();
    labelled.mount.version = load("quick-v4").expect("it ships").mount.version;
    labelled.guest.security_labels = true;
    let mut guest = Guest::start_of(LEAKING, true, ENFORCES, labelled)?;
    let words = [&GENTLE[..], &PATIENT].concat();
    for (confined, note) in [
        (Vec::new(), None),
        // Where it may make no trace buffer it takes that of the whole machine.
        (vec![Confinement::SelinuxDomain], Some("traced into the trace buffer of the whole machine")),
    ] {
        let files = command(&words).files.into_iter().chain([ENFORCED.to_owned()]).collect();
        let ended = guest.run(CommandLine { confined, files, ..command(&words) })?;
        let record = record(&ended)?;
        must(&ended, says(&ended, ENFORCED) == "1", || "SELinux forbids nothing".into())?;
        must(&ended, record.verdict == Verdict::Leak, || "it is no leak".into())?;
        let site = record.findings.first().and_then(|finding| finding.call_sites.first());
        must(&ended, site.is_some_and(|site| site.function == CALL_SITE), || format!("the call site is {site:?}"))?;
        note.map_or(Ok(()), |note| notes_once(&ended, &record, note))?;
    }
    let mut denied =
        |words: &[&str]| guest.run(CommandLine { confined: vec![Confinement::SelinuxDomain], ..command(words) });
    let ended = denied(&["host", "--synthetic"])?;
    let in_a_sentence = ended.status == Some(129) && ended.stderr.trim_end().lines().count() == 1;
    must(&ended, in_a_sentence && ended.stderr.contains("a policy of this machine"), || {
        "it is not refused in a sentence".into()
    })?;
    let ended = denied(&["host", "/mnt", "--watch", "--attribute", "--interval", "1", "--budget", "15"])?;
    let goes_on = ended.stdout.starts_with("no call site is told, watching goes on without: ");
    must(&ended, ended.status == Some(0) && goes_on && ended.stdout.contains("\nafter "), || {
        "it does not go on without".into()
    })?;
    guest.finish()
}

fn on_two_nodes() -> Trialled {
    let mut guest = Guest::start_with(DEBIANS_LEAKING, true, TWO_NODES)?;
    let looked = guest.run(CommandLine { files: vec![COUNTED.to_owned()], ..command(&["--version"]) })?;
    let counted = says(&looked, COUNTED);
    must(&looked, counted.contains(" N0=") && counted.contains(" N1="), || format!("it has one node: {counted}"))?;
    let (ended, record) = measured_anywhere(&[&GENTLE[..], &PATIENT].concat(), &mut guest, 1, Verdict::Leak)?;
    is_at_its_rate(&ended, &record, &record.findings[0])?;
    is_the_leak(&ended, &record)?;
    guest.finish()
}
