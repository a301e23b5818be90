//! Several readers of one directory at once, and one that is killed while it reads.

use super::{Listed, Player, Where};
use crate::error::Result;
use crate::scenario::{By, Pass};
use crate::workload::check::Check;
use crate::workload::listing::threads::OpenFiles;
use crate::workload::listing::{Call, Counts, Record, processes, threads};
use crate::workload::tree::Dir;
use std::ops::ControlFlow;
use std::path::Path;

impl Player {
    /// Threads that share one open file: together they see each entry once.
    pub(super) fn by_threads(&mut self, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let (node, path) = self.directory(pass, place);
        let mut checks = self.checks(node, "thread", pass.threads);
        let results = threads::list(&path, self.way(pass), OpenFiles::One, checks.iter_mut().map(seeing).collect());
        let result = sum(results);
        let first = checks.split_off(1).into_iter().fold(checks.remove(0), |mut all, check| {
            all.join(&check);
            all
        });
        let wrong = Self::wrong(pass, &result, &first, true);
        Ok((result, wrong.filter(|_| place == Where::Nfs)))
    }

    /// Processes that each see every entry; or one that is killed after half of them.
    pub(super) fn by_processes(&mut self, pass: &Pass, place: Where) -> Result<(Listed, Option<String>)> {
        let (node, path) = self.directory(pass, place);
        let mut checks = self.checks(node, "process", pass.processes);
        let half = self.tree_of(place).nodes()[node].entries() / 2;
        let until = if pass.killed { half.max(1) } else { u64::MAX };
        let readers = checks.iter_mut().map(|check| {
            let mut seen = 0;
            move |record: &Record| {
                check.see(record);
                seen += 1;
                if seen == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
        });
        let results = self.read_by_processes(pass, &path, readers.collect())?;
        let wrong =
            results.iter().zip(&checks).find_map(|(result, check)| Self::wrong(pass, result, check, !pass.killed));
        Ok((sum(results), wrong.filter(|_| place == Where::Nfs)))
    }

    fn read_by_processes<F>(&mut self, pass: &Pass, path: &Path, each: Vec<F>) -> Result<Vec<Listed>>
    where
        F: FnMut(&Record) -> ControlFlow<()> + Send,
    {
        let way = self.way(pass);
        match (way.call, pass.by) {
            (Call::Getdents { buffer_bytes }, By::Getdents) if !pass.stat => {
                processes::list(Path::new(processes::ITSELF), path, buffer_bytes, each)
            }
            // Whatever else they call they do in this process, each with an open file of its own.
            _ => Ok(threads::list(path, way, OpenFiles::OneEach, each)),
        }
    }

    fn checks(&mut self, node: usize, who: &str, readers: u32) -> Vec<Check> {
        self.check.begin(Dir::Node(node));
        (1..=readers).map(|number| self.check.for_reader(format!("{who} {number}"))).collect()
    }
}

fn seeing(check: &mut Check) -> impl FnMut(&Record) -> ControlFlow<()> + Send {
    |record| {
        check.see(record);
        ControlFlow::Continue(())
    }
}

/// What all readers took together, or the first failure.
fn sum(results: Vec<Listed>) -> Listed {
    results.into_iter().try_fold(Counts::default(), |sum, result| {
        let counts = result?;
        Ok(Counts { entries: sum.entries + counts.entries, getdents_calls: sum.getdents_calls + counts.getdents_calls })
    })
}
