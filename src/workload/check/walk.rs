//! Whether a walk of a tree was complete: every directory of it.

use super::checker::Check;
use crate::workload::listing::Lister;
use crate::workload::listing::entry::{Counts, Dirent, ListError};
use crate::workload::listing::walk::{Visitor, walk};
use nfs_fault_server::dirtree::tree::Dir;
use std::path::Path;

/// Walks a tree from `root` and checks each directory. How the walk went comes first, then what was wrong with the first
/// directory that was wrong; a walk does not go into an entry that is not as expected.
pub fn walk_and_check(
    lister: &mut Lister,
    root: &Path,
    check: &mut Check,
) -> (Result<Counts, ListError>, Result<(), String>) {
    check.begin(Dir::Node(0));
    let mut checked = Checked { check, wrong: None };
    let walked = walk(lister, root, Dir::Node(0), &mut checked);
    let Checked { check, wrong } = checked;
    let right = wrong.map_or_else(|| check.end_early(), Err);
    (walked, right)
}

struct Checked<'a> {
    check: &'a mut Check,
    wrong: Option<String>,
}

impl Visitor for Checked<'_> {
    type Dir = Dir;

    fn enter(&mut self, dir: &Dir) {
        self.check.enter(*dir);
    }

    fn entry(&mut self, record: &Dirent) -> Option<Dir> {
        self.check.see(record)
    }

    fn goes_on(&self) -> bool {
        !self.check.goes_round()
    }

    fn leave(&mut self, _: &Dir) {
        let wrong = self.check.end().err();
        self.wrong = self.wrong.take().or(wrong);
    }
}
