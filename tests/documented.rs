//! What the documents have people type and needs neither a guest nor a kernel is typed here: it ends as it should, and the files that it is to
//! write are there.

#[path = "support/command_lines.rs"]
mod command_lines;

use command_lines::{Typed, commands, documents, root};
use std::fs;
use std::process::{Command, Stdio};

/// Commands that measure nothing.
const WITHOUT_A_GUEST: [&str; 5] = ["report", "forecast", "kernel list", "doctor", "ci init"];
/// Options whose argument is a file to be written.
const WRITTEN: [&str; 6] = ["--html", "--junit", "--ktap", "--markdown", "--csv", "--json"];
/// The results that the documents name, and those that are shown under these names.
const RESULTS: [(&str, &str); 4] =
    [("verify.json", "verify.json"), ("small.json", "run.json"), ("large.json", "verify.json"), ("1.json", "run.json")];
const SITES: &str = "site,entries,listings_per_day\nlarge,100000,96\nsmall,20,96\n";

/// Makes a directory with what the commands read.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, shipped) in RESULTS {
        fs::copy(root().join("tests/data/report").join(shipped), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("sites.csv"), SITES).unwrap();
    dir
}

/// Returns the words of a command line as a shell gives them: of all results that are there where it says so.
fn words(line: &str) -> Vec<String> {
    let all = || RESULTS.map(|(name, _)| name.to_owned()).to_vec();
    let expanded = |word: &str| if word.ends_with("*.json") { all() } else { vec![word.to_owned()] };
    // Where they are typed is no repository of dirleak's.
    let from = ["--from", "ssh://git@example.org/dirleak"].map(str::to_owned);
    let more = from.into_iter().filter(|_| line.starts_with("ci init"));
    line.split_whitespace().flat_map(expanded).chain(more).collect()
}

#[test]
fn documented_commands_that_need_no_guest_end_well_and_write_their_files() {
    let typed = documents().into_iter().flat_map(|file| commands(&file, ""));
    let lines: Vec<Typed> =
        typed.filter(|typed| WITHOUT_A_GUEST.iter().any(|begin| typed.line.starts_with(begin))).collect();
    assert!(lines.len() >= 12, "{} are found", lines.len());
    for Typed { at, line } in lines {
        let (dir, words) = (desk(), words(&line));
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        command.args(&words).current_dir(dir.path()).env("XDG_CACHE_HOME", dir.path().join("cache"));
        let ended = command.stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        // By its status doctor tells whether this machine lacks something.
        let fine = if line.starts_with("doctor") { &[0, 128][..] } else { &[0] };
        let is_fine = ended.status.code().is_some_and(|status| fine.contains(&status)) && !stderr.contains("panicked");
        assert!(is_fine, "{at}: dirleak {line}: {:?} {stderr}", ended.status);
        for pair in words.windows(2).filter(|pair| WRITTEN.contains(&pair[0].as_str())) {
            let written = fs::read(dir.path().join(&pair[1])).unwrap_or_default();
            assert!(!written.is_empty(), "{at}: dirleak {line} writes no {}", pair[1]);
        }
    }
}
