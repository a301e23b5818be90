//! Random directories, made on a local file system and listed in random ways: each listing is complete, and one that is not as
//! it should be is found out, with the name that was changed behind the check's back.

#[path = "workload/case.rs"]
mod case;
#[path = "workload/changing.rs"]
mod changing;
#[path = "workload/course.rs"]
mod course;

use case::{Case, case, mutation};
use changing::Change;
use course::{Course, PROGRAM};
use dirleak::internals::workload::listing::entry::{Dirent, ListError};
use dirleak::internals::workload::listing::processes;
use nfs_fault_server::dirtree::tree::Tree;
use nix::errno::Errno;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use std::ops::ControlFlow::Continue;
use std::path::Path;

/// Of each test.
const CASES: u32 = 256;

fn runner() -> TestRunner {
    let failure_persistence = None;
    TestRunner::new(ProptestConfig { cases: CASES, failure_persistence, ..ProptestConfig::default() })
}

#[test]
fn every_listing_of_a_directory_at_rest_is_complete() {
    let right = runner().run(&case(), |case| {
        let course = Course::set_up(&case);
        prop_assert_eq!(course.list(), Ok(()));
        Ok(())
    });
    right.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn change_that_the_check_was_not_told_of_is_found_out_by_name() {
    let found = runner().run(&(case(), mutation()), |(case, mutation)| {
        let course = Course::set_up(&case);
        let Some(name) = course.mutate(mutation) else { return Err(TestCaseError::reject("nothing to change")) };
        let sentence = course.list().expect_err("the change was not seen");
        prop_assert!(sentence.contains(&format!("\"{name}\"")), "{name}: {sentence}");
        Ok(())
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn directory_that_changes_shows_once_what_was_there_throughout() {
    let change = select(&[Change::Remove, Change::Rename, Change::Add][..]);
    let changes = prop::collection::vec((any::<u64>(), change), 0..8);
    let right = runner().run(&(case(), 0.0..=1.0, changes), |(case, part, changes)| {
        prop_assert_eq!(Course::set_up(&case).list_while_it_changes(part, &changes), Ok(()));
        Ok(())
    });
    right.unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn process_that_cannot_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let each = || vec![|_: &Dirent| Continue(()); 2];
    for (path, bytes, call, errno) in [
        (Path::new("/dirleak-no-such-dir"), 1024, "open", Errno::ENOENT),
        (dir.path(), 16, "getdents64", Errno::EINVAL),
    ] {
        let listed = processes::Readers::new(Path::new(PROGRAM), bytes).list(path, each()).unwrap();
        assert_eq!(listed, vec![Err(ListError { call, errno, entries: 0 }); 2]);
    }
    let missing =
        processes::Readers::new(Path::new("/dirleak-no-such-program"), 1024).list(dir.path(), each()).unwrap_err();
    assert!(
        missing.to_string().starts_with("cannot start /dirleak-no-such-program as a reader of directories"),
        "{missing}"
    );
}

#[test]
fn seed_gives_the_same_tree_again_and_another_one_other_names() {
    let same = runner().run(&(case(), any::<u64>()), |(Case { directory, seed, .. }, other)| {
        let all = |seed| {
            let tree = Tree::new(&directory, seed);
            let entries_of = |node: usize| (0..tree.nodes()[node].entries()).map(move |place| (node, place));
            let entry = |(node, place)| {
                let mut name = Vec::new();
                (tree.entry(node, place, &mut name), name)
            };
            (0..tree.nodes().len()).flat_map(entries_of).map(entry).collect::<Vec<_>>()
        };
        prop_assert_eq!(all(seed), all(seed));
        // Short names may be nothing but their numbers, and few long ones may be alike by chance.
        if case::random_bytes(&directory) > 100 && other != seed {
            prop_assert_ne!(all(seed), all(other));
        }
        Ok(())
    });
    same.unwrap_or_else(|e| panic!("{e}"));
}
