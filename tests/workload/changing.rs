//! A directory that changes in the middle of a listing, in ways that the check is told of.

use super::course::{Course, entries};
use dirleak::internals::workload::check::{Check, Other, Presence};
use dirleak::internals::workload::listing::Lister;
use dirleak::internals::workload::listing::entry::Dirent;
use nfs_fault_server::dirtree::tree::{Dir, Kind};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::ops::ControlFlow::Continue;
use std::os::unix::ffi::OsStrExt;

/// What happens to some of the entries of the first directory.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    Remove,
    Rename,
    /// Nothing; another is added.
    Add,
}

/// One entry that changes, and what the other name is that comes by it.
struct Changing {
    change: Change,
    number: u64,
    kind: Kind,
    name: Vec<u8>,
    new_name: String,
}

impl Course<'_> {
    /// Lists the first directory, which changes after a part of it, and once more afterwards.
    pub fn list_while_it_changes(&self, part: f64, changes: &[(u64, Change)]) -> Result<(), String> {
        let changing = self.changing(changes);
        let mut check = self.check.clone();
        changing.iter().for_each(|one| one.tell(&mut check, Presence::AtMostOnce, Presence::AtMostOnce));
        let mut lister = Lister::new(self.case.way);
        let count = lister.list(self.dir.path(), |_| ()).unwrap().entries;
        check.begin(Dir::Node(0));
        let mut reading = lister.open(self.dir.path()).unwrap();
        reading.take(entries(part, count), |record| _ = check.see(record)).unwrap();
        changing.iter().for_each(|one| self.change(one));
        reading.go_on(|record: &Dirent| Continue(_ = check.see(record))).unwrap();
        check.end()?;
        changing.iter().for_each(|one| one.tell(&mut check, Presence::Never, Presence::Always));
        check.begin(Dir::Node(0));
        lister.list(self.dir.path(), |record| _ = check.see(record)).unwrap();
        check.end()
    }

    /// Files of the first directory, each at most once.
    fn changing(&self, changes: &[(u64, Change)]) -> Vec<Changing> {
        let mut all: Vec<Changing> = Vec::new();
        for (which, change) in changes {
            let Some(place) = which.checked_rem(self.tree.nodes()[0].entries()) else { continue };
            let (number, mut name) = (self.tree.number(0, place), Vec::new());
            let kind = self.tree.entry(0, place, &mut name).unwrap();
            if matches!(kind, Kind::File | Kind::Symlink) && all.iter().all(|other| other.number != number) {
                let new_name = format!("new {}", all.len());
                all.push(Changing { change: *change, number, kind, name, new_name });
            }
        }
        all
    }

    fn change(&self, one: &Changing) {
        let path = self.dir.path().join(OsStr::from_bytes(&one.name));
        let new = self.dir.path().join(&one.new_name);
        match one.change {
            Change::Remove => fs::remove_file(path).unwrap(),
            Change::Rename => fs::rename(path, new).unwrap(),
            Change::Add => drop(File::create(new).unwrap()),
        }
    }
}

impl Changing {
    /// Tells how often the old name and the new one may be shown.
    fn tell(&self, check: &mut Check, old: Presence, new: Presence) {
        let kind = if let Change::Add = self.change { Kind::File } else { self.kind };
        if let Change::Remove | Change::Rename = self.change {
            check.changes().entry(self.number, old);
        }
        if let Change::Rename | Change::Add = self.change {
            check.changes().other(0, self.new_name.as_bytes(), Other { presence: new, kind, inode: None });
        }
    }
}
