//! Trials of what goes through the history of a git tree: a made-up one on the sources of 6.1, with a leak, its fix, a merge and a
//! commit that does not compile.

use crate::case::Case;
use crate::git_history::{Deed, GitHistory, base};
use crate::program::{Program, Trialled};
use dirleak::internals::os::cache::Cache;
use dirleak::result::branch::Applies;
use dirleak::result::proof::Outcome;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const SERIES: &str = "6.1";
const LEAK: usize = 4;
const FIX: usize = 6;

pub fn cases() -> Vec<Case> {
    // One after the other, as they share the kernels.
    let name = "bisect finds the commit that leaks and the one that fixes it, and verify proves the fix on branches";
    vec![Case::new(name, &[SERIES], |_| through_history())]
}

fn through_history() -> Trialled {
    let (tree, made) = history();
    let tree = tree.to_str().expect("the cache has a name in UTF-8");
    // What was found out under one seed is known from then on, but the guests are to run each time.
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970").as_secs();
    let (seed, leak, fix) = (seconds.to_string(), &made.ids[LEAK], &made.ids[FIX]);
    let bisect = |ends: &[&str], found: &str| {
        let seen = Program::new(&[&["bisect", "--seed", &seed, "--tree", tree], ends, &["quick"]].concat()).run()?;
        seen.must_end_with(0)?;
        let record = seen.result.as_ref().and_then(|file| file.bisection.as_ref()).ok_or("there is no bisection")?;
        let id = record.commit.as_ref().map(|commit| commit.id.as_str());
        seen.must(id == Some(found), || format!("it names {id:?} instead of {found}"))?;
        seen.must(record.confirmed && record.guests_of_confirmation >= 2, || record.confirmation.clone())
    };
    bisect(&["--good", "made-0", "--bad", "made-5"], leak)?;
    bisect(&["--find-fix", "--bad", "made-5", "--good", "made"], fix)?;
    branches(tree, fix)
}

/// The fix applies where the leak is, and is there already at the end; a branch that does not build is open.
fn branches(tree: &str, fix: &str) -> Trialled {
    let seen = Program::new(&[
        "verify", "--tree", tree, "--fix", fix, "--branch", "made-5", "--branch", "made", "--branch", "made-2", "quick",
    ])
    .run()?;
    let rows = seen.result.as_ref().map(|file| file.branches.as_slice()).unwrap_or_default();
    let rows: Vec<_> = rows.iter().map(|row| (row.branch.as_str(), row.applies, row.proof.outcome)).collect();
    let expected = [
        ("made-5", Applies::Yes, Outcome::Proven),
        ("made", Applies::Already, Outcome::Proven),
        // There is nothing to fix, and what there is does not compile.
        ("made-2", Applies::Already, Outcome::Undecided),
    ];
    seen.must(rows == expected, || format!("the rows are {rows:?}"))?;
    seen.must_end_with(125)
}

/// The tree, in the cache as it takes a while to make, and its commits.
fn history() -> (PathBuf, GitHistory) {
    let cache = Cache::open().expect("a cache");
    let dir = cache.root().join("build").join(format!("made-{SERIES}"));
    base(&dir, SERIES);
    let nothing = Deed::Nothing;
    let (leak, fix) = (Deed::Leak("spare-pages"), Deed::Fix("spare-pages"));
    let deeds = [nothing, nothing, Deed::DoesNotCompile, Deed::Mend, leak, nothing, fix, nothing];
    let patches = Path::new(env!("CARGO_MANIFEST_DIR")).join("vm/patches").join(SERIES);
    let made = GitHistory::new(&dir, "made", &deeds, 1, 4, &patches);
    (dir, made)
}
