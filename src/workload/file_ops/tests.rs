//! Trials of operations in a local directory: each ends as the model says, and leaves what it says.

use super::action::{AclKind, Action, LockKind, NodeKind, errno_name, errno_of_name};
use super::buffers::Buffers;
use super::expect::Expected;
use super::item_name::path_of;
use super::model::Model;
use super::perform::{Call, Outcome, close};
use super::verify;
use nix::errno::Errno;
use std::fs::File;
use std::path::Path;

/// A directory, what must be in it, and what is open.
struct Desk {
    dir: tempfile::TempDir,
    model: Model,
    files: Vec<File>,
    buffers: Buffers,
}

impl Desk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, model: Model::new(5), files: Vec::new(), buffers: Buffers::default() }
    }

    /// Does it, and compares how it ended with what the model says.
    fn act(&mut self, action: Action, at: &str) {
        let outcome = self.call(&action, at);
        let expected = self.model.expect(&action, at);
        match (outcome, expected) {
            (Outcome::Done, Expected::Success | Expected::Either) => self.model.apply(&action, at),
            (Outcome::Opened(file), Expected::Success) => {
                self.model.apply(&action, at);
                self.files.push(file);
            }
            (Outcome::Failed(errno), Expected::Failure(wanted)) => assert_eq!(errno, wanted, "{action} at {at:?}"),
            (Outcome::Failed(_), Expected::Either) => {}
            (outcome, expected) => panic!("{action} at {at:?} ended with {outcome:?} and must with {expected:?}"),
        }
        if action == Action::Close {
            self.files.pop().map(close).unwrap().unwrap();
        }
    }

    fn call(&mut self, action: &Action, at: &str) -> Outcome {
        let path = |at: &str| self.dir.path().join(path_of("name", at));
        let target = action.target().map(path);
        let call = Call {
            action,
            path: &path(at),
            target: target.as_deref(),
            open: self.files.last(),
            at,
            model: &self.model,
        };
        call.perform(&mut self.buffers)
    }

    fn verify(&mut self) -> Result<(), String> {
        verify::all(self.dir.path(), &self.model, &mut self.buffers, |at| path_of("name", at))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

#[test]
fn each_operation_ends_as_the_model_says() {
    let word = |text: &str| text.to_owned();
    let mut desk = Desk::new();
    let steps = vec![
        (Action::Unlink, ""),
        (Action::OpenRead, ""),
        (Action::CreateExclusive, ""),
        (Action::CreateExclusive, ""),
        (Action::Write(5000), ""),
        (Action::Append(100), ""),
        (Action::Read(9000), ""),
        (Action::MmapWrite(4096), ""),
        (Action::MmapRead(5100), ""),
        (Action::Fsync, ""),
        (Action::Fallocate(9000), ""),
        (Action::Punch(4096), ""),
        (Action::Read(9000), ""),
        (Action::SeekData, ""),
        (Action::SeekHole, ""),
        (Action::CopyRange(word("copy")), ""),
        (Action::Ftruncate(6000), ""),
        (Action::Lock(LockKind::Ofd), ""),
        (Action::OpenReadWrite, ""),
        (Action::Lock(LockKind::Ofd), ""),
        (Action::TestLock(LockKind::Ofd), ""),
        (Action::Close, ""),
        (Action::Unlock(LockKind::Ofd), ""),
        (Action::Lock(LockKind::Flock), ""),
        (Action::LockShared(LockKind::Posix), ""),
        (Action::Close, ""),
        (Action::OpenAppend, ""),
        (Action::Read(1), ""),
        (Action::Write(10), ""),
        (Action::Close, ""),
        (Action::OpenRead, ""),
        (Action::Write(10), ""),
        (Action::Ftruncate(10), ""),
        (Action::MmapWrite(10), ""),
        (Action::Lock(LockKind::Posix), ""),
        (Action::Close, ""),
        (Action::Chmod(0o600), ""),
        (Action::Utimens(1_000_000_000), ""),
        (Action::Stat, ""),
        (Action::Link(word("b")), ""),
        (Action::Link(word("b")), ""),
        (Action::Rename(word("b")), ""),
        (Action::Rename(word("copy")), "b"),
        (Action::Mkdir, "d"),
        (Action::Mkdir, "d"),
        (Action::Link(word("d/x")), ""),
        (Action::Link(word("no/x")), ""),
        (Action::Rmdir, "d"),
        (Action::Unlink, "d"),
        (Action::Rename(word("d")), ""),
        (Action::Rename(word("copy")), "d"),
        (Action::Rename(word("d/in")), "d"),
        (Action::Rename(word("e")), "d"),
        (Action::Rename(word("e/y")), "e/x"),
        (Action::OpenWrite, "e"),
        (Action::Symlink(word("some/where")), "s"),
        (Action::Symlink(word("some/where")), "s"),
        (Action::Readlink, "s"),
        (Action::Readlink, ""),
        (Action::Mknod(NodeKind::Fifo), "fifo"),
        (Action::Mknod(NodeKind::Socket), "socket"),
        (Action::Statfs, ""),
        (Action::Truncate(20), ""),
        (Action::Truncate(20), "e"),
        (Action::Listxattr, ""),
        (Action::Getxattr(word("user.none")), ""),
        (Action::GetAcl(AclKind::Posix), ""),
        (Action::Stat, "fifo"),
        (Action::Stat, "e/y"),
        (Action::OpenTruncate, ""),
        (Action::SeekHole, ""),
    ];
    for (action, at) in steps {
        desk.act(action, at);
        desk.verify().unwrap();
    }
    assert_eq!(desk.model.names.keys().collect::<Vec<_>>(), ["", "copy", "e", "e/y", "fifo", "s", "socket"]);
    assert_eq!(desk.model.object("").unwrap().links, 3);
}

#[test]
fn what_is_not_as_it_must_be_is_told() {
    let made = || {
        let mut desk = Desk::new();
        for action in [Action::Create, Action::Write(100), Action::Close, Action::Link("b".into())] {
            desk.act(action, "");
        }
        desk.act(Action::Symlink("here".into()), "s");
        desk.verify().unwrap();
        desk
    };
    type Spoil = fn(&Path, &Path, &Path);
    let table: [(Spoil, &str); 6] = [
        (|file, _, _| std::fs::write(file, [1; 100]).unwrap(), "name: byte 0 is 0x01 and must be"),
        (
            |file, _, _| drop(std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(99)),
            "99 bytes and must have 100",
        ),
        (|_, other, _| std::fs::remove_file(other).unwrap(), "it has 1 names and must have 2"),
        (|file, _, _| std::fs::remove_file(file).unwrap(), "name: it cannot be found: "),
        (
            |file, _, _| {
                std::fs::remove_file(file).unwrap();
                std::fs::create_dir(file).unwrap();
            },
            "it is no longer a file",
        ),
        (
            |_, _, link| {
                std::fs::remove_file(link).unwrap();
                std::os::unix::fs::symlink("there", link).unwrap();
            },
            "name.s: it leads to \"there\" and not to \"here\"",
        ),
    ];
    for (spoil, expected) in table {
        let mut desk = made();
        spoil(&desk.path("name"), &desk.path("name.b"), &desk.path("name.s"));
        let wrong = desk.verify().unwrap_err();
        assert!(wrong.contains(expected), "{wrong}");
    }
}

#[test]
fn bytes_that_nobody_wrote_are_seen_while_reading() {
    let mut desk = Desk::new();
    desk.act(Action::Create, "");
    desk.act(Action::Write(100), "");
    std::fs::write(desk.path("name"), [0; 100]).unwrap();
    assert!(matches!(desk.call(&Action::Read(100), ""), Outcome::Wrong(what) if what.contains("and must be")));
    std::fs::write(desk.path("name"), [0; 10]).unwrap();
    desk.model.apply(&Action::Punch(100), "");
    assert!(matches!(desk.call(&Action::Read(100), ""), Outcome::Wrong(what) if what.contains("of a file of 100")));
}

#[test]
fn errors_are_called_by_their_names() {
    for errno in [Errno::EEXIST, Errno::ESTALE, Errno::EOPNOTSUPP, Errno::ENOTEMPTY] {
        assert_eq!(errno_of_name(&errno_name(errno)), Some(errno));
    }
    assert_eq!(errno_of_name("EWHAT"), None);
    assert_eq!(Action::Write(5).to_string(), "write = 5");
    assert_eq!(Action::Rename("b".into()).to_string(), "rename = \"b\"");
    assert_eq!(Action::OpenRead.to_string(), "open-read");
}

#[test]
fn directory_is_not_surely_empty_while_a_file_that_was_removed_from_it_is_open() {
    let mut model = Model::new(5);
    for (action, at) in [(Action::Mkdir, "d"), (Action::Mkdir, "e"), (Action::Create, "d/x"), (Action::Unlink, "d/x")] {
        assert_eq!(model.expect(&action, at), Expected::Success);
        model.apply(&action, at);
    }
    let over = Action::Rename("d".into());
    assert_eq!((model.expect(&Action::Rmdir, "d"), model.expect(&over, "e")), (Expected::Either, Expected::Either));
    assert_eq!(model.expect(&Action::Rmdir, "e"), Expected::Success);
    model.apply(&Action::Close, "");
    assert_eq!((model.expect(&Action::Rmdir, "d"), model.expect(&over, "e")), (Expected::Success, Expected::Success));
}
