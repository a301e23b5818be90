//! Each way of listing, on a local directory.

use super::reading::Stands;
use super::threads::OpenFiles;
use super::*;
use crate::workload::check::{Check, Inodes};
use crate::workload::listing::entry::Stat;
use crate::workload::populate;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::{Dir, Tree};
use nix::errno::Errno;
use std::collections::HashMap;
use std::ops::ControlFlow::Continue;
use std::sync::Arc;
use tempfile::TempDir;

const READDIR: ReadMethod = ReadMethod { call: Call::Readdir, stat: Stat::Nothing };

/// Makes a flat directory of so many files, and a check that knows their inode numbers.
fn made(entries: u64, names: Names) -> (TempDir, Check) {
    let dir = tempfile::tempdir().unwrap();
    let tree = Arc::new(Tree::new(&Directory::flat(entries, names), 3));
    populate::tree(dir.path(), &tree).unwrap();
    let inodes = Inodes::listed(&mut Lister::new(READDIR), dir.path(), &tree).unwrap();
    let mut check = Check::new(tree, Arc::new(inodes));
    check.begin(Dir::Node(0));
    (dir, check)
}

#[test]
fn every_file_made_is_listed_in_every_way() {
    let (dir, mut check) = made(500, Names::random(2, 255));
    let getdents = [280, 1024, 32768, 1 << 20].map(|buffer_bytes| Call::Getdents { buffer_bytes });
    for call in getdents.into_iter().chain([Call::Readdir]) {
        for stat in [Stat::Nothing, Stat::Fstatat, Stat::StatxDontSync] {
            check.begin(Dir::Node(0));
            let mut lister = Lister::new(ReadMethod { call, stat });
            let counts = lister.list(dir.path(), |record| {
                assert_eq!(record.stat.is_some(), stat != Stat::Nothing);
                check.see(record);
            });
            assert_eq!(check.end(), Ok(()));
            let counts = counts.unwrap();
            assert_eq!(counts.entries, 502);
            assert_eq!(counts.getdents_calls >= 2, call != Call::Readdir);
        }
    }
}

#[test]
fn smallest_buffer_holds_a_name_of_four_bytes() {
    let (dir, mut check) = made(50, Names::random(4, 4));
    Lister::new(ReadMethod::getdents(24)).list(dir.path(), |record| _ = check.see(record)).unwrap();
    assert_eq!(check.end(), Ok(()));
    let (dir, _) = made(50, Names::random(5, 5));
    let failed = Lister::new(ReadMethod::getdents(24)).list(dir.path(), |_| ()).unwrap_err();
    assert_eq!((failed.call, failed.errno), ("getdents64", Errno::EINVAL));
}

#[test]
fn reading_goes_on_at_any_cookie() {
    let (dir, mut check) = made(300, Names::pattern("{n}"));
    for way in [ReadMethod::getdents(512), READDIR] {
        let mut lister = Lister::new(way);
        let mut reading = lister.open(dir.path()).unwrap();
        let mut marks = Vec::new();
        check.begin(Dir::Node(0));
        let see = |record: &Dirent| {
            check.see(record);
            marks.push((record.cookie, check.mark()));
            Continue(())
        };
        assert_eq!(reading.go_on(see), Ok(Stands::AtEnd));
        assert_eq!((check.end(), marks.len()), (Ok(()), 302));
        for (cookie, seen) in marks.iter().rev().step_by(29) {
            reading.seek(*cookie).unwrap();
            check.resume(seen);
            reading.go_on(|record| Continue(_ = check.see(record))).unwrap();
            assert_eq!(check.end(), Ok(()));
        }
    }
}

#[test]
fn reading_stops_after_some_entries_and_begins_anew() {
    let (dir, mut check) = made(300, Names::pattern("{n}"));
    for way in [ReadMethod::getdents(512), READDIR] {
        let mut lister = Lister::new(way);
        let mut reading = lister.open(dir.path()).unwrap();
        check.begin(Dir::Node(0));
        assert_eq!(reading.take(100, |record| _ = check.see(record)), Ok(Stands::Stopped));
        assert_eq!(reading.counts().entries, 100);
        // What the last call brought is not lost.
        assert_eq!(reading.take(50, |record| _ = check.see(record)), Ok(Stands::Stopped));
        assert_eq!(reading.go_on(|record| Continue(_ = check.see(record))), Ok(Stands::AtEnd));
        assert_eq!((check.end(), reading.counts().entries), (Ok(()), 302));
        reading.rewind().unwrap();
        check.rewind();
        assert_eq!(reading.take(1000, |record| _ = check.see(record)), Ok(Stands::AtEnd));
        assert_eq!(check.end(), Ok(()));
        assert_eq!(reading.counts().entries, 604);
    }
}

#[test]
fn threads_with_one_open_file_share_the_entries_and_with_their_own_see_all() {
    let (dir, check) = made(2000, Names::random(8, 40));
    for way in [ReadMethod::getdents(512), READDIR] {
        for files in [OpenFiles::One, OpenFiles::OneEach] {
            let mut checks = [1, 2, 3].map(|number| check.for_reader(format!("thread {number}")));
            let each = checks.iter_mut().map(|check| |record: &Dirent| Continue(_ = check.see(record))).collect();
            let listed = threads::list(dir.path(), way, files, each);
            let entries: u64 = listed.into_iter().map(|counts| counts.unwrap().entries).sum();
            let [mut first, second, third] = checks;
            if files == OpenFiles::One {
                assert_eq!(entries, 2002);
                first.join(&second);
                first.join(&third);
                assert_eq!(first.end(), Ok(()));
            } else {
                assert_eq!(entries, 3 * 2002);
                assert!([first, second, third].iter().all(|check| check.end() == Ok(())));
            }
        }
    }
}

#[test]
fn walk_reads_every_directory_depth_first_however_long_its_path_is() {
    let dir = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    // Paths of up to 6000 bytes, which no single call takes.
    let mut fd = open(dir.path(), DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..30 {
        nix::sys::stat::mkdirat(&fd, &*name, Mode::S_IRWXU).unwrap();
        fd = nix::fcntl::openat(&fd, &*name, DIRECTORY, Mode::empty()).unwrap();
    }
    #[derive(Default)]
    struct Depths(Vec<u32>, HashMap<u32, u32>);
    impl walk::Visitor for Depths {
        type Dir = u32;
        fn enter(&mut self, depth: &u32) {
            self.0.push(*depth);
        }
        fn entry(&mut self, record: &Dirent) -> Option<u32> {
            record.name.starts_with(b"d").then(|| self.0[self.0.len() - 1] + 1)
        }
        fn leave(&mut self, depth: &u32) {
            *self.1.entry(*depth).or_default() += 1;
        }
    }
    let mut depths = Depths::default();
    let counts = walk::walk(&mut Lister::new(READDIR), dir.path(), 0, &mut depths).unwrap();
    assert_eq!(depths.0, (0..=30).collect::<Vec<_>>());
    assert!(depths.1.values().all(|left| *left == 1) && depths.1.len() == 31);
    assert_eq!(counts.entries, 31 * 2 + 30);
    // tempfile removes by path.
    remove_long(&dir, &name, 30);
}

/// Brings each directory up before it is removed: their paths are too long.
fn remove_long(dir: &TempDir, name: &str, depth: u32) {
    for _ in 0..depth {
        let (top, up) = (dir.path().join(name), dir.path().join("up"));
        if top.join(name).exists() {
            std::fs::rename(top.join(name), &up).unwrap();
        }
        std::fs::remove_dir(&top).unwrap();
        if up.exists() {
            std::fs::rename(&up, &top).unwrap();
        }
    }
}

#[test]
fn errors_of_the_kernel_are_told() {
    let missing = Path::new("/dirleak-no-such-dir");
    let no_dir = ListError { call: "open", errno: Errno::ENOENT, entries: 0 };
    assert_eq!(Lister::new(READDIR).list(missing, |_| ()), Err(no_dir.clone()));
    assert_eq!(no_dir.to_string(), "open failed with ENOENT: No such file or directory after 0 entries");
    let each = vec![|_: &Dirent| Continue(()); 2];
    assert_eq!(threads::list(missing, READDIR, OpenFiles::One, each), vec![Err(no_dir); 2]);
    let dir = tempfile::tempdir().unwrap();
    for bytes in [0, 16, 23] {
        let failed = Lister::new(ReadMethod::getdents(bytes)).list(dir.path(), |_| ()).unwrap_err();
        assert_eq!((failed.call, failed.errno), ("getdents64", Errno::EINVAL));
    }
}
