//! How an operation must end, given what is there.

use super::acl;
use super::action::{AclKind, Action, LockKind};
use super::model::{Model, ObjectKind, Open};
use nix::errno::Errno;

/// How an operation must end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Expected {
    Success,
    Failure(Errno),
    /// File systems differ.
    Either,
    /// It is nothing that can be asked for, as this says.
    Senseless(String),
}

use Expected::{Either, Failure, Senseless, Success};

impl Model {
    /// Returns how an operation on this name must end.
    pub fn expect(&self, action: &Action, at: &str) -> Expected {
        if action.needs_open() {
            return match self.top() {
                Some((open, _)) => self.expect_of_open(action, open),
                None => Senseless("nothing is open; put `create` or one of the `open-` operations before it".into()),
            };
        }
        if let Err(errno) = self.parent(at) {
            return Failure(errno);
        }
        let there = self.object(at).map(|object| &object.kind);
        if action.opens() {
            return expect_of_opening(action, there);
        }
        match action {
            Action::Symlink(_) | Action::Mkdir | Action::Mknod(_) => match there {
                Some(_) => Failure(Errno::EEXIST),
                None => Success,
            },
            _ => match there {
                None => Failure(Errno::ENOENT),
                Some(kind) => self.expect_of_name(action, at, kind),
            },
        }
    }

    /// Returns the error of a name whose directory is not there.
    fn parent(&self, at: &str) -> Result<(), Errno> {
        let Some((parent, _)) = at.split_once('/') else { return Ok(()) };
        match self.object(parent).map(|object| &object.kind) {
            Some(ObjectKind::Directory) => Ok(()),
            Some(_) => Err(Errno::ENOTDIR),
            None => Err(Errno::ENOENT),
        }
    }

    /// Returns how an operation must end on a name that is there.
    fn expect_of_name(&self, action: &Action, at: &str, kind: &ObjectKind) -> Expected {
        let is_directory = *kind == ObjectKind::Directory;
        match action {
            Action::Unlink if is_directory => Failure(Errno::EISDIR),
            Action::Rmdir if !is_directory => Failure(Errno::ENOTDIR),
            Action::Rmdir if self.has_entries(at) => Failure(Errno::ENOTEMPTY),
            Action::Rmdir if self.has_removed_entries(at) => Either,
            Action::Rename(to) => self.expect_of_rename(at, kind, to),
            Action::Link(_) if is_directory => Failure(Errno::EPERM),
            Action::Link(to) => match (self.parent(to), self.object(to)) {
                (Err(errno), _) => Failure(errno),
                (Ok(()), Some(_)) => Failure(Errno::EEXIST),
                (Ok(()), None) => Success,
            },
            Action::Readlink if !matches!(kind, ObjectKind::Symlink(_)) => Failure(Errno::EINVAL),
            Action::Readlink | Action::Stat | Action::Unlink | Action::Rmdir => Success,
            _ if matches!(kind, ObjectKind::Symlink(_)) => Senseless("it would follow a symbolic link".into()),
            Action::Truncate(_) if is_directory => Failure(Errno::EISDIR),
            Action::Truncate(_) if *kind != ObjectKind::File => Failure(Errno::EINVAL),
            Action::SetAcl(AclKind::Default) | Action::GetAcl(AclKind::Default) if !is_directory => {
                Senseless("only a directory has a default list".into())
            }
            Action::Getxattr(name) | Action::Removexattr(name) => self.expect_of_attribute(at, name, false),
            Action::GetAcl(AclKind::V4) => Success,
            // A list that says no more than the mode may be told or not.
            Action::GetAcl(kind) => self.expect_of_attribute(at, acl::attribute(*kind), *kind == AclKind::Posix),
            _ => Success,
        }
    }

    /// Returns how asking for an attribute must end; one that is there by itself may be told or not.
    fn expect_of_attribute(&self, at: &str, name: &str, may_be_there: bool) -> Expected {
        let is_set = self.object(at).is_some_and(|object| object.attributes.iter().any(|other| other == name));
        // The kernel's own labels are there without being set.
        match () {
            () if is_set => Success,
            () if may_be_there || name.starts_with("security.") => Either,
            () => Failure(Errno::ENODATA),
        }
    }

    fn expect_of_rename(&self, at: &str, kind: &ObjectKind, to: &str) -> Expected {
        if let Err(errno) = self.parent(to) {
            return Failure(errno);
        }
        if to.strip_prefix(at).is_some_and(|rest| rest.starts_with('/')) {
            return Failure(Errno::EINVAL);
        }
        let is_directory = *kind == ObjectKind::Directory;
        match self.object(to).map(|object| object.kind == ObjectKind::Directory) {
            None => Success,
            Some(true) if !is_directory => Failure(Errno::EISDIR),
            Some(false) if is_directory => Failure(Errno::ENOTDIR),
            Some(true) if self.has_entries(to) => Failure(Errno::ENOTEMPTY),
            Some(true) if self.has_removed_entries(to) => Either,
            Some(_) => Success,
        }
    }

    /// Returns how an operation on the file that was opened last must end.
    fn expect_of_open(&self, action: &Action, open: &Open) -> Expected {
        let object = &self.objects[open.object];
        let length = object.contents.length();
        if object.kind == ObjectKind::Directory && !matches!(action, Action::Close | Action::Fsync) {
            return Senseless("what was opened last is a directory".into());
        }
        match action {
            Action::Read(_) | Action::CopyRange(_) if !open.reads => Failure(Errno::EBADF),
            Action::Write(_) | Action::Append(_) | Action::Fallocate(_) | Action::Punch(_) if !open.writes => {
                Failure(Errno::EBADF)
            }
            Action::Ftruncate(_) if !open.writes => Failure(Errno::EINVAL),
            Action::MmapRead(_) if !open.reads => Failure(Errno::EACCES),
            Action::MmapWrite(_) if !(open.reads && open.writes) => Failure(Errno::EACCES),
            Action::MmapRead(bytes) | Action::MmapWrite(bytes) if *bytes > length => {
                Senseless(format!("the file has {length} bytes, and what is mapped behind its end cannot be used"))
            }
            Action::CopyRange(to) => self.expect_of_copy(open.object, to),
            Action::SeekData if object.contents.first_data().is_some() => Success,
            Action::SeekData if length > 0 => Either,
            Action::SeekData | Action::SeekHole if length == 0 => Failure(Errno::ENXIO),
            Action::Lock(kind) => self.expect_of_lock(open, *kind, true, false),
            Action::LockShared(kind) => self.expect_of_lock(open, *kind, false, false),
            Action::TestLock(LockKind::Flock) => Senseless("flock(2) cannot ask about a lock".into()),
            Action::TestLock(kind) => self.expect_of_lock(open, *kind, true, true),
            _ => Success,
        }
    }

    fn expect_of_copy(&self, source: usize, to: &str) -> Expected {
        match (self.parent(to), self.names.get(to)) {
            (Err(errno), _) => Failure(errno),
            (Ok(()), Some(target)) if *target == source => Senseless("a file is not copied to itself".into()),
            (Ok(()), Some(target)) => match self.objects[*target].kind {
                ObjectKind::File => Success,
                ObjectKind::Directory => Failure(Errno::EISDIR),
                ObjectKind::Symlink(_) | ObjectKind::Node(_) => Senseless("it would open a link or a node".into()),
            },
            (Ok(()), None) => Success,
        }
    }

    /// Returns how asking for a lock must end. Locks of POSIX and of open files exclude each other, but those of one process do not.
    fn expect_of_lock(&self, open: &Open, kind: LockKind, is_exclusive: bool, is_test: bool) -> Expected {
        let may = if is_exclusive { open.writes } else { open.reads };
        if !may && !is_test {
            // NFS makes a lock of fcntl(2) of one of flock(2), which locally needs no right.
            return if kind == LockKind::Flock { Either } else { Failure(Errno::EBADF) };
        }
        let others = self.open.iter().filter(|other| other.object == open.object && !std::ptr::eq(*other, open));
        let held: Vec<(LockKind, bool)> = others.flat_map(|other| other.locks.iter().copied()).collect();
        let clashes = |(_, exclusive): &&(LockKind, bool)| *exclusive || is_exclusive;
        let own = open.locks.iter().filter(|(other, _)| *other != kind);
        if held.iter().filter(clashes).any(|(other, _)| *other == kind && kind != LockKind::Posix) {
            return Failure(Errno::EAGAIN);
        }
        if held.iter().chain(own).filter(clashes).any(|(other, _)| *other != kind) {
            return Either;
        }
        Success
    }
}

fn expect_of_opening(action: &Action, there: Option<&ObjectKind>) -> Expected {
    match (action, there) {
        (Action::CreateExclusive, Some(_)) => Failure(Errno::EEXIST),
        (Action::Create | Action::CreateExclusive, None) => Success,
        (_, None) => Failure(Errno::ENOENT),
        (_, Some(ObjectKind::File)) | (Action::OpenRead, Some(ObjectKind::Directory)) => Success,
        (_, Some(ObjectKind::Directory)) => Failure(Errno::EISDIR),
        (_, Some(ObjectKind::Symlink(_) | ObjectKind::Node(_))) => Senseless("it would open a link or a node".into()),
    }
}
