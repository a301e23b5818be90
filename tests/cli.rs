//! The command line: what cannot be is answered with one sentence and the documented exit status, before anything is
//! fetched, built or booted.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const USAGE: i32 = 129;
const MACHINE: i32 = 128;

/// A directory to work in, with a cache of its own and a search path on which there is no program: whatever would
/// start one fails at once instead of fetching a kernel.
struct Desk {
    dir: TempDir,
}

struct Answer {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("no-programs")).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file here.
    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", self.path("no-programs"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null());
        command
    }

    fn dirleak(&self, args: &[&str]) -> Answer {
        let output = self.command(args).output().unwrap();
        Answer {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The command fails with `status` and one sentence on standard error that contains `expected`.
    #[track_caller]
    fn refuses(&self, args: &[&str], status: i32, expected: &str) {
        let answer = self.dirleak(args);
        let stderr = &answer.stderr;
        assert_eq!(answer.status, Some(status), "{args:?}: {stderr}");
        assert!(stderr.contains(expected), "{args:?}: {stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{args:?} is answered with more than a sentence: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        assert_eq!(answer.stdout, "", "{args:?}");
        assert!(!self.path("cache/dirleak/kernels").exists(), "{args:?} built a kernel first");
    }
}

/// A valid scenario.
const SCENARIO: &str = r#"summary = "mine"
server = "synthetic"
[directory]
entries = 150
names = { min_bytes = 200, max_bytes = 200 }
[mount]
version = "3"
rsize_bytes = 1048576
[listing]
getdents_buffer_bytes = 32768
[guest]
memory_mib = 256
cpus = 2
[rounds]
doses = [4, 16]
"#;

#[test]
fn unknown_words_are_usage_errors() {
    let desk = Desk::new();
    for args in [
        &["frobnicate"][..],
        &["--frobnicate"],
        &["run", "--kernel", "6.1", "--frobnicate"],
        &["run", "--kernel", "6.1", "--seed", "many"],
        &["run", "--kernel", "6.1", "-n", "-3"],
        &["run", "quick"],
        &["report"],
        &[],
    ] {
        desk.refuses(args, USAGE, "--help");
    }
    let near = "a similar argument exists: '--seed'; see dirleak run";
    desk.refuses(&["run", "--kernel", "6.1", "--sed", "1"], USAGE, near);
    desk.refuses(&["-q", "-v", "kernel", "list"], USAGE, "'--quiet' cannot be used with '--verbose'");
}

#[test]
fn min_rate_that_no_run_could_call_clean_is_refused() {
    let desk = Desk::new();
    let too_small =
        "--min-rate 0.1 is too small for quick: its rounds of 4 and 12 listings exclude no rate below 0.17 per listing";
    desk.refuses(&["run", "--kernel", "6.1", "--min-rate", "0.1", "quick"], USAGE, too_small);
    desk.refuses(&["verify", "--min-rate", "0.1", "quick"], USAGE, too_small);
}

#[test]
fn host_without_a_directory_is_told_what_to_name() {
    let told =
        "name a directory of an NFS mount of this machine (`findmnt -t nfs,nfs4` shows them), or say --synthetic";
    Desk::new().refuses(&["host"], USAGE, told);
}

#[test]
fn nothing_is_planned_for_a_kernel_that_is_misspelt() {
    let desk = Desk::new();
    for spec in ["6.1+spare-pagse", "6.1:cloud+spare-pagse"] {
        let Answer { status, stderr, .. } = desk.dirleak(&["run", "--kernel", spec, "quick"]);
        assert_eq!(status, Some(USAGE), "{stderr}");
        assert!(stderr.starts_with("dirleak: no patch 'spare-pagse' for 6.1; known: "), "{stderr}");
    }
    let Answer { stderr, .. } = desk.dirleak(&["run", "--kernel", "6.1", "quick"]);
    assert!(stderr.contains("fetches 150 MB, builds a kernel in about "), "{stderr}");
    assert!(stderr.contains("then judges a scenario on a kernel in about "), "{stderr}");
}

#[test]
fn doctor_names_what_is_missing_and_what_mends_it() {
    let desk = Desk::new();
    let Answer { status, stdout, stderr } = desk.dirleak(&["doctor", "--json", "doctor.json"]);
    assert_eq!(status, Some(MACHINE), "{stderr}");
    assert!(stderr.starts_with("dirleak: verify cannot run here for want of qemu-system-x86_64, "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stdout.contains("  missing   patch, make, gcc, ld\n"), "{stdout}");
    assert!(stdout.contains("  optional  flex, bison, bc, awk, gelf.h, stdio.h\n"), "{stdout}");
    let kernels = "  kernel      6.1:cloud+spare-pages: is fetched, its patched modules are built\n  kernel      6.1:cloud: ready\n";
    assert!(stdout.contains(kernels), "{stdout}");
    fits(&stdout, 80);
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(desk.path("doctor.json")).unwrap()).unwrap();
    let flex = file["checks"].as_array().unwrap().iter().find(|check| check["name"] == "flex").unwrap();
    assert_eq!((flex["state"].as_str(), flex["package"].as_str()), (Some("optional"), Some("flex")));
    assert!(file["verify"]["download_bytes"].as_u64().unwrap() > 100_000_000, "{file}");
    assert!(!desk.path("cache/dirleak/kernels").exists(), "looking builds nothing");
}

/// No line is longer, and none has anything but text in it.
#[track_caller]
fn fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(line.chars().count() <= columns, "{} columns: {line}", line.chars().count());
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

#[test]
fn text_fits_the_columns_that_are_asked_for() {
    let desk = Desk::new();
    desk.file("out.json", RESULT);
    for args in [&["report", "--timings", "out.json"][..], &["kernel", "list"], &["doctor"]] {
        let output = desk.command(args).env("COLUMNS", "80").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 5, "{args:?}: {text}");
        fits(&text, 80);
    }
    // A pipe gets each sentence on one line.
    let whole = desk.dirleak(&["report", "out.json"]).stdout;
    assert!(whole.lines().any(|line| line.chars().count() > 80), "{whole}");
}

#[test]
fn help_and_version_are_no_errors() {
    let desk = Desk::new();
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["verify", "--help"], &["report", "--help"]] {
        let answer = desk.dirleak(args);
        assert_eq!(answer.status, Some(0), "{args:?}: {}", answer.stderr);
        assert!(answer.stdout.contains("dirleak"), "{args:?}");
        assert_eq!(answer.stderr, "", "{args:?}");
    }
}

#[test]
fn unknown_scenarios_and_sets_are_told_with_the_near_one() {
    let desk = Desk::new();
    desk.refuses(&["run", "--kernel", "6.1", "quik"], USAGE, "unknown scenario `quik`; did you mean `quick`?");
    desk.refuses(&["run", "--kernel", "6.1", "--set", "smok"], USAGE, "did you mean `smoke`?");
    desk.refuses(&["verify", "hugeflat"], USAGE, "did you mean `huge-flat`?");
    desk.refuses(&["run", "--kernel", "6.1", "./quick"], USAGE, "./quick: there is no such file");
    desk.refuses(&["run", "--kernel", "6.1", "mine.toml"], USAGE, "mine.toml: there is no such file");
}

#[test]
fn mistakes_in_a_scenario_are_told_with_line_and_column() {
    let desk = Desk::new();
    let table = [
        ("entries = 150", "entires = 150", "./mine.toml:4:1: unknown key `entires`, expected one of `entries`"),
        (
            "entries = 150",
            "entries = 200000000",
            "./mine.toml:4:11: `directory.entries` is 200000000; it must be between",
        ),
        ("entries = 150", "entries = \"many\"", "./mine.toml:4:11: invalid type"),
        ("entries = 150", "entries = ", "./mine.toml:4:"),
        ("entries = 150\n", "", "missing key `entries`"),
        ("version = \"3\"", "version = \"4.2\"", "the synthetic server speaks version 3 only"),
        ("[directory]", "[directory", "./mine.toml:3:"),
        ("\"synthetic\"", "\"samba\"", "unknown value `samba`, expected `knfsd` or `synthetic`"),
    ];
    for (old, new, expected) in table {
        assert!(SCENARIO.contains(old), "the scenario has no {old}");
        desk.file("mine.toml", &SCENARIO.replacen(old, new, 1));
        desk.refuses(&["run", "--kernel", "6.1", "./mine.toml"], USAGE, expected);
    }
    std::fs::write(desk.path("mine.toml"), [0xff, 0xfe, 0x00]).unwrap();
    desk.refuses(&["run", "--kernel", "6.1", "./mine.toml"], USAGE, "it is no text");
    desk.refuses(&["run", "--kernel", "6.1", "./no-programs"], USAGE, "cannot read the scenario file ./no-programs");
}

#[test]
fn override_that_cannot_be_names_its_option() {
    let desk = Desk::new();
    let run = |more: &[&str], expected: &str| {
        let args: Vec<&str> = ["run", "--kernel", "6.1", "quick"].iter().chain(more).copied().collect();
        desk.refuses(&args, USAGE, expected);
    };
    run(&["-n", "200000000"], "quick with -n: `directory.entries` is 200000000");
    run(&["-o", "vers=4.2"], "quick with -o: `mount.version` is \"4.2\", but the synthetic server");
    run(&["-o", "rsize=lots"], "-o rsize=lots: \"lots\" is no number of bytes");
    run(&["-o", "addr=10.0.0.1"], "which is set by the guest");
}

#[test]
fn result_file_that_cannot_be_written_is_told_before_anything_is_measured() {
    let desk = Desk::new();
    let run = |json: &str, expected: &str| {
        desk.refuses(&["run", "--kernel", "6.1", "--json", json, "quick"], MACHINE, expected);
    };
    run("missing/out.json", "cannot write the result file missing/out.json: there is no directory");
    run("no-programs", "cannot write the result file no-programs: it is a directory");
    run("/proc/out.json", "cannot write the result file /proc/out.json");
    desk.refuses(&["verify", "--json", "missing/out.json"], MACHINE, "cannot write the result file missing/out.json");
}

#[test]
fn command_that_fails_leaves_the_old_result_file() {
    let desk = Desk::new();
    desk.file("out.json", "old");
    assert_ne!(desk.dirleak(&["run", "--kernel", "6.1", "--json", "out.json", "quick"]).status, Some(0));
    assert_eq!(std::fs::read_to_string(desk.path("out.json")).unwrap(), "old");
    let names: Vec<_> = std::fs::read_dir(desk.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().starts_with(".dirleak")), "{names:?}");
}

#[test]
fn result_that_cannot_be_written_whole_leaves_the_old_file() {
    let desk = Desk::new();
    desk.file("out.json", "old");
    // No file may get any bytes; the signal for that is ignored, so that writing fails instead.
    let program = env!("CARGO_BIN_EXE_dirleak");
    let script = format!("trap '' XFSZ; ulimit -f 0; exec {program} doctor --json out.json");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &script]).current_dir(desk.dir.path()).env("XDG_CACHE_HOME", desk.path("cache"));
    let output = shell.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(MACHINE), "{stderr}");
    assert!(stderr.contains("out.json") && stderr.contains("File too large"), "{stderr}");
    assert_eq!(std::fs::read_to_string(desk.path("out.json")).unwrap(), "old");
    let names: Vec<_> = std::fs::read_dir(desk.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().starts_with(".dirleak")), "{names:?}");
}

#[test]
fn pages_and_completions_come_from_the_arguments() {
    let desk = Desk::new();
    let answer = desk.dirleak(&["man", "pages"]);
    assert_eq!(answer.status, Some(0), "{}", answer.stderr);
    assert!(desk.path("pages/dirleak-kernel-build.1").is_file());
    let script = desk.dirleak(&["completions", "bash"]);
    assert!(script.stdout.contains("--min-rate") && script.stdout.contains("complete -F"), "{}", script.stderr);
    desk.file("file", "");
    desk.refuses(&["man", "file"], MACHINE, "cannot make file");
}

#[test]
fn workflow_is_written_once_and_replaced_only_by_force() {
    let desk = Desk::new();
    let from = ["--from", "ssh://git@example.org/dirleak"];
    let init = |more: &[&'static str]| [&["ci", "init", "github"], &from[..], more].concat();
    desk.refuses(&["ci", "init", "github"], USAGE, "say with --from which git repository");
    desk.refuses(&init(&["--set", "smok"]), USAGE, "did you mean `smoke`?");
    desk.refuses(&init(&["--kernel", "6.99"]), USAGE, "6.99");
    desk.refuses(&init(&["--set", "smoke", "--shards", "99"]), USAGE, "--shards 99: the set smoke has only");
    assert!(!desk.path(".github").exists(), "a refusal writes nothing");
    let answer = desk.dirleak(&init(&[]));
    assert_eq!(answer.status, Some(0), "{}", answer.stderr);
    let path = desk.path(".github/workflows/dirleak.yml");
    let first = std::fs::read_to_string(&path).unwrap();
    desk.refuses(&init(&["--shards", "3"]), USAGE, "is there already; replace it with --force");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first);
    assert_eq!(desk.dirleak(&init(&["--shards", "3", "--force"])).status, Some(0));
    assert!(std::fs::read_to_string(&path).unwrap().contains("\"3/3\""));
    let args = ["ci", "init", "gitlab", "--kernel", "6.1", from[0], from[1], "--file", "mine.yml"];
    assert_eq!(desk.dirleak(&args).status, Some(0));
    assert!(desk.path("mine.yml").is_file());
}

#[test]
fn shards_and_kernels_that_cannot_be_are_told_before_anything_is_built() {
    let desk = Desk::new();
    let run = |more: &[&str], expected: &str| {
        desk.refuses(&[&["run", "--kernel", "6.1"], more].concat(), USAGE, expected);
    };
    run(&["--shard", "3/2"], "'3/2' for '--shard <K/N>': not like 2/5");
    run(&["--shard", "0/2"], "shards are counted from 1");
    run(&["--shard", "2/2", "quick"], "--shard 2/2: all runs are 1, and no shard may be empty");
    desk.refuses(&["verify", "--shard", "2/3"], USAGE, "--shard 2/3: all runs are 2, and no shard may be empty");
    run(&["--kernel", "6.1", "quick"], "--kernel 6.1 is named twice");
    run(&["--kernel", "5.10", "--modules", "no-programs", "quick"], "--modules belongs to one kernel");
}

/// One record, as the documentation of schema 1 has it.
const RESULT: &str = r#"{ "schema": 1, "dirleak": "0.1.0", "command_line": ["dirleak", "run"], "results": [ {
    "scenario": "quick", "kernel": { "spec": "6.1+spare-pages", "release": "6.1.192", "image_sha256": "00ff",
    "patches": ["spare-pages"] }, "verdict": "leak", "reason": "made up", "seed": 42, "accelerator": "tcg",
    "seconds": 4.2, "settled_seconds": 0.9, "unit": "listing", "listings": 63, "cold_listings": 63,
    "entries": 150, "rpcs": { "READDIR": 0, "READDIRPLUS": 126 }, "controls": { "held": 512, "seen": 512 },
    "not_looked_for": ["pages"], "findings": [ { "source": "slab", "name": "kmalloc-256",
        "objects_per_listing": { "estimate": 24.0, "low": 23.8, "high": 24.2 },
        "bytes_per_listing": 6144.0, "survives_unmount": true,
        "call_sites": [ { "function": "some_function", "share": 1.0, "stack": ["kmalloc", "some_function"] } ] } ],
    "rounds": [ { "dose": 4, "samples": { "kmalloc-256": 355 } } ] } ] }"#;

#[test]
fn results_are_shown_again() {
    let desk = Desk::new();
    desk.file("out.json", RESULT);
    let answer = desk.dirleak(&["report", "out.json"]);
    // A leak that is shown is no leak that was measured.
    assert_eq!(answer.status, Some(0), "{}", answer.stderr);
    assert!(answer.stdout.contains("24.0 (23.8 to 24.2)"), "{}", answer.stdout);
    assert!(answer.stdout.contains("some_function"), "{}", answer.stdout);
    let timed = desk.dirleak(&["report", "--timings", "out.json"]);
    assert!(timed.stdout.contains("start to verdict"), "{}", timed.stdout);
}

#[test]
fn bench_is_shown_again_alone_and_beside_verdicts() {
    let desk = Desk::new();
    desk.file("out.json", RESULT);
    desk.file("bench.json", include_str!("data/report/bench-compared.json"));
    let reports = ["--html", "p.html", "--junit", "j.xml", "--ktap", "k.tap", "--markdown", "m.md", "--csv", "t.csv"];
    let text = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
    for (results, said) in [(&["bench.json"][..], "slower"), (&["bench.json", "out.json", "bench.json"], "2 results")] {
        let answer = desk.dirleak(&[&["report"][..], results, &reports].concat());
        assert_eq!(answer.status, Some(0), "{}", answer.stderr);
        let told = if results.len() > 1 { "bench.json is named twice and counts once\n" } else { "" };
        assert_eq!(answer.stderr, told);
        assert!(answer.stdout.contains("names/s"), "{}", answer.stdout);
        assert_eq!(answer.stdout.contains("some_function"), results.len() > 1, "{}", answer.stdout);
        assert!(text("p.html").contains("divided by") && text("p.html").contains("<svg"));
        assert!(text("j.xml").contains("huge-flat, cold: not slower by more than 5 %"), "{}", text("j.xml"));
        assert!(text("k.tap").contains("not ok 1 huge-flat, cold"), "{}", text("k.tap"));
        assert!(text("m.md").lines().next().unwrap().contains(said), "{}", text("m.md"));
    }
    desk.file("bench.json", "{\"bench\": 1}");
    let refused = ["report", "out.json", "bench.json", "--html", "new.html"];
    desk.refuses(&refused, USAGE, "bench.json is no result of dirleak bench: missing field");
    assert!(!desk.path("new.html").exists());
}

#[test]
fn forecast_is_the_same_each_time_and_says_what_it_cannot_use() {
    let desk = Desk::new();
    desk.file("out.json", RESULT);
    desk.file("sites.csv", "site,entries,listings_per_day\nhuge,1000000,96\nsmall,10,96\n");
    let args = ["forecast", "out.json", "--servers", "4", "--sites", "sites.csv", "--json", "forecast.json"];
    let answer = desk.dirleak(&args);
    assert_eq!((answer.status, answer.stderr.as_str()), (Some(0), ""));
    assert!(answer.stdout.contains("dies first, after") && answer.stdout.contains("huge"), "{}", answer.stdout);
    let made = std::fs::read_to_string(desk.path("forecast.json")).unwrap();
    assert_eq!(desk.dirleak(&args).stdout, answer.stdout);
    assert_eq!(std::fs::read_to_string(desk.path("forecast.json")).unwrap(), made);

    desk.file("clean.json", &RESULT.replace("\"verdict\": \"leak\"", "\"verdict\": \"clean\""));
    desk.file("bad.csv", "site,entries,listings_per_day\nhuge,many,96\n");
    let refuses = |args: &[&str], expected: &str| desk.refuses(&[&["forecast"][..], args].concat(), USAGE, expected);
    refuses(
        &["clean.json", "--servers", "4", "--zipf", "1.2"],
        "cannot forecast from clean.json: there is no leak in it",
    );
    refuses(&["out.json", "--servers", "4", "--sites", "bad.csv"], "bad.csv, line 2: field 1: invalid digit");
    refuses(&["out.json", "--servers", "4", "--sites", "missing.csv"], "cannot read missing.csv");
    refuses(&["forecast.json", "--servers", "4", "--zipf", "1"], "a result file of another kind (of \"forecast\")");
    desk.refuses(&["report", "forecast.json"], USAGE, "a result file of another kind (of \"forecast\")");
    for args in [&["--servers", "4"][..], &["--servers", "0", "--zipf", "1"], &["--servers", "4", "--zipf", "-1"]] {
        let args = [&["forecast", "out.json"][..], args].concat();
        assert_eq!(desk.dirleak(&args).status, Some(USAGE), "{args:?}");
    }
}

#[test]
fn reader_that_stops_early_is_no_error() {
    let desk = Desk::new();
    // Far more text than a pipe takes.
    let names: Vec<String> = (0..500).map(|i| format!("{i}.json")).collect();
    for (i, name) in names.iter().enumerate() {
        desk.file(name, &RESULT.replace("\"seed\": 42", &format!("\"seed\": {i}")));
    }
    let args: Vec<&str> = std::iter::once("report").chain(names.iter().map(String::as_str)).collect();
    let mut child = desk.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn file_that_is_no_result_is_told_in_a_sentence() {
    let desk = Desk::new();
    desk.file("good.json", RESULT);
    let table = [
        ("{", "in.json is no result file of dirleak"),
        ("{}", "in.json is no result file of dirleak: it has no field \"schema\""),
        ("{\"schema\": 7}", "in.json has schema 7, and this dirleak reads up to 1"),
        ("{\"schema\": 1}", "in.json is a result file without results, not what run, verify or bisect found"),
        ("{\"schema\": 1, \"results\": []}", "in.json is no result file of dirleak: missing field"),
    ];
    for (text, expected) in table {
        desk.file("in.json", text);
        desk.refuses(&["report", "good.json", "in.json"], USAGE, expected);
    }
    desk.refuses(&["report", "missing.json"], USAGE, "cannot read missing.json: there is no such file");
    desk.refuses(&["report", "no-programs"], USAGE, "no-programs");
}

#[test]
fn reports_are_written_whole_and_over_no_result() {
    let desk = Desk::new();
    desk.file("out.json", RESULT);
    desk.file("other.json", &RESULT.replace("quick", "huge-flat"));
    let args = [
        "report",
        "out.json",
        "other.json",
        "--html",
        "p.html",
        "--junit",
        "j.xml",
        "--ktap",
        "k.tap",
        "--markdown",
        "m.md",
        "--csv",
        "t.csv",
    ];
    let answer = desk.dirleak(&args);
    assert_eq!((answer.status, answer.stderr.as_str()), (Some(0), ""));
    let text = |name: &str| std::fs::read_to_string(desk.path(name)).unwrap();
    assert!(
        text("j.xml").contains("<testsuites name=\"dirleak\" tests=\"2\" skipped=\"0\" failures=\"2\""),
        "{}",
        text("j.xml")
    );
    assert!(text("k.tap").contains("not ok 2 huge-flat"), "{}", text("k.tap"));
    assert!(text("m.md").starts_with("# dirleak: Of 2 runs 2 leak"), "{}", text("m.md"));
    assert!(
        text("t.csv").contains(
            "\nfinding,huge-flat,6.1+spare-pages,6.1.192,,leak,slab,kmalloc-256,listing,24.0,23.8,24.2,6144.0,"
        ),
        "{}",
        text("t.csv")
    );
    for (args, status, expected) in [
        (["--junit", "out.json", "--ktap", "k.tap"], USAGE, "--junit out.json would replace a result file"),
        (["--html", "new", "--junit", "missing/j.xml"], MACHINE, "cannot write the result file missing/j.xml"),
        (["--junit", "new", "--markdown", "new"], USAGE, "--junit and --markdown both name new"),
        (["--junit", "new", "--markdown", "missing/m.md"], MACHINE, "cannot write the result file missing/m.md"),
    ] {
        desk.refuses(&[&["report", "out.json"][..], &args].concat(), status, expected);
        assert!(!desk.path("new").exists(), "{args:?}");
    }
    assert_eq!(text("out.json"), RESULT);
}
