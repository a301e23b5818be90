//! One random case: the tree is made, perhaps changed, and listed.

use super::case::{Case, INTRUDER, Manner, Mutation};
use dirleak::internals::workload::check::{Check, Inodes, walk_and_check};
use dirleak::internals::workload::listing::entry::{Call, Counts, Dirent, ListError, ReadMethod};
use dirleak::internals::workload::listing::threads::{self, OpenFiles};
use dirleak::internals::workload::listing::{Lister, processes};
use dirleak::internals::workload::populate;
use nfs_fault_server::dirtree::tree::{Dir, Kind, Tree};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::ControlFlow::{self, Continue};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// What processes that read are started from.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_dirleak");

/// What one of several readers does with each record.
type Each<'a> = Box<dyn FnMut(&Dirent) -> ControlFlow<()> + Send + 'a>;

/// A tree that was made, and what is known of it.
pub struct Course<'a> {
    pub case: &'a Case,
    pub dir: TempDir,
    pub tree: Arc<Tree>,
    pub check: Check,
}

impl<'a> Course<'a> {
    pub fn set_up(case: &'a Case) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = Arc::new(Tree::new(&case.directory, case.seed));
        populate::tree(dir.path(), &tree).unwrap();
        let inodes = Inodes::listed(&mut Lister::new(ReadMethod::getdents(4096)), dir.path(), &tree).unwrap();
        let check = Check::new(tree.clone(), Arc::new(inodes));
        Self { case, dir, tree, check }
    }

    /// Lists everything as the case says; the first thing that was wrong.
    pub fn list(&self) -> Result<(), String> {
        if let Manner::Walk = self.case.manner {
            let (walked, right) =
                walk_and_check(&mut Lister::new(self.case.way), self.dir.path(), &mut self.check.clone());
            right?;
            assert!(walked.unwrap().entries >= self.tree.all_entries());
            return Ok(());
        }
        (0..self.tree.nodes().len()).try_for_each(|node| {
            let mut check = self.check.clone();
            check.begin(Dir::Node(node));
            self.list_one(&self.path(node), Dir::Node(node), check)
        })
    }

    fn list_one(&self, dir: &Path, node: Dir, mut check: Check) -> Result<(), String> {
        let mut lister = Lister::new(self.case.way);
        match &self.case.manner {
            Manner::TwoParts(part) => two_parts(&mut lister, dir, node, &mut check, *part),
            Manner::Rewound(part) => rewound(&mut lister, dir, &mut check, *part),
            Manner::Sought(places) => sought(&mut lister, dir, &mut check, places),
            Manner::Threads(files, number) => {
                return together(&check, *number, *files, |each| threads::list(dir, self.case.way, *files, each));
            }
            // One directory is enough: each process is a whole program.
            Manner::Processes(number) if dir == self.dir.path() => {
                let Call::Getdents { buffer_bytes } = self.case.way.call else { return whole(&mut lister, dir, check) };
                return together(&check, *number, OpenFiles::OneEach, |each| {
                    {
                        let mut readers = processes::Readers::new(Path::new(PROGRAM), buffer_bytes);
                        // Who has read once reads again; who is stopped is replaced.
                        let stopped: Vec<_> = (0..2).map(|_| |_: &Dirent| ControlFlow::Break(())).collect();
                        readers.list(dir, stopped).unwrap();
                        readers.list(dir, each).unwrap()
                    }
                });
            }
            Manner::Whole | Manner::Processes(_) | Manner::Walk => return whole(&mut lister, dir, check),
        }
        check.end()
    }

    /// Changes one entry; what the complaint must name, or nothing if there is no such entry.
    pub fn mutate(&self, mutation: Mutation) -> Option<String> {
        let (Mutation::Remove(which)
        | Mutation::Add(which)
        | Mutation::Rename(which)
        | Mutation::ReplaceType(which)
        | Mutation::ReplaceFile(which)) = mutation;
        let (node, kind, name) = self.entry(which)?;
        let path = self.path(node).join(OsStr::from_bytes(&name));
        let intruder = path.with_file_name(INTRUDER);
        match mutation {
            Mutation::Remove(_) => remove(&path, kind),
            Mutation::Add(_) => {
                File::create(&intruder).unwrap();
                return Some(INTRUDER.into());
            }
            Mutation::Rename(_) => {
                fs::rename(&path, &intruder).unwrap();
                return Some(INTRUDER.into());
            }
            Mutation::ReplaceType(_) => {
                remove(&path, kind);
                if is_directory(kind) {
                    File::create(&path).unwrap();
                } else {
                    fs::create_dir(&path).unwrap();
                }
            }
            // The old one is there until the new one has an inode, so that this is not the same one.
            Mutation::ReplaceFile(_) if kind == Kind::File => {
                File::create(&intruder).unwrap();
                fs::rename(&intruder, &path).unwrap();
            }
            Mutation::ReplaceFile(_) => return None,
        }
        Some(name.escape_ascii().to_string())
    }

    /// One of all entries: its directory, what it is, and its name.
    fn entry(&self, which: u64) -> Option<(usize, Kind, Vec<u8>)> {
        let mut place = which.checked_rem(self.tree.all_entries())?;
        for (node, of) in self.tree.nodes().iter().enumerate() {
            if place < of.entries() {
                let mut name = Vec::new();
                let kind = self.tree.entry(node, place, &mut name)?;
                return Some((node, kind, name));
            }
            place -= of.entries();
        }
        None
    }

    fn path(&self, node: usize) -> PathBuf {
        self.dir.path().join(OsStr::from_bytes(&self.tree.path_of(Dir::Node(node))))
    }
}

fn is_directory(kind: Kind) -> bool {
    matches!(kind, Kind::Directory(_) | Kind::EmptyDirectory)
}

fn remove(path: &Path, kind: Kind) {
    if is_directory(kind) { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
}

/// How many entries a part of a listing is.
pub fn entries(part: f64, of: u64) -> u64 {
    (part * of as f64) as u64
}

fn whole(lister: &mut Lister, dir: &Path, mut check: Check) -> Result<(), String> {
    lister.list(dir, |record| _ = check.see(record)).unwrap();
    check.end()
}

fn two_parts(lister: &mut Lister, dir: &Path, node: Dir, check: &mut Check, part: f64) {
    let count = lister.list(dir, |_| ()).unwrap().entries;
    let mut cookie = None;
    let see = |record: &Dirent| {
        check.see(record);
        cookie = Some(record.cookie);
    };
    lister.open(dir).unwrap().take(entries(part, count), see).unwrap();
    let seen = check.mark();
    if check.end_early().is_err() {
        return;
    }
    check.begin(node);
    let mut reading = lister.open(dir).unwrap();
    if let Some(cookie) = cookie {
        reading.seek(cookie).unwrap();
        check.resume(&seen);
    }
    reading.go_on(|record| Continue(_ = check.see(record))).unwrap();
}

fn rewound(lister: &mut Lister, dir: &Path, check: &mut Check, part: f64) {
    let count = lister.list(dir, |_| ()).unwrap().entries;
    let mut reading = lister.open(dir).unwrap();
    reading.take(entries(part, count), |record| _ = check.see(record)).unwrap();
    reading.rewind().unwrap();
    check.rewind();
    reading.go_on(|record| Continue(_ = check.see(record))).unwrap();
}

fn sought(lister: &mut Lister, dir: &Path, check: &mut Check, places: &[f64]) {
    let mut reading = lister.open(dir).unwrap();
    let mut marks = Vec::new();
    let see = |record: &Dirent| {
        check.see(record);
        marks.push((record.cookie, check.mark()));
        Continue(())
    };
    reading.go_on(see).unwrap();
    for place in places {
        let number = entries(*place, marks.len() as u64) as usize;
        // What is wrong without seeking is wrong.
        let (Some((cookie, seen)), Ok(())) = (marks.get(number), check.end()) else { continue };
        reading.seek(*cookie).unwrap();
        check.resume(seen);
        reading.go_on(|record| Continue(_ = check.see(record))).unwrap();
    }
}

fn see(check: &mut Check) -> Each<'_> {
    Box::new(move |record| Continue(_ = check.see(record)))
}

/// Several readers at once: of one open file they see everything together, otherwise each does.
fn together(
    check: &Check,
    readers: usize,
    files: OpenFiles,
    list: impl FnOnce(Vec<Each>) -> Vec<Result<Counts, ListError>>,
) -> Result<(), String> {
    let mut checks: Vec<_> = (1..=readers).map(|number| check.for_reader(format!("reader {number}"))).collect();
    list(checks.iter_mut().map(see).collect()).into_iter().for_each(|listed| _ = listed.unwrap());
    if files == OpenFiles::OneEach {
        return checks.iter().try_for_each(Check::end);
    }
    let mut first = checks.remove(0);
    checks.iter().for_each(|other| first.join(other));
    first.end()
}
