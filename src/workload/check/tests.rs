//! What a check says of listings that are right and of each way of being wrong.

use super::*;
use crate::workload::listing::entry::Attributes;
use crate::workload::listing::entry::Dirent;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::{Directory, Kinds, Shape};
use nfs_fault_server::dirtree::tree::{Dir, Kind, Tree};
use nix::errno::Errno;
use std::sync::Arc;

fn tree(directory: Directory) -> Arc<Tree> {
    Arc::new(Tree::new(&directory, 3))
}

/// Makes a check of three files, f1 to f3, with inode numbers 101 to 103.
fn check() -> Check {
    let mut check =
        Check::new(tree(Directory::flat(3, Names::pattern("f{n}"))), Arc::new(Inodes::Formula(|number| number + 101)));
    check.begin(Dir::Node(0));
    check
}

/// Returns the right inode number of such a name.
fn inode(name: &str) -> u64 {
    name.strip_prefix('f').and_then(|digit| digit.parse::<u64>().ok()).map_or(1, |number| 100 + number)
}

fn show(check: &mut Check, name: &str, inode: u64, d_type: u8, stat: Option<Result<Attributes, Errno>>) {
    check.see(&Dirent { name: name.as_bytes(), inode, cookie: 0, d_type, stat });
}

fn see(check: &mut Check, names: &[&str]) {
    names.iter().for_each(|name| show(check, name, inode(name), libc::DT_REG, None));
}

fn verdict(names: &[&str]) -> Result<(), String> {
    let mut check = check();
    see(&mut check, names);
    check.end()
}

#[test]
fn listing_in_any_order_with_dots_is_complete() {
    assert_eq!(verdict(&[".", "..", "f3", "f1", "f2"]), Ok(()));
}

#[test]
fn names_that_are_missing_repeated_or_strange_are_told_with_their_place() {
    for (names, sentence) in [
        (&["f1", "f3"][..], "listing 1 ended without \"f2\": it showed 2 entries, the last one \"f3\""),
        (&[], "listing 1 ended without \"f1\" and 2 more: it showed 0 entries"),
        (&["f1", "f2", "f3", "f2"], "listing 1 showed \"f2\" a second time (entry 4, after \"f3\")"),
        (&["f1", "f2", "f3", "f4"], "listing 1 showed \"f4\", which was never made (entry 4, after \"f3\")"),
        (&["x\n\"", "f1"], r#"listing 1 showed "x\n\"", which was never made (entry 1, the first one)"#),
        (&[".", "f1", "."], "listing 1 showed \".\" a second time (entry 3, after \"f1\")"),
        // The first thing that was wrong counts.
        (&["f4", "f1", "f1"], "listing 1 showed \"f4\", which was never made (entry 1, the first one)"),
    ] {
        assert_eq!(verdict(names).unwrap_err(), sentence);
    }
}

#[test]
fn type_and_inode_number_must_be_right() {
    for (inode, d_type, sentence) in [
        (102, libc::DT_REG, Ok(())),
        (102, libc::DT_UNKNOWN, Ok(())),
        (102, libc::DT_DIR, Err("listing 1 showed \"f2\" as a directory instead of a file (entry 1, the first one)")),
        (9, libc::DT_REG, Err("listing 1 showed \"f2\" with inode number 9 instead of 102 (entry 1, the first one)")),
    ] {
        let mut check = check();
        show(&mut check, "f2", inode, d_type, None);
        assert_eq!(check.end_early(), sentence.map_err(str::to_owned));
    }
}

#[test]
fn answer_of_stat_must_be_right_too() {
    for (stat, complaint) in [
        (Ok(Attributes { inode: 102, d_type: libc::DT_REG }), ""),
        (Ok(Attributes { inode: 102, d_type: libc::DT_LNK }), "as a symbolic link instead of a file according to stat"),
        (Ok(Attributes { inode: 7, d_type: libc::DT_REG }), "with inode number 7 instead of 102 according to stat"),
        (Err(Errno::ENOENT), "but stat of it failed with ENOENT"),
    ] {
        let mut check = check();
        show(&mut check, "f2", 102, libc::DT_REG, Some(stat));
        match check.end_early() {
            Ok(()) => assert_eq!(complaint, ""),
            Err(sentence) => assert!(!complaint.is_empty() && sentence.contains(complaint), "{sentence}"),
        }
    }
}

#[test]
fn listing_in_two_parts_shows_each_name_once() {
    let in_two = |first: &[&str], second: &[&str]| {
        let mut check = check();
        see(&mut check, first);
        let half = check.mark();
        // What the first pass went on to see does not count.
        see(&mut check, &["f3"]);
        assert_eq!(check.end_early(), Ok(()));
        check.begin(Dir::Node(0));
        check.resume(&half);
        see(&mut check, second);
        check.end()
    };
    assert_eq!(in_two(&["f1", "f2"], &["f3"]), Ok(()));
    assert!(in_two(&["f1", "f2"], &["f2", "f3"]).unwrap_err().contains("listing 2 showed \"f2\" a second time"));
    assert!(in_two(&["f1"], &["f3"]).unwrap_err().contains("without \"f2\""));
}

#[test]
fn reader_that_goes_back_sees_everything_again() {
    let mut check = check();
    see(&mut check, &["f1", "f2"]);
    check.rewind();
    see(&mut check, &["f1", "f2"]);
    assert!(check.end().unwrap_err().contains("without \"f3\""));
    see(&mut check, &["f3"]);
    assert_eq!(check.end(), Ok(()));
}

#[test]
fn readers_of_one_open_file_see_each_name_once_together() {
    let together = |one: &[&str], two: &[&str]| {
        let [mut first, mut second] = ["thread 1", "thread 2"].map(|reader| check().for_reader(reader));
        see(&mut first, one);
        see(&mut second, two);
        first.join(&second);
        first.end()
    };
    assert_eq!(together(&[".", "f1", "f3"], &["..", "f2"]), Ok(()));
    assert_eq!(
        together(&["f1", "f3"], &["f2", "f3"]).unwrap_err(),
        "listing 1 by thread 1 showed \"f3\", and so did listing 1 by thread 2"
    );
    assert_eq!(
        together(&["f1"], &["f2"]).unwrap_err(),
        "listing 1 by thread 1 and thread 2 ended without \"f3\": it showed 2 entries, the last one \"f1\""
    );
    assert!(together(&[".", "f1"], &[".", "f2", "f3"]).unwrap_err().contains("showed \".\", and so did"));
    assert!(together(&["f1"], &["f2", "x"]).unwrap_err().contains("by thread 2 showed \"x\""));
}

#[test]
fn entry_that_comes_and_goes_may_be_shown_or_not() {
    let changed = |names: &[&str]| {
        let mut check = check();
        // f1 is renamed to g while the listing runs, f2 was removed before and f3 is made again and again.
        let g = Other { presence: Presence::AtMostOnce, kind: Kind::File, inode: Some(101) };
        check.changes().other(0, b"g", g);
        check.changes().entry(0, Presence::AtMostOnce);
        check.changes().entry(1, Presence::Never);
        check.changes().entry(2, Presence::AnyTimes);
        names.iter().for_each(|name| show(&mut check, name, inode(&name.replace('g', "f1")), libc::DT_REG, None));
        check.end().map_err(|sentence| sentence.split(" (").next().unwrap().to_owned())
    };
    for right in [&[][..], &["f1"], &["g"], &["f1", "g"], &["f3", "g", "f3"]] {
        assert_eq!(changed(right), Ok(()), "{right:?}");
    }
    for (wrong, complaint) in [
        (&["f1", "f1"], "\"f1\" a second time"),
        (&["g", "g"], "\"g\" a second time"),
        (&["g", "f2"], "\"f2\", which was removed before"),
        (&["g", "h"], "\"h\", which was never made"),
    ] {
        assert_eq!(changed(wrong), Err(format!("listing 1 showed {complaint}")));
    }
}

#[test]
fn entry_that_was_added_before_must_be_shown() {
    let mut check = check();
    check.changes().other(0, b"g", Other { presence: Presence::Always, kind: Kind::Symlink, inode: None });
    see(&mut check, &["f1", "f2", "f3"]);
    assert!(check.end().unwrap_err().contains("without \"g\""));
    show(&mut check, "g", 5, libc::DT_LNK, None);
    assert_eq!(check.end(), Ok(()));
    check.begin(Dir::Node(0));
    see(&mut check, &["g"]);
    assert!(check.end_early().unwrap_err().contains("\"g\" as a file instead of a symbolic link"));
}

#[test]
fn each_directory_has_its_own_names() {
    let kinds = Kinds { files: 0, directories: 1, ..Kinds::default() };
    let shape = Shape::Many { directories: 2 };
    let directory = Directory { shape, kinds, ..Directory::flat(2, Names::pattern("d{n}")) };
    let mut check = Check::new(tree(directory), Arc::new(Inodes::Unknown));
    let show_dir = |check: &mut Check, name: &str| {
        check.see(&Dirent { name: name.as_bytes(), inode: 1, cookie: 0, d_type: libc::DT_DIR, stat: None })
    };
    check.begin(Dir::Node(0));
    assert_eq!(["d3", "d4"].map(|name| show_dir(&mut check, name)), [1, 2].map(|node| Some(Dir::Node(node))));
    assert_eq!(check.end(), Ok(()));
    check.enter(Dir::Node(2));
    let empty = show_dir(&mut check, "d2").unwrap();
    assert_eq!((empty, check.end()), (Dir::Empty { node: 2, place: 0 }, Ok(())));
    check.enter(empty);
    assert_eq!(show_dir(&mut check, "d1"), None);
    assert!(check.end().unwrap_err().starts_with("listing 1 of \"d4/d2\" showed \"d1\", which was never made"));
}

#[test]
fn next_listing_starts_anew() {
    let mut check = check();
    for _ in 0..2 {
        check.begin(Dir::Node(0));
        see(&mut check, &["f1", "f2", "f3"]);
        assert_eq!(check.end(), Ok(()));
    }
    check.begin(Dir::Node(0));
    assert!(check.end().unwrap_err().starts_with("listing 4 ended without"));
}

#[test]
fn listing_that_shows_everything_again_and_again_has_no_end() {
    let mut check = check();
    let mut rounds = 0;
    while !check.goes_round() {
        see(&mut check, &[".", "..", "f1", "f2", "f3"]);
        rounds += 1;
    }
    // Three times five entries, a thousand more, and what the last round had beyond.
    assert_eq!(rounds, 204);
    let first =
        "listing 1 showed \".\" a second time (entry 6, after \"f3\"); it goes round and has no end: it had shown 1020";
    assert!(check.end().unwrap_err().starts_with(first), "{:?}", check.end());
    check.begin(Dir::Node(0));
    assert!(!check.goes_round());
    // A reader that goes back may see as much, and nothing is wrong.
    for _ in 0..1000 {
        see(&mut check, &["f1", "f2", "f3"]);
        check.rewind();
    }
    assert!(!check.goes_round());
}
