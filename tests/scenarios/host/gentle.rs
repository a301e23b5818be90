//! Trials of `host` as it is without options: no cache of the machine is dropped.

use super::guest::{
    BUNDLE, DENTRIES, DISKS, EVENTS, FIXED, Guest, LEAKING, MERGES, PATIENT, RESULT, USUAL, command, is_at_its_rate,
    is_the_leak, measured_by, must, record, says, scenario,
};
use crate::case::Case;
use crate::kernels::{left_out, left_out_unless};
use crate::program::Trialled;
use dirleak::internals::protocol::message::{CommandLine, CommandOutput, Confinement};
use dirleak::internals::scenario::FileSystem;
use dirleak::result::record::{RunRecord, Verdict};
use libtest_mimic::Failed;

/// A kernel that frees something of each listing by kfree_rcu() alone, which gathers it for up to 5 s.
const PUTS_OFF: &str = "6.1+honest-kfree-rcu";
/// Debian's other kernels as they come.
const DEBIANS_OTHERS: [&str; 3] = ["5.10:cloud", "6.1:amd64", "6.12:cloud"];
/// Debian's own kernel as it comes, which merges caches, and with the module rebuilt so that it leaks.
const DEBIANS: &str = "6.1:cloud";
const DEBIANS_LEAKING: &str = "6.1:cloud+spare-pages";
/// Of a machine that keeps its kernel's memory from root.
const LOCKS_DOWN: &str = "lockdown=confidentiality";
/// As people type it; nothing of the machine is dropped, which needs no consent.
pub const GENTLE: [&str; 6] = ["host", "/mnt", "--json", RESULT, "--bundle", BUNDLE];

pub fn cases() -> Vec<Case> {
    let others = DEBIANS_OTHERS.map(|spec| {
        let name = format!("host on Debian's own {spec} is clean though no cache is dropped");
        Case::new(name, &[spec], move |_| gently_clean(Guest::start(spec, true)?))
            .ignored_because(left_out_unless(spec, spec))
    });
    let mut cases = vec![
        Case::new("host on a stock 6.1 is clean though no cache of the machine is dropped", &[FIXED], |_| {
            gently_clean(Guest::start(FIXED, true)?)
        }),
        Case::new(
            "host on a stock 6.1 that merges caches is clean though none of the machine is dropped",
            &[FIXED],
            |_| gently_clean(Guest::start_with(FIXED, true, MERGES)?),
        ),
        Case::new("host on a stock 6.1+spare-pages finds the leak though no cache is dropped", &[LEAKING], |_| {
            gently_leaks(Guest::start(LEAKING, true)?)
        }),
        Case::new(
            "host on a stock 6.1+spare-pages that merges caches finds the leak though no cache is dropped",
            &[LEAKING],
            |_| gently_leaks(Guest::start_with(LEAKING, true, MERGES)?),
        ),
        Case::new(
            "host is clean though no cache is dropped where the kernel puts off what it frees",
            &[PUTS_OFF],
            |_| gently_clean(Guest::start(PUTS_OFF, true)?),
        ),
        Case::new("host on a stock 6.12 is clean though no cache of the machine is dropped", &["6.12"], |_| {
            gently_clean(Guest::start("6.12", true)?)
        })
        .ignored_because(left_out("6.12")),
        Case::new(
            "host on Debian's own 6.1 that leaks finds it though no cache is dropped",
            &[DEBIANS_LEAKING],
            |_| gently_leaks(Guest::start(DEBIANS_LEAKING, true)?),
        )
        .ignored_because(left_out_unless(DEBIANS_LEAKING, DEBIANS)),
        Case::new("host on Debian's own 6.1 has no disk read again, and with --drop-caches it has", &[DEBIANS], |_| {
            reads_of_a_disk()
        })
        .ignored_because(left_out_unless(DEBIANS, DEBIANS)),
        Case::new(
            "host under lockdown=confidentiality is clean, and says that no function is named",
            &[DEBIANS],
            |_| locked_down(),
        )
        .ignored_because(left_out_unless(DEBIANS, DEBIANS)),
        Case::new(
            "host on a stock 6.1 accuses nothing beside others who list, though no cache is dropped",
            &[FIXED],
            |_| gently_beside_others(),
        ),
        Case::new("host in a container says what is kept from it, and judges by what is left", &[LEAKING], |_| {
            contained()
        }),
    ];
    cases.extend(others);
    cases
}

/// Measures without dropping a cache of the machine, and looks whether that is true, and said.
fn gently(guest: &mut Guest, status: i32, verdict: Verdict) -> Result<(CommandOutput, RunRecord), Failed> {
    let looked = guest.run(command(&["--version"]))?;
    let (ended, record) = measured_by(&[&GENTLE[..], &PATIENT].concat(), guest, status, verdict)?;
    let (before, after) = (drops(&looked), drops(&ended));
    let is_counted = before.len() == 2 || !record.kernel.release.ends_with("-amd64");
    must(&ended, is_counted && before == after, || format!("caches were dropped: {before:?}, then {after:?}"))?;
    let (dentries, listed) = (unused_dentries(&ended), record.entries);
    must(&ended, dentries >= listed, || format!("of {listed} names {dentries} dentries are left in the cache"))?;
    let setup = record.setup.as_ref();
    must(&ended, setup.is_some_and(|setup| !setup.caches_dropped), || "the record says that they were".into())?;
    let told = record.not_looked_for.iter().find(|source| source.contains("--drop-caches"));
    let names_some = told.is_some_and(|told| told.contains("dentry, nfs_inode_cache"));
    must(&ended, names_some, || format!("not looked for are {:?}", record.not_looked_for))?;
    let read = record.rounds.iter().flat_map(|round| round.samples.keys());
    let cached: Vec<_> = read.filter(|name| ["dentry", "nfs_inode_cache"].contains(&name.as_str())).collect();
    must(&ended, cached.is_empty(), || format!("they are judged all the same: {cached:?}"))?;
    Ok((ended, record))
}

/// Dentries that nobody uses, as those of names that were listed, which go when caches are dropped.
fn unused_dentries(ended: &CommandOutput) -> u64 {
    says(ended, DENTRIES).split_whitespace().nth(1).and_then(|unused| unused.parse().ok()).unwrap_or_default()
}

/// How often page cache, and slab caches, were dropped since boot; nothing where the kernel does not count events (small ones of our own).
pub fn drops(ended: &CommandOutput) -> Vec<String> {
    let events = says(ended, EVENTS);
    events.lines().filter(|line| line.starts_with("drop_")).map(str::to_owned).collect()
}

/// Process 1 lists the same directory now and then. What that makes move is no leak, and what it hides is told with what tells more.
fn gently_beside_others() -> Trialled {
    let mut guest = Guest::start(FIXED, true)?;
    let words = [&GENTLE[..], &["--listings-per-second", "10000", "--budget", "60"]].concat();
    let ended = guest.execute(&[command(&words)], true)?.remove(0);
    let record = record(&ended)?;
    match (record.verdict, ended.status) {
        (Verdict::Clean, Some(0)) => {}
        (Verdict::Undecided, Some(125)) => notes_once(&ended, &record, "with --drop-caches there is less")?,
        _ => must(&ended, false, || "it accuses something".into())?,
    }
    must(&ended, unused_dentries(&ended) >= record.entries, || "what others use was dropped".into())?;
    guest.finish()
}

fn gently_clean(mut guest: Guest) -> Trialled {
    gently(&mut guest, 0, Verdict::Clean)?;
    guest.finish()
}

fn gently_leaks(mut guest: Guest) -> Trialled {
    let (ended, record) = gently(&mut guest, 1, Verdict::Leak)?;
    is_the_leak(&ended, &record)?;
    guest.finish()
}

/// Sectors that were read from disks since boot.
fn sectors(ended: &CommandOutput) -> u64 {
    let of_line = |line: &str| line.split_whitespace().nth(5)?.parse::<u64>().ok();
    says(ended, DISKS).lines().filter_map(of_line).sum()
}

/// Files of the server are on a disk and in its memory: what is dropped must be read again. Whether noise lets it decide is not the question.
fn reads_of_a_disk() -> Trialled {
    let mut on_disk = scenario();
    on_disk.export.file_system = FileSystem::Ext4;
    let mut guest = Guest::start_of(DEBIANS, true, "", on_disk)?;
    let mut sectors_after = |words: &[&str]| {
        let ended = guest.run(command(&[words, &["--listings-per-second", "10000", "--budget", "60"]].concat()))?;
        must(&ended, matches!(ended.status, Some(0 | 125)), || "it accuses something".into())?;
        must(&ended, drops(&ended).len() == 2, || "it does not say how often caches were dropped".into())?;
        Ok::<_, Failed>((sectors(&ended), drops(&ended), ended))
    };
    let (before, dropped, _) = sectors_after(&GENTLE)?;
    let (after_gentle, dropped_after_gentle, gentle) = sectors_after(&GENTLE)?;
    let nothing = before > 0 && (after_gentle, &dropped_after_gentle) == (before, &dropped);
    must(&gentle, nothing, || format!("{} sectors were read again", after_gentle - before))?;
    let (after_strong, dropped_after_strong, strong) = sectors_after(&USUAL)?;
    let all = after_strong > after_gentle && dropped_after_strong != dropped;
    must(&strong, all, || "what was dropped was not read again".into())?;
    guest.finish()
}

/// What is closed is told by one note that says what is left and what mends it.
fn locked_down() -> Trialled {
    let mut guest = Guest::start_with(DEBIANS, true, LOCKS_DOWN)?;
    let (ended, record) = gently(&mut guest, 0, Verdict::Clean)?;
    notes_once(&ended, &record, "lockdown=confidentiality closes tracefs")?;
    guest.finish()
}

pub fn notes_once(ended: &CommandOutput, record: &RunRecord, part: &str) -> Trialled {
    let noted = record.notes.iter().filter(|note| note.contains(part)).count();
    must(ended, noted == 1, || format!("{part:?} is not noted once: {:?}", record.notes))
}

fn contained() -> Trialled {
    let mut guest = Guest::start(LEAKING, true)?;
    let mut within = |confined: &[Confinement], words: &[&str]| {
        guest.run(CommandLine { confined: confined.to_vec(), ..command(words) })
    };
    let words = [&GENTLE[..], &PATIENT].concat();
    let ended = within(&[Confinement::WithoutTracefs, Confinement::WithoutSysAdmin], &words)?;
    let unnamed = record(&ended)?;
    must(&ended, unnamed.verdict == Verdict::Leak, || "without CAP_SYS_ADMIN it is no leak".into())?;
    notes_once(&ended, &unnamed, "tracefs is not mounted here and this process may not mount it")?;
    is_at_its_rate(&ended, &unnamed, &unnamed.findings[0])?;
    must(&ended, unnamed.findings[0].call_sites.is_empty(), || "it names functions all the same".into())?;
    let ended = within(&[Confinement::ReadOnlyProcSys, Confinement::OneProcessor], &words)?;
    let without_pages = record(&ended)?;
    must(&ended, without_pages.verdict == Verdict::Leak, || "without /proc/sys it is no leak".into())?;
    notes_once(&ended, &without_pages, "/proc/sys is read-only here")?;
    notes_once(&ended, &without_pages, "of 4 processors this process may use 1")?;
    is_at_its_rate(&ended, &without_pages, &without_pages.findings[0])?;
    let missing = without_pages.not_looked_for.iter().any(|source| source == "pages");
    must(&ended, missing, || format!("not looked for are {:?}", without_pages.not_looked_for))?;
    for (confined, words, sentence) in [
        (Confinement::WithoutSysAdmin, &["host", "--synthetic"][..], "lacks CAP_SYS_ADMIN"),
        (Confinement::ReadOnlyProcSys, &["host", "/mnt", "--drop-caches", "--yes"], "caches are never dropped"),
        (Confinement::ReadOnlySys, &["host", "/mnt"], "--passive and --watch work all the same"),
    ] {
        let ended = within(&[confined], words)?;
        let refused = ended.status == Some(129) && ended.stderr.trim_end().lines().count() == 1;
        must(&ended, refused && ended.stderr.contains(sentence), || {
            format!("{confined:?} is not refused in a sentence")
        })?;
    }
    let ended =
        within(&[Confinement::ReadOnlySys], &["host", "/mnt", "--passive", "--interval", "1", "--budget", "3"])?;
    must(&ended, ended.status == Some(125), || "it does not watch where /sys is read-only".into())?;
    guest.finish()
}
