//! Several readers of one directory at once, and one that is killed while it reads.

use super::runner::UnitRunner;
use super::side::{Listed, Side, seeing};
use crate::error::Result;
use crate::os::assets::OURSELVES;
use crate::scenario::step::Pass;
use crate::workload::check::Check;
use crate::workload::listing::entry::{Call, Counts, Dirent};
use crate::workload::listing::processes::Readers;
use crate::workload::listing::threads::{self, OpenFiles};
use nfs_fault_server::dirtree::tree::Dir;
use std::ops::ControlFlow;
use std::path::Path;

impl UnitRunner {
    /// Reads by threads that share one open file: together they see each entry once.
    pub(crate) fn by_threads(&mut self, pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
        let (node, path) = self.directory(pass, place);
        let mut checks = self.checks(node, "thread", pass.threads);
        let results = threads::list(&path, self.way(pass), OpenFiles::One, checks.iter_mut().map(seeing).collect());
        let result = sum(results);
        let first = checks.split_off(1).into_iter().fold(checks.remove(0), |mut all, check| {
            all.join(&check);
            all
        });
        let wrong = self.wrong(pass, &result, &first, true);
        Ok((result, wrong.filter(|_| place == Side::Nfs)))
    }

    /// Reads by processes that each see every entry; or one that is killed after half of them.
    pub(crate) fn by_processes(&mut self, pass: &Pass, place: Side) -> Result<(Listed, Option<String>)> {
        let (node, path) = self.directory(pass, place);
        let mut checks = self.checks(node, "process", pass.processes);
        let half = self.tree_of(place).nodes()[node].entries() / 2;
        let until = if pass.killed { half.max(1) } else { u64::MAX };
        let readers = checks.iter_mut().map(|check| {
            let mut seen = 0;
            move |record: &Dirent| {
                check.see(record);
                seen += 1;
                if seen == until || check.goes_round() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        });
        let results = self.read_by_processes(pass, &path, readers.collect())?;
        let wrong =
            results.iter().zip(&checks).find_map(|(result, check)| self.wrong(pass, result, check, !pass.killed));
        Ok((sum(results), wrong.filter(|_| place == Side::Nfs)))
    }

    /// Starts the processes that the scenario has, so that no round does.
    pub fn start_readers(&mut self) -> Result<()> {
        let passes: Vec<Pass> =
            self.scenario.unit.passes().filter(|pass| pass.processes > 1 && !pass.killed).cloned().collect();
        passes.iter().try_for_each(|pass| match self.buffer_of_processes(pass) {
            Some(buffer_bytes) => self.readers(buffer_bytes).start(pass.processes as usize),
            None => Ok(()),
        })
    }

    fn read_by_processes<F>(&mut self, pass: &Pass, path: &Path, each: Vec<F>) -> Result<Vec<Listed>>
    where
        F: FnMut(&Dirent) -> ControlFlow<()> + Send,
    {
        match self.buffer_of_processes(pass) {
            Some(buffer_bytes) => self.readers(buffer_bytes).list(path, each),
            None => Ok(threads::list(path, self.way(pass), OpenFiles::OneEach, each)),
        }
    }

    /// Returns the getdents buffer of processes that read so. What else a pass can call it calls in this process, by threads
    /// with an open file each.
    fn buffer_of_processes(&self, pass: &Pass) -> Option<usize> {
        match self.way(pass).call {
            Call::Getdents { buffer_bytes } if !pass.stat => Some(buffer_bytes),
            _ => None,
        }
    }

    /// Returns the processes with buffers of this size, made if there are none.
    fn readers(&mut self, buffer_bytes: usize) -> &mut Readers {
        let found = self.readers.iter().position(|(bytes, _)| *bytes == buffer_bytes);
        let place = found.unwrap_or_else(|| {
            self.readers.push((buffer_bytes, Readers::new(Path::new(OURSELVES), buffer_bytes)));
            self.readers.len() - 1
        });
        &mut self.readers[place].1
    }

    fn checks(&mut self, node: usize, who: &str, readers: u32) -> Vec<Check> {
        self.check.begin(Dir::Node(node));
        (1..=readers).map(|number| self.check.for_reader(format!("{who} {number}"))).collect()
    }
}

/// Sums up what all readers took, or gives the first failure.
fn sum(results: Vec<Listed>) -> Listed {
    results.into_iter().try_fold(Counts::default(), |sum, result| {
        let counts = result?;
        Ok(Counts { entries: sum.entries + counts.entries, getdents_calls: sum.getdents_calls + counts.getdents_calls })
    })
}
