//! One name that operations are done to, with what belongs to it and what is open of it.

use crate::scenario::files::FileOp;
use crate::workload::file_ops::action::{Action, errno_name};
use crate::workload::file_ops::buffers::Buffers;
use crate::workload::file_ops::expect::Expected;
use crate::workload::file_ops::item_name::path_of;
use crate::workload::file_ops::model::{Model, ObjectKind};
use crate::workload::file_ops::perform::{Call, Outcome, close};
use crate::workload::file_ops::verify;
use crate::workload::syscall_log;
use nix::errno::Errno;
use std::fs::{self, File};
use std::path::Path;

/// A name, what must be there of it, and its open files, the last one last.
pub(super) struct Item {
    name: String,
    pub(super) model: Model,
    files: Vec<File>,
}

impl Item {
    pub(super) fn new(name: String, salt: u64) -> Self {
        Self { name, model: Model::new(salt), files: Vec::new() }
    }

    /// Does an operation and notes what it changed; gives how it ended, or what it brought that is wrong.
    pub(super) fn perform(
        &mut self,
        op: &FileOp,
        dir: &Path,
        buffers: &mut Buffers,
    ) -> Result<Result<(), Errno>, String> {
        let path = |at: &str| dir.join(path_of(&self.name, at));
        let target = op.action.target().map(path);
        let call = Call {
            action: &op.action,
            path: &path(&op.at),
            target: target.as_deref(),
            open: self.files.last(),
            at: &op.at,
            model: &self.model,
        };
        let mut outcome = call.perform(buffers);
        if op.action == Action::Close {
            outcome = match self.files.pop().map(close) {
                Some(Err(errno)) => Outcome::Failed(errno),
                _ => Outcome::Done,
            };
        }
        let ended = match outcome {
            Outcome::Failed(errno) => Err(errno),
            Outcome::Wrong(what) => return Err(format!("{op} on {}: {what}", path_of(&self.name, &op.at))),
            Outcome::Done => Ok(()),
            Outcome::Opened(file) => {
                self.files.push(file);
                Ok(())
            }
        };
        syscall_log::record(|| {
            let ended = ended.map_or_else(|errno| format!("-1 {}", errno_name(errno)), |()| "0".into());
            format!("{} {} = {ended}", op.action, path_of(&self.name, &op.at))
        });
        if ended.is_ok() || op.action == Action::Close {
            self.model.apply(&op.action, &op.at);
        }
        Ok(ended)
    }

    /// Returns the sentence about an operation that ended otherwise than it must.
    pub(super) fn sentence(&self, op: &FileOp, ended: Result<(), Errno>, expected: &Expected) -> String {
        let how = match ended {
            Ok(()) => "went through".to_owned(),
            Err(errno) => format!("ended with {}", errno_name(errno)),
        };
        let must = match expected {
            Expected::Failure(errno) => format!("must end with {}", errno_name(*errno)),
            _ => "must go through".to_owned(),
        };
        format!("{op} on {} {how} and {must}", path_of(&self.name, &op.at))
    }

    /// Closes what is open, the last one first.
    pub(super) fn close_all(&mut self) -> Result<(), String> {
        while let Some(file) = self.files.pop() {
            self.model.apply(&Action::Close, "");
            close(file).map_err(|errno| format!("closing {} ended with {}", self.name, errno_name(errno)))?;
        }
        Ok(())
    }

    /// Compares what is in a directory of this name with what must be there.
    pub(super) fn verify(&self, dir: &Path, buffers: &mut Buffers) -> Result<(), String> {
        verify::all(dir, &self.model, buffers, |at| path_of(&self.name, at))
    }

    /// Returns the paths of all that must be there.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.model.names.keys().map(|at| path_of(&self.name, at))
    }

    /// Removes all that is there, what is in a directory before the directory.
    pub(super) fn remove_all(&mut self, dir: &Path) -> Result<(), String> {
        let names: Vec<String> = self.model.names.keys().rev().cloned().collect();
        for at in names {
            let path = dir.join(path_of(&self.name, &at));
            let is_directory = self.model.object(&at).is_some_and(|object| object.kind == ObjectKind::Directory);
            let (removed, action) = match is_directory {
                true => (fs::remove_dir(&path), Action::Rmdir),
                false => (fs::remove_file(&path), Action::Unlink),
            };
            removed.map_err(|e| format!("what the operations left cannot be removed: {}: {e}", path.display()))?;
            self.model.apply(&action, &at);
        }
        Ok(())
    }
}
