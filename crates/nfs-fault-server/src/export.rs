//! What is served, whether a server runs or not: the files, what is changed in them, the faults that are armed, and what was
//! called how often.

use super::fault::{Fault, OldVerifiers};
use super::fault_schedule::{FaultCount, Schedule};
use super::file_table::Files;
use super::object::Object;
use super::procedure::{self, Procedure};
use super::readdir::FIRST_COOKIE;
use crate::dirtree::tree::Tree;
use crate::error::{Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Longest name of a file in Linux (NAME_MAX).
const NAME_MAX: usize = 255;
const DOTS: [&[u8]; 2] = [b".", b".."];

/// The directories of a formula, and all that was changed in them since. Directories are named by their number in the
/// [`Tree`]; 0 is the one that is mounted.
pub struct Export {
    files: RwLock<Files>,
    /// Where an entry was set aside, and its place if there was one.
    aside: Mutex<Option<(usize, Option<u64>)>>,
    verifier: Mutex<Verifier>,
    schedule: Mutex<Schedule>,
    calls: [AtomicU64; procedure::COUNT],
    /// What random bytes come of.
    pub(crate) seed: u64,
}

/// The cookie verifier (RFC 1813, section 3.3.16), and what becomes of older ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verifier {
    pub now: u64,
    pub old: OldVerifiers,
}

impl Export {
    /// Serves the directories of `tree`. The bytes of random replies come of `seed`.
    pub fn new(tree: Tree, seed: u64) -> Self {
        Self {
            files: RwLock::new(Files::new(tree)),
            aside: Mutex::default(),
            verifier: Mutex::new(Verifier { now: 1, old: OldVerifiers::Accept }),
            schedule: Mutex::default(),
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            seed,
        }
    }

    /// Gives a directory a newer change time, so that a client that looks again drops what it has cached.
    pub fn touch(&self, directory: usize) -> Result<()> {
        self.change(directory, "change", |_| Ok(()))
    }

    /// Makes an empty file in a directory, as another client would. It is listed behind all others.
    pub fn create(&self, directory: usize, name: &[u8]) -> Result<()> {
        self.change(directory, "create a file in", |files| {
            self.free(files, directory, name)?;
            files.add(directory, name);
            Ok(())
        })
    }

    /// Removes an entry that is no directory of the shape. The cookies of the others stay the same.
    pub fn remove(&self, directory: usize, name: &[u8]) -> Result<()> {
        self.change(directory, "remove an entry of", |files| {
            let place = there(files, directory, name)?;
            if let (_, Object::Node(_)) = files.entry(directory, place, None, &mut Vec::new()) {
                return Err(format!("\"{}\" is a directory of the shape; it can only be renamed", shown(name)));
            }
            files.take_away(directory, place);
            files.forget(directory, place);
            Ok(())
        })
    }

    /// Renames an entry within its directory. It keeps its cookie and its file.
    pub fn rename(&self, directory: usize, from: &[u8], to: &[u8]) -> Result<()> {
        self.change(directory, "rename an entry of", |files| {
            let place = there(files, directory, from)?;
            self.free(files, directory, to)?;
            files.overlay_mut(directory).call(place, to);
            Ok(())
        })
    }

    /// Sets the entry with this cookie aside: it is gone until [`Self::restore`]. One that was set aside before comes back.
    /// A cookie that no entry has, and those of `.` and `..`, set nothing aside. The change time is newer in any case.
    pub fn set_aside(&self, directory: usize, cookie: u64) -> Result<()> {
        self.restore()?;
        self.change(directory, "remove an entry of", |files| {
            let place = cookie.checked_sub(FIRST_COOKIE).filter(|place| files.has(directory, *place));
            if let Some(place) = place {
                files.take_away(directory, place);
            }
            *lock(&self.aside) = Some((directory, place));
            Ok(())
        })
    }

    /// Makes the entry again that was set aside, with the cookie that it had.
    pub fn restore(&self) -> Result<()> {
        let Some((directory, place)) = lock(&self.aside).take() else { return Ok(()) };
        self.change(directory, "restore an entry of", |files| {
            if let Some(place) = place {
                files.give_back(directory, place);
            }
            Ok(())
        })
    }

    /// Returns whether a directory has an entry with this name.
    pub fn has(&self, directory: usize, name: &[u8]) -> bool {
        self.files().place(directory, name).is_some()
    }

    /// Arms a fault: from now on its replies are counted. One that is equal and still armed begins anew.
    pub fn arm(&self, fault: Fault) -> Result<()> {
        fault.check().map_err(Error::ImpossibleFault)?;
        lock(&self.schedule).arm(fault);
        Ok(())
    }

    /// Arms no fault any more. What has happened stays counted.
    pub fn disarm(&self) {
        lock(&self.schedule).disarm();
    }

    /// Returns each fault that was ever armed, and how often it happened.
    pub fn faults(&self) -> Vec<FaultCount> {
        lock(&self.schedule).tallies().to_vec()
    }

    /// Returns how often a fault happened.
    pub fn fired(&self, fault: &Fault) -> u64 {
        lock(&self.schedule).tallies().iter().find(|tally| tally.fault == *fault).map_or(0, |tally| tally.happened)
    }

    /// Returns how often a procedure was called.
    pub fn calls(&self, procedure: Procedure) -> u64 {
        self.calls[procedure as usize].load(Ordering::Relaxed)
    }

    /// Counts a call of a procedure.
    pub(crate) fn count(&self, procedure: Procedure) {
        self.calls[procedure as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn files(&self) -> RwLockReadGuard<'_, Files> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn files_mut(&self) -> RwLockWriteGuard<'_, Files> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        lock(&self.schedule)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        *lock(&self.verifier)
    }

    pub(crate) fn renew_verifier(&self, old: OldVerifiers) {
        let mut verifier = lock(&self.verifier);
        *verifier = Verifier { now: verifier.now + 1, old };
    }

    /// Fails unless an entry can be called so.
    fn free(&self, files: &Files, directory: usize, name: &[u8]) -> std::result::Result<(), String> {
        let name_of = |place| {
            let mut aside = Vec::new();
            files.entry(directory, place, files.overlay(directory), &mut aside);
            aside
        };
        if !(1..=NAME_MAX).contains(&name.len()) || name.contains(&b'/') || name.contains(&0) || DOTS.contains(&name) {
            let what = "a file's name has 1 to 255 bytes other than NUL and \"/\", and is not \".\" or \"..\"";
            return Err(format!("\"{}\" is no name; {what}", shown(name)));
        }
        if files.place(directory, name).is_some() {
            return Err(format!("\"{}\" is there already; choose another name", shown(name)));
        }
        match *lock(&self.aside) {
            Some((where_, Some(place))) if where_ == directory && name_of(place) == name => {
                Err(format!("\"{}\" is set aside and will be there again; choose another name", shown(name)))
            }
            _ => Ok(()),
        }
    }

    /// Changes a directory, and its change time with it.
    fn change(
        &self,
        directory: usize,
        what: &str,
        change: impl FnOnce(&mut Files) -> std::result::Result<(), String>,
    ) -> Result<()> {
        let mut files = self.files_mut();
        let cannot = |why: String| Error::Change(format!("cannot {what} directory {directory} of the export: {why}"));
        if files.node(directory).is_none() {
            return Err(cannot("there is none with this number".into()));
        }
        change(&mut files).map_err(cannot)?;
        let id = files.node_id(directory);
        files.touch(id);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Returns the place of the entry with this name, or that there is none.
fn there(files: &Files, directory: usize, name: &[u8]) -> std::result::Result<u64, String> {
    files.place(directory, name).ok_or_else(|| format!("\"{}\" is not there", shown(name)))
}
