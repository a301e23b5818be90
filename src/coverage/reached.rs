//! What was reached: sets of arcs, which can be joined and compared.

use super::counters::FileCounters;
use super::flow;
use super::gcno::{FunctionNotes, ObjectNotes};
use crate::error::{Context, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The compiler's notes on all files of a kernel that count, by file.
#[derive(Clone, Debug, Default)]
pub struct KernelNotes {
    files: BTreeMap<String, ObjectNotes>,
}

/// Arcs of the code that were taken at least once, each by its file and its number there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    arcs: BTreeMap<String, BTreeSet<u32>>,
}

/// Lines and functions that were executed at least once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecutedSource {
    /// By file.
    pub lines: BTreeMap<String, BTreeSet<u32>>,
    /// Each by its file, the line in which it begins, and its name.
    pub functions: BTreeSet<(String, u32, String)>,
}

impl KernelNotes {
    /// Reads all notes below a directory, that of a kernel ([`crate::kernel::bootable::Kernel::coverage_notes`]).
    pub fn open(directory: &Path) -> Result<Self> {
        let mut notes = Self::default();
        notes.open_below(directory, "")?;
        if notes.files.is_empty() {
            return Err(Error::machine(format!("there are no notes of the compiler in {}", directory.display())));
        }
        Ok(notes)
    }

    fn open_below(&mut self, directory: &Path, prefix: &str) -> Result<()> {
        let failed = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).machine(failed)? {
            let path = entry.machine(failed)?.path();
            let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
            if path.is_dir() {
                self.open_below(&path, &format!("{name}/"))?;
            } else if let Some(file) = name.strip_suffix(".gcno") {
                let bytes = fs::read(&path).machine(|| format!("cannot read {}", path.display()))?;
                let unknown = || {
                    Error::kernel(format!(
                        "{} is not as GCC 12 and newer ones write notes; build with one of them",
                        path.display()
                    ))
                };
                self.files.insert(file.to_owned(), ObjectNotes::read(&bytes).ok_or_else(unknown)?);
            }
        }
        Ok(())
    }

    /// Returns the notes on each file, by its name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &ObjectNotes)> {
        self.files.iter().map(|(file, notes)| (file.as_str(), notes))
    }

    /// Returns the notes on a file that was compiled with this stamp.
    pub fn file(&self, counters: &FileCounters) -> Result<&ObjectNotes> {
        let notes = self.files.get(&counters.file).filter(|notes| notes.header.stamp == counters.stamp);
        notes.ok_or_else(|| {
            Error::kernel(format!(
                "the notes of the compiler are not those of this kernel: {} was compiled another time",
                counters.file
            ))
        })
    }

    /// Returns what these counters say was reached.
    pub fn reached<'a>(&self, counted: impl IntoIterator<Item = &'a FileCounters>) -> Result<Reached> {
        let mut reached = Reached::default();
        for file in counted {
            let (mut arcs, mut before) = (BTreeSet::new(), 0);
            self.each_function(file, |function, counts| {
                arcs.extend((before..).zip(counts).filter(|(_, count)| **count > 0).map(|(arc, _)| arc));
                before += function.arcs.len() as u32;
            })?;
            reached.arcs.insert(file.file.clone(), arcs);
        }
        Ok(reached)
    }

    /// Returns which lines and functions of files of source that `wanted` says yes to were executed, as these counters say: those of
    /// blocks that were. gcov reckons lines by the ways into them, and says of a few others that they were not.
    pub fn executed<'a>(
        &self,
        counted: impl IntoIterator<Item = &'a FileCounters>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<ExecutedSource> {
        let mut executed = ExecutedSource::default();
        for file in counted {
            self.each_function(file, |function, counts| executed.add(function, counts, &wanted))?;
        }
        Ok(executed)
    }

    /// Calls `take` with each function of a file, and how often each of its arcs was taken.
    fn each_function(&self, file: &FileCounters, mut take: impl FnMut(&FunctionNotes, &[u64])) -> Result<()> {
        let counters = file.unpack();
        let mut counters = counters.as_slice();
        for function in &self.file(file)?.functions {
            let own;
            (own, counters) = counters.split_at(function.counters().min(counters.len()));
            let is_executed = own.iter().any(|count| *count > 0);
            let counts = if is_executed { flow::arc_counts(function, own) } else { vec![0; function.arcs.len()] };
            take(function, &counts);
        }
        Ok(())
    }
}

impl ExecutedSource {
    fn add(&mut self, function: &FunctionNotes, counts: &[u64], wanted: impl Fn(&str) -> bool) {
        let blocks = flow::executed_blocks(function, counts);
        if blocks.contains(&flow::ENTRY) && wanted(&function.source) {
            self.functions.insert((function.source.clone(), function.line, function.name.clone()));
        }
        for of_block in function.lines.iter().filter(|of_block| blocks.contains(&(of_block.block as usize))) {
            if wanted(&of_block.source) {
                self.lines.entry(of_block.source.clone()).or_default().extend(&of_block.lines);
            }
        }
    }
}

impl Reached {
    /// Adds what another set has.
    pub fn join(&mut self, other: &Self) {
        for (file, arcs) in &other.arcs {
            self.arcs.entry(file.clone()).or_default().extend(arcs);
        }
    }

    /// Returns how many arcs another set has that this one has not.
    pub fn new_in(&self, other: &Self) -> usize {
        let new = |(file, arcs): (&String, &BTreeSet<u32>)| match self.arcs.get(file) {
            Some(known) => arcs.difference(known).count(),
            None => arcs.len(),
        };
        other.arcs.iter().map(new).sum()
    }

    /// Returns how many arcs were taken.
    pub fn arcs(&self) -> usize {
        self.arcs.values().map(BTreeSet::len).sum()
    }
}
