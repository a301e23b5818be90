//! Trials of programs that nobody here wrote, as units.

use crate::case::Case;
use crate::program::{Program, Trialled};
use dirleak::result::record::Verdict;

const KERNEL: &str = "6.1";
/// A kernel that leaks an object for each directory that is opened.
const OPENS: &str = "6.1+context-per-open";
/// So many directories are opened by the script below.
const OPENED: f64 = 20.0;
/// Makes a file, lists its directory again and again, and takes the file away.
const SCRIPT: &str = "#!/bin/sh
set -e
test \"$1\" = \"$DIRLEAK_DIR\" -a \"$PWD\" = \"$1\"
echo \"$DIRLEAK_UNIT\" > \"$1/file\"
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do set -- \"$1\"/*; set -- \"$DIRLEAK_DIR\"; done
rm \"$1/file\"
";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("a script as a unit is clean", &[KERNEL], |_| clean()),
        Case::new("a script as a unit leaks what it opens", &[OPENS], |_| leaks()),
        Case::new("a program that fails is broken, with what it said", &[KERNEL], |_| fails()),
        Case::new("a program that does not end is broken", &[KERNEL], |_| never_ends()),
        Case::new("a program that does nothing on the mount is undecided", &[KERNEL], |_| does_nothing()),
    ]
}

fn script(kernel: &str, text: &str, more: &[&str]) -> Program {
    let arguments = [&["run", "--kernel", kernel, "--exec", "sh script.sh {dir}"], more].concat();
    Program::new(&arguments).with_file("script.sh", text)
}

fn clean() -> Trialled {
    let seen = script(KERNEL, SCRIPT, &[]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Clean, || "it is not clean".into())?;
    seen.must_end_with(0)?;
    seen.must(record.programs == Some(record.listings), || format!("{:?} programs ran", record.programs))?;
    let removed = record.rpcs.get("REMOVE").copied().unwrap_or_default();
    seen.must(removed == record.listings, || format!("{removed} files were removed"))
}

fn leaks() -> Trialled {
    let seen = script(OPENS, SCRIPT, &[]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Leak, || "it is no leak".into())?;
    seen.must_end_with(1)?;
    let finding = record.findings.first();
    let rate = finding.map(|finding| finding.objects_per_listing);
    seen.must(rate.is_some_and(|rate| rate.low <= OPENED && OPENED <= rate.high), || "the rate is another".into())?;
    let site = finding.and_then(|finding| finding.call_sites.first()).map(|site| site.function.as_str());
    seen.must(site == Some("nfs_opendir"), || format!("it is told of {site:?}"))
}

fn fails() -> Trialled {
    let seen = script(KERNEL, "ls \"$1\"; case \"$1\" in /mnt/*) echo it broke; exit 3;; esac\n", &[]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Broken, || "it is not broken".into())?;
    seen.must(record.reason.contains("ended with status 3 and said last: it broke"), || "it is not told".into())?;
    seen.must_end_with(1)
}

fn never_ends() -> Trialled {
    let toml = include_str!("../../scenarios/quick-v4.toml");
    let step = "[unit]\nsteps = [{ run = { command = \"sleep 1000\", timeout_seconds = 2 } }]\n";
    let seen = Program::new(&["run", "--kernel", KERNEL, "./endless.toml"])
        .with_file("endless.toml", &format!("{toml}\n{step}"))
        .run()?;
    seen.must(seen.record()?.reason.contains("`sleep 1000` did not end within 2 s"), || "it is not told".into())
}

fn does_nothing() -> Trialled {
    let seen = Program::new(&["run", "--kernel", KERNEL, "--exec", "true"]).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Undecided, || "it is decided".into())?;
    seen.must(record.reason.contains("did not work on the mount"), || "it is not told".into())?;
    seen.must_end_with(125)
}
