//! A program as a step, in a directory of the mount or of control rounds.

use super::program::{WORK, end_what_is_left, processes, run, tasks};
use super::runner::UnitRunner;
use super::side::Side;
use crate::agent::target::UnitStats;
use crate::error::{Context, Error, Result};
use crate::scenario::program::Program;
use std::fs;
use std::path::PathBuf;

impl UnitRunner {
    /// Runs a program once, and notes what was wrong with it and how many processes it left behind, which are ended.
    pub(super) fn run_program(&mut self, program: &Program, place: Side, played: &mut UnitStats) -> Result<()> {
        let dir = self.work_dir(place)?;
        let mount = self.root(place, 1);
        let ours = match self.programs.ours.take() {
            Some(ours) => ours,
            None => processes()?,
        };
        let unit = &mut self.programs.units[place as usize];
        *unit += 1;
        let told = [
            ("{dir}", dir.display().to_string()),
            ("{mount}", mount.display().to_string()),
            ("{unit}", unit.to_string()),
            ("{seed}", self.programs.seed.to_string()),
        ];
        let packed = self.programs.packed.iter().find(|packed| packed.command == program.command);
        let words = packed.map(|packed| packed.words.as_slice()).unwrap_or_default();
        let words: Vec<String> =
            words.iter().map(|word| told.iter().fold(word.clone(), |w, (k, v)| w.replace(k, v))).collect();
        let before = tasks();
        let wrong = run(&words, &dir, &told, program)?;
        played.left_processes += end_what_is_left(&ours, before)?;
        played.programs += 1;
        self.programs.ours = Some(ours);
        match (wrong, place) {
            (Some(wrong), Side::Local) => Err(Error::machine(format!(
                "{wrong} (in {}, a local directory, where control rounds do the same)",
                dir.display()
            ))),
            (wrong, _) => {
                played.broken = played.broken.take().or(wrong);
                Ok(())
            }
        }
    }

    /// Returns the directory that programs work in, which is there from then on: one of their own, or the mount itself where the server can only
    /// be read.
    fn work_dir(&mut self, place: Side) -> Result<PathBuf> {
        let root = self.root(place, 1);
        if place == Side::Nfs && !self.served.can_be_written() {
            return Ok(root);
        }
        let dir = root.join(WORK);
        // Asking the server for it each time would look like work of the program's.
        if self.programs.units[place as usize] > 0 {
            return Ok(dir);
        }
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => Err(e),
            _ => Ok(dir),
        }
        .machine(|| format!("cannot make the directory {WORK} in {}", root.display()))
    }
}
