//! Trials of what goes wrong in a guest or around it: one sentence, the documented status, nothing left running.

use crate::case::Case;
use crate::program::{Program, Seen, Slots, Trialled};
use dirleak::internals::boot::job::{BootOptions, Job};
use dirleak::internals::kernel;
use dirleak::internals::os::cache::Cache;
use dirleak::internals::os::progress::Ui;
use dirleak::internals::run::options::Options;
use dirleak::internals::scenario::load;
use dirleak::internals::vm::accelerator;
use dirleak::internals::vm::machine::Limits;
use dirleak::result::record::{RunRecord, Verdict};
use std::path::Path;

const FIXED: &str = "6.1";
/// A kernel that goes wrong at certain names; the patch says at which.
const MISBEHAVING: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/misbehave.patch");
const WITHOUT_NFS: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/no-nfs.patch");
const WITHOUT_SLAB: &str = concat!("6.1+", env!("CARGO_MANIFEST_DIR"), "/tests/data/no-slab.patch");
const ENTRIES: u64 = 150;

pub fn cases() -> Vec<Case> {
    let mut cases = misbehaving();
    cases.extend([
        Case::new("a kernel without NFS is unsupported", &[WITHOUT_NFS], |_| {
            unsupported(WITHOUT_NFS, &[], "this kernel has no nfs file system: it lacks CONFIG_NFS_FS")
        }),
        Case::new("a kernel without /sys/kernel/slab is unsupported", &[WITHOUT_SLAB], |_| {
            unsupported(WITHOUT_SLAB, &[], "this kernel shows no /sys/kernel/slab: it lacks CONFIG_SLUB_DEBUG")
        }),
        Case::new("a directory too large for the guest is unsupported", &[FIXED], |_| {
            unsupported(FIXED, &["-n", "10000000"], "the guest of quick has 256 MiB; raise guest.memory_mib")
        }),
        Case::new("without QEMU the sentence says how to get it", &[FIXED], |kernels| {
            // An image, as making one ready takes other programs.
            no_qemu(kernels.image(FIXED)?)
        }),
        Case::new("a file that is no kernel is a usage error", &[], |_| no_kernel()),
        Case::new("a guest that prints more than it may is ended", &[FIXED], |_| flood()),
        Case::new("a kernel in the cache needs no network", &[FIXED], |_| offline()),
    ]);
    cases
}

/// What becomes of a guest whose kernel goes wrong as the name of an entry asks for, and what is said of it.
fn misbehaving() -> Vec<Case> {
    use Verdict::{Broken, Crash};
    let table: [(&str, &str, Verdict, &[&str]); 9] = [
        ("panics", "panic", Crash, &["is lost (panic)", "panic-100 was listed"]),
        ("follows a NULL pointer", "oops", Crash, &["is lost (oops)", "NULL pointer"]),
        ("runs into BUG()", "bug", Crash, &["is lost (BUG)", "BUG at nfs_do_filldir"]),
        ("hangs in the listing task", "hang", Crash, &["is lost (hung task)", "blocked for more than"]),
        ("falls silent", "silent", Crash, &["the guest has been silent for 10 s"]),
        ("runs out of memory", "memory", Crash, &["is lost (out of memory)"]),
        ("drops every seventh name", "drop", Broken, &["listing 1 ended without \"drop-", "and 20 more: it showed "]),
        ("shows a name twice", "twice", Broken, &["listing 1 showed \"twice-100\" a second time (entry "]),
        ("fails with EIO", "error", Broken, &["getdents64 failed with EIO", "entries"]),
    ];
    let case = |(what, how, verdict, parts): (&'static str, &'static str, Verdict, &'static [&'static str])| {
        let name = format!("a kernel that {what} is called {}", verdict.as_str());
        Case::new(name, &[MISBEHAVING], move |_| goes_wrong(how, verdict, parts))
    };
    table.map(case).into()
}

/// A guest that prints all there is to be said of a boot prints more than this.
fn flood() -> Trialled {
    const MOST_BYTES: u64 = 4096;
    let _slot = Slots::take(1);
    let (cache, ui) = (Cache::open()?, Ui::silent());
    let kernel = kernel::resolve(FIXED, &kernel::build::ingredients::Options::default(), &cache, &ui)?;
    let accelerator = accelerator::choose(&kernel.image, &cache, &ui)?;
    let limits = Limits { log_bytes: MOST_BYTES, ..Limits::default() };
    let boot = BootOptions { limits, program: env!("CARGO_BIN_EXE_dirleak").into(), ..BootOptions::default() };
    let options = Options { boot, ..Options::default() };
    let mut scenario = load("quick")?;
    scenario.guest.kernel_arguments = "ignore_loglevel".into();
    let job = Job { scenario: &scenario, kernel: &kernel, accelerator, options: &options.boot, cache: &cache, ui: &ui };
    let record = dirleak::internals::run::run(&job, &options)?;
    let log = record.console_log.clone().unwrap_or_default();
    let bytes = std::fs::metadata(&log)?.len();
    let said = record.reason.contains("the guest printed more than 4 KiB on its console and was ended")
        && record.reason.contains(&log);
    if record.verdict != Verdict::Undecided || !said || bytes < MOST_BYTES {
        return Err(format!("{:?} with {bytes} bytes in its log: {}", record.verdict, record.reason).into());
    }
    Ok(())
}

fn goes_wrong(how: &str, verdict: Verdict, parts: &[&str]) -> Trialled {
    let mut arguments = vec!["run", "--kernel", MISBEHAVING, "./bad.toml"];
    if how == "silent" {
        arguments.extend(["--silence", "10"]);
    }
    // The directory takes more than one reply, so that EIO comes when names were listed already.
    let seen = Program::new(&arguments).with_file("bad.toml", &scenario(how, 4096, [4, 16])).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == verdict, || format!("the verdict is not {}", verdict.as_str()))?;
    seen.must_end_with(if verdict == Verdict::Broken { 1 } else { 125 })?;
    for part in parts {
        seen.must(record.reason.contains(part), || format!("the reason does not contain {part:?}"))?;
    }
    one_sentence(&seen, record)?;
    let log = record.console_log.as_deref().unwrap_or_default();
    seen.must(Path::new(log).is_file(), || format!("there is no console log {log:?}"))?;
    match verdict {
        Verdict::Crash => {
            seen.must(record.reason.contains(log), || "the sentence does not name the console log".into())?;
            seen.must(!record.console_lines.is_empty(), || "no line of the console shows the crash".into())
        }
        _ => some_names_came(&seen, record),
    }
}

/// A scenario with entries called `how`-1, `how`-2 and so on.
pub fn scenario(how: &str, rsize_bytes: u32, [small, large]: [u64; 2]) -> String {
    format!(
        "summary = \"goes wrong\"\nserver = \"synthetic\"\n\
         [directory]\nentries = {ENTRIES}\nnames = {{ pattern = \"{how}-{{n}}\" }}\n\
         [mount]\nversion = \"3\"\nrsize_bytes = {rsize_bytes}\noptions = \"actimeo=0\"\n\
         [listing]\ngetdents_buffer_bytes = 32768\n\
         [guest]\nmemory_mib = 256\ncpus = 2\n\
         [rounds]\ndoses = [{small}, {large}]\n"
    )
}

fn one_sentence(seen: &Seen, record: &RunRecord) -> Trialled {
    let reason = &record.reason;
    seen.must(!reason.is_empty() && reason.lines().count() == 1, || "the reason is no one line".into())?;
    seen.must(seen.stdout.contains(reason.as_str()), || "the reason is not shown".into())?;
    let ours = seen.stderr.contains("panicked") || seen.stderr.contains("RUST_BACKTRACE");
    seen.must(!ours, || "it panicked itself".into())
}

fn some_names_came(seen: &Seen, record: &RunRecord) -> Trialled {
    seen.must(record.complete_listings < record.listings, || "every listing is called complete".into())?;
    seen.must(!record.reason.contains("after 0 entries"), || "no name was listed before the error".into())
}

pub fn unsupported(kernel: &str, more: &[&str], sentence: &str) -> Trialled {
    let arguments = [&["run", "--kernel", kernel], more, &["quick"]].concat();
    let seen = Program::new(&arguments).run()?;
    let record = seen.record()?;
    seen.must(record.verdict == Verdict::Unsupported, || "it is not called unsupported".into())?;
    seen.must_end_with(125)?;
    seen.must(record.reason.contains(sentence), || format!("the reason does not contain {sentence:?}"))?;
    one_sentence(&seen, record)
}

fn no_qemu(image: &str) -> Trialled {
    let program = Program::new(&["run", "--kernel", image, "quick"]);
    let empty = program.dir.path().join("empty");
    std::fs::create_dir(&empty)?;
    let seen = program.with_env("PATH", &empty.to_string_lossy()).run()?;
    seen.must_end_with(128)?;
    seen.must_say("qemu-system-x86_64 is not installed; run vm/setup to install what is missing")?;
    seen.must(seen.result.is_none(), || "there is a result of nothing".into())
}

fn no_kernel() -> Trialled {
    let seen =
        Program::new(&["run", "--kernel", "./notes.txt", "quick"]).with_file("notes.txt", "no kernel\n").run()?;
    seen.must_end_with(129)?;
    seen.must_say("./notes.txt is no kernel: neither an uncompressed vmlinux nor a bzImage")
}

/// Whatever would fetch something leaves a mark instead.
fn offline() -> Trialled {
    let program = Program::new(&["run", "--kernel", FIXED, "quick"]);
    let (bin, mark) = (program.dir.path().join("bin"), program.dir.path().join("mark"));
    std::fs::create_dir(&bin)?;
    for name in ["apt-get", "apt-cache", "apt-config", "curl", "wget"] {
        stub(&bin.join(name), &format!("#!/bin/sh\necho $0 >>{}\nexit 100\n", mark.display()))?;
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    // The mark goes with the directory, which goes with this.
    let mut running = program.with_env("PATH", &path).start();
    let seen = running.wait()?;
    let asked = std::fs::read_to_string(&mark).unwrap_or_default();
    seen.must(asked.is_empty(), || format!("the network was asked by {asked}"))?;
    seen.must_end_with(0)
}

/// Puts a program at `path`.
pub fn stub(path: &Path, script: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, script)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}
