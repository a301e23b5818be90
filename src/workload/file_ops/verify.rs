//! Whether what operations made is there, with what must be in it, and nothing else.

use super::action::NodeKind;
use super::buffers::{Buffers, Trouble};
use super::model::{Model, Object, ObjectKind};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The bits of a mode that chmod(2) sets.
const PERMISSIONS: u32 = 0o7777;

/// Compares what stat(2) tells with what must be so; an error says in words what is not.
pub fn status(found: &Metadata, object: &Object) -> Result<(), String> {
    let kind = found.file_type();
    let (is_kind, what) = match object.kind {
        ObjectKind::File => (kind.is_file(), "a file"),
        ObjectKind::Directory => (kind.is_dir(), "a directory"),
        ObjectKind::Symlink(_) => (kind.is_symlink(), "a symbolic link"),
        ObjectKind::Node(NodeKind::Fifo) => (kind.is_fifo(), "a FIFO"),
        ObjectKind::Node(NodeKind::Socket) => (kind.is_socket(), "a socket"),
        ObjectKind::Node(NodeKind::Char) => (kind.is_char_device(), "a character device"),
        ObjectKind::Node(NodeKind::Block) => (kind.is_block_device(), "a block device"),
    };
    if !is_kind {
        return Err(format!("it is no longer {what}"));
    }
    let is_file = object.kind == ObjectKind::File;
    let told = [
        (is_file, "bytes", found.len(), object.contents.length()),
        (object.kind != ObjectKind::Directory, "names", found.nlink(), object.links),
        (
            object.mode.is_some(),
            "as its mode",
            u64::from(found.mode() & PERMISSIONS),
            u64::from(object.mode.unwrap_or(0)),
        ),
        (object.owner.is_some(), "as its owner", u64::from(found.uid()), u64::from(object.owner.unwrap_or(0))),
        (object.seconds.is_some(), "as its time", found.mtime() as u64, u64::from(object.seconds.unwrap_or(0))),
    ];
    match told.iter().find(|(is_known, _, found, wanted)| *is_known && found != wanted) {
        Some((_, what, found, wanted)) => Err(format!("it has {found} {what} and must have {wanted}")),
        None => Ok(()),
    }
}

/// Looks at all that belongs to a name in a directory: what must be there is, as it must be; an error says what is not.
pub fn all(dir: &Path, model: &Model, buffers: &mut Buffers, path_of: impl Fn(&str) -> String) -> Result<(), String> {
    for (at, number) in &model.names {
        let name = path_of(at);
        let wrong = |what: String| format!("{name}: {what}");
        one(&dir.join(&name), &model.objects[*number], buffers).map_err(wrong)?;
    }
    Ok(())
}

fn one(path: &Path, object: &Object, buffers: &mut Buffers) -> Result<(), String> {
    let cannot = |what: &'static str| move |e: std::io::Error| format!("it cannot be {what}: {e}");
    let found = fs::symlink_metadata(path).map_err(cannot("found"))?;
    match &object.kind {
        ObjectKind::File if found.is_file() => {
            let file = File::open(path).map_err(cannot("opened"))?;
            // A client that was told that nobody else looks writes back now.
            let found = file.metadata().map_err(cannot("looked at"))?;
            status(&found, object)?;
            buffers.read(&file, &object.contents, object.contents.length() + 1).map_err(|trouble| match trouble {
                Trouble::Errno(errno) => format!("it cannot be read: {errno}"),
                Trouble::Wrong(what) => what,
            })
        }
        ObjectKind::Symlink(text) => {
            status(&found, object)?;
            let read = fs::read_link(path).map_err(cannot("read"))?;
            if read.as_os_str() == text.as_str() {
                Ok(())
            } else {
                Err(format!("it leads to {read:?} and not to {text:?}"))
            }
        }
        _ => status(&found, object),
    }
}
