//! What a name and those that belong to it must be like after the operations so far.

use super::acl;
use super::action::{AclKind, Action, LockKind, NodeKind};
use super::contents::Contents;
use std::collections::BTreeMap;

/// A file, directory or link.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub kind: ObjectKind,
    pub contents: Contents,
    /// Names that it has.
    pub links: u64,
    /// Permissions, owner and change of contents, where an operation has set them.
    pub mode: Option<u32>,
    pub owner: Option<u32>,
    pub seconds: Option<u32>,
    /// Extended attributes that were set.
    pub attributes: Vec<String>,
    /// Directories out of which a name of it was taken.
    pub removed_from: Vec<usize>,
}

/// What an object is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ObjectKind {
    File,
    Directory,
    Symlink(String),
    Node(NodeKind),
}

/// A file that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    pub object: usize,
    pub reads: bool,
    pub writes: bool,
    pub appends: bool,
    /// Locks that it holds, and whether for itself alone.
    pub locks: Vec<(LockKind, bool)>,
}

/// All that belongs to one name.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// By what stands behind the name; empty for the name itself.
    pub names: BTreeMap<String, usize>,
    pub objects: Vec<Object>,
    /// What was opened last is last.
    pub open: Vec<Open>,
    salt: u64,
}

impl Model {
    /// Returns what is there before anything is done; what is written will be the bytes of `salt`.
    pub fn new(salt: u64) -> Self {
        Self { salt, ..Self::default() }
    }

    /// Returns what has this name.
    pub fn object(&self, at: &str) -> Option<&Object> {
        self.names.get(at).map(|number| &self.objects[*number])
    }

    /// Returns the file that was opened last, and how it is open.
    pub fn top(&self) -> Option<(&Open, &Object)> {
        self.open.last().map(|open| (open, &self.objects[open.object]))
    }

    /// Returns whether something is in the directory of this name.
    pub fn has_entries(&self, at: &str) -> bool {
        self.names.keys().any(|name| name.strip_prefix(at).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Returns whether a file was taken out of the directory of this name that is still open. NFS has it there under a name of its own until it
    /// is closed (nfs_sillyrename in fs/nfs/unlink.c), so that the directory is not empty.
    pub fn has_removed_entries(&self, at: &str) -> bool {
        let directory = self.names.get(at);
        let mut of_open = self.open.iter().flat_map(|open| &self.objects[open.object].removed_from);
        of_open.any(|removed_from| Some(removed_from) == directory)
    }

    /// Notes that an operation has been done to the name.
    pub fn apply(&mut self, action: &Action, at: &str) {
        match action {
            Action::Create | Action::CreateExclusive | Action::OpenTruncate => {
                let object = self.file(at);
                self.objects[object].contents.truncate(0);
                self.push(object, *action != Action::OpenTruncate, true, false);
            }
            Action::OpenRead => self.push_named(at, true, false, false),
            Action::OpenWrite => self.push_named(at, false, true, false),
            Action::OpenReadWrite | Action::OpenDirect => self.push_named(at, true, true, false),
            Action::OpenAppend => self.push_named(at, false, true, true),
            Action::Unlink | Action::Rmdir => self.remove(at),
            Action::Rename(to) => self.rename(at, to),
            Action::Link(to) => self.link(at, to),
            Action::Symlink(text) => _ = self.make(at, ObjectKind::Symlink(text.clone())),
            Action::Mkdir => _ = self.make(at, ObjectKind::Directory),
            Action::Mknod(kind) => _ = self.make(at, ObjectKind::Node(*kind)),
            Action::CopyRange(to) => self.copy(to),
            Action::Truncate(length) => self.with(at, |object| {
                object.contents.truncate(*length);
                object.seconds = None;
            }),
            Action::Chmod(mode) => self.with(at, |object| object.mode = Some(*mode)),
            Action::Chown(owner) => self.with(at, |object| object.owner = Some(*owner)),
            Action::Utimens(seconds) => self.with(at, |object| object.seconds = Some(*seconds)),
            Action::Setxattr(name) => self.with(at, |object| object.set(name)),
            Action::Removexattr(name) => self.with(at, |object| object.attributes.retain(|other| other != name)),
            Action::SetAcl(AclKind::V4) => {}
            Action::SetAcl(kind) => self.with(at, |object| {
                object.set(acl::attribute(*kind));
                if *kind == AclKind::Posix {
                    object.mode = Some(acl::MODE);
                }
            }),
            other => self.apply_to_open(other),
        }
    }

    /// Notes what was done to the file that was opened last.
    fn apply_to_open(&mut self, action: &Action) {
        if *action == Action::Close {
            self.close();
            return;
        }
        let Some(open) = self.open.last_mut() else { return };
        let object = &mut self.objects[open.object];
        let contents = &mut object.contents;
        let end = contents.length();
        match *action {
            Action::Write(bytes) if open.appends => contents.write(end, bytes),
            Action::Write(bytes) | Action::MmapWrite(bytes) => contents.write(0, bytes),
            Action::Append(bytes) => contents.write(end, bytes),
            Action::Ftruncate(length) => contents.truncate(length),
            Action::Fallocate(bytes) => contents.extend(bytes),
            Action::Punch(bytes) => contents.punch(0, bytes),
            Action::Lock(kind) | Action::LockShared(kind) | Action::Unlock(kind) => {
                open.locks.retain(|(held, _)| *held != kind);
                if !matches!(action, Action::Unlock(_)) {
                    open.locks.push((kind, matches!(action, Action::Lock(_))));
                }
            }
            _ => {}
        }
        if end != contents.length() || matches!(action, Action::Write(_) | Action::MmapWrite(_) | Action::Punch(_)) {
            object.seconds = None;
        }
    }

    fn close(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        // A process has its locks of a file together, and any close lets go of them (fcntl(2)).
        for open in self.open.iter_mut().filter(|open| open.object == closed.object) {
            open.locks.retain(|(kind, _)| *kind != LockKind::Posix);
        }
    }

    /// Returns the number of the file with this name, made if it is not there.
    fn file(&mut self, at: &str) -> usize {
        match self.names.get(at) {
            Some(number) => {
                self.objects[*number].seconds = None;
                *number
            }
            None => self.make(at, ObjectKind::File),
        }
    }

    fn make(&mut self, at: &str, kind: ObjectKind) -> usize {
        let number = self.objects.len();
        let contents = Contents::new(self.salt.wrapping_add(number as u64) << 32);
        self.objects.push(Object {
            kind,
            contents,
            links: 1,
            mode: None,
            owner: None,
            seconds: None,
            attributes: Vec::new(),
            removed_from: Vec::new(),
        });
        self.names.insert(at.to_owned(), number);
        number
    }

    fn push_named(&mut self, at: &str, reads: bool, writes: bool, appends: bool) {
        if let Some(object) = self.names.get(at).copied() {
            self.push(object, reads, writes, appends);
        }
    }

    fn push(&mut self, object: usize, reads: bool, writes: bool, appends: bool) {
        self.open.push(Open { object, reads, writes, appends, locks: Vec::new() });
    }

    fn with(&mut self, at: &str, change: impl FnOnce(&mut Object)) {
        if let Some(number) = self.names.get(at) {
            change(&mut self.objects[*number]);
        }
    }

    fn remove(&mut self, at: &str) {
        if let Some(number) = self.names.remove(at) {
            self.objects[number].links -= 1;
            let parent = at.split_once('/').and_then(|(parent, _)| self.names.get(parent));
            self.objects[number].removed_from.extend(parent);
        }
    }

    fn rename(&mut self, at: &str, to: &str) {
        let Some(number) = self.names.get(at).copied() else { return };
        // Two names of one file: nothing is done (rename(2)).
        if self.names.get(to) == Some(&number) {
            return;
        }
        self.remove(to);
        self.names.remove(at);
        self.names.insert(to.to_owned(), number);
        let within: Vec<String> =
            self.names.keys().filter(|name| name.starts_with(&format!("{at}/"))).cloned().collect();
        for name in within {
            if let Some(entry) = self.names.remove(&name) {
                self.names.insert(format!("{to}{}", &name[at.len()..]), entry);
            }
        }
    }

    fn link(&mut self, at: &str, to: &str) {
        if let Some(number) = self.names.get(at).copied() {
            self.objects[number].links += 1;
            self.names.insert(to.to_owned(), number);
        }
    }

    fn copy(&mut self, to: &str) {
        let Some(source) = self.open.last().map(|open| open.object) else { return };
        let object = self.file(to);
        self.objects[object].contents = self.objects[source].contents.clone();
    }
}

impl Object {
    fn set(&mut self, attribute: &str) {
        if !self.attributes.iter().any(|other| other == attribute) {
            self.attributes.push(attribute.to_owned());
        }
    }
}
