//! The system calls of each operation.

use super::acl;
use super::action::{AclKind, Action, NodeKind};
use super::buffers::{Buffers, Checked, Trouble};
use super::contents::Contents;
use super::locks::{self, Ask};
use super::model::{Model, Object, ObjectKind};
use super::verify;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FallocateFlags, fallocate};
use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, msync, munmap};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::statfs::statfs;
use nix::sys::time::TimeSpec;
use nix::unistd::{Whence, lseek, truncate};
use std::ffi::{CString, OsStr};
use std::fs::{self, File, OpenOptions, Permissions};
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::Path;

const FILE_MODE: u32 = 0o644;
/// Of extended attributes: a list of them, or one.
const MOST_ATTRIBUTE_BYTES: usize = 1 << 16;
/// The value of an attribute is so long.
const ATTRIBUTE_BYTES: usize = 32;

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    Done,
    /// The file is open.
    Opened(File),
    Failed(Errno),
    /// It went through, and what it brought is wrong, as this says.
    Wrong(String),
}

/// One operation on one name.
pub struct Call<'a> {
    pub action: &'a Action,
    /// The name's path.
    pub path: &'a Path,
    /// That of the other name that it is about.
    pub target: Option<&'a Path>,
    /// What was opened last.
    pub open: Option<&'a File>,
    /// What stands behind the name.
    pub at: &'a str,
    /// What is there before the operation.
    pub model: &'a Model,
}

impl Call<'_> {
    /// Makes the calls of an operation; what must be open or there has been looked for.
    pub fn perform(&self, buffers: &mut Buffers) -> Outcome {
        let done = if self.action.opens() {
            self.open().map(Some)
        } else if self.action.needs_open() {
            self.perform_on_open(buffers).map(|()| None)
        } else {
            self.perform_on_name().map(|()| None)
        };
        match done {
            Ok(None) => Outcome::Done,
            Ok(Some(file)) => Outcome::Opened(file),
            Err(Trouble::Errno(errno)) => Outcome::Failed(errno),
            Err(Trouble::Wrong(what)) => Outcome::Wrong(what),
        }
    }

    fn open(&self) -> Result<File, Trouble> {
        let mut options = OpenOptions::new();
        options.mode(FILE_MODE);
        match self.action {
            Action::Create => options.read(true).write(true).create(true).truncate(true),
            Action::CreateExclusive => options.read(true).write(true).create_new(true),
            Action::OpenRead => options.read(true),
            Action::OpenWrite => options.write(true),
            Action::OpenAppend => options.append(true),
            Action::OpenTruncate => options.write(true).truncate(true),
            Action::OpenDirect => options.read(true).write(true).custom_flags(libc::O_DIRECT),
            _ => options.read(true).write(true),
        };
        Ok(options.open(self.path)?)
    }

    fn perform_on_open(&self, buffers: &mut Buffers) -> Checked {
        let (Some(file), Some((open, object))) = (self.open, self.model.top()) else { return Err(Errno::EBADF.into()) };
        let contents = &object.contents;
        let end = contents.length();
        match *self.action {
            Action::Read(bytes) => buffers.read(file, contents, bytes)?,
            Action::Write(bytes) if open.appends => buffers.write(file, contents, end, bytes)?,
            Action::Write(bytes) => buffers.write(file, contents, 0, bytes)?,
            Action::Append(bytes) => buffers.write(file, contents, end, bytes)?,
            Action::MmapRead(bytes) => map(file, contents, bytes, false)?,
            Action::MmapWrite(bytes) => map(file, contents, bytes, true)?,
            Action::Fsync => file.sync_all()?,
            Action::Ftruncate(length) => file.set_len(length)?,
            Action::Fallocate(bytes) => fallocate(file, FallocateFlags::empty(), 0, signed(bytes))?,
            Action::Punch(bytes) => {
                let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(file, hole, 0, signed(bytes))?;
            }
            Action::SeekData => seek_data(file, contents)?,
            Action::SeekHole => _ = lseek(file, 0, Whence::SeekHole)?,
            Action::CopyRange(_) => copy(file, self.target, end)?,
            Action::Lock(kind) => locks::ask(file, kind, Ask::Exclusive)?,
            Action::LockShared(kind) => locks::ask(file, kind, Ask::Shared)?,
            Action::Unlock(kind) => locks::ask(file, kind, Ask::Release)?,
            Action::TestLock(kind) => locks::ask(file, kind, Ask::Test)?,
            _ => {}
        }
        Ok(())
    }

    fn perform_on_name(&self) -> Checked {
        let path = self.path;
        let target = self.target.unwrap_or(path);
        match self.action {
            Action::Truncate(length) => truncate(path, signed(*length))?,
            Action::Unlink => fs::remove_file(path)?,
            Action::Rename(_) => fs::rename(path, target)?,
            Action::Link(_) => fs::hard_link(path, target)?,
            Action::Symlink(text) => symlink(text, path)?,
            Action::Readlink => self.read_link()?,
            Action::Mkdir => fs::create_dir(path)?,
            Action::Rmdir => fs::remove_dir(path)?,
            Action::Mknod(kind) => make_node(path, *kind)?,
            Action::Stat => self.stat()?,
            Action::Statfs => _ = statfs(path)?,
            Action::Chmod(mode) => fs::set_permissions(path, Permissions::from_mode(*mode))?,
            Action::Chown(owner) => chown(path, Some(*owner), None)?,
            Action::Utimens(seconds) => {
                let time = TimeSpec::new(i64::from(*seconds), 0);
                utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::FollowSymlink)?;
            }
            Action::Setxattr(name) => set_attribute(path, name, &value(name))?,
            Action::Getxattr(name) => {
                let is_set = self.object().is_some_and(|object| object.attributes.contains(name));
                let read = attribute(path, name)?;
                if is_set && read != value(name) {
                    return Err(Trouble::Wrong(format!("`{name}` has another value than was set")));
                }
            }
            Action::Removexattr(name) => remove_attribute(path, name)?,
            Action::Listxattr => self.list_attributes()?,
            Action::SetAcl(AclKind::V4) => {
                let list = attribute(path, acl::attribute(AclKind::V4))?;
                set_attribute(path, acl::attribute(AclKind::V4), &list)?;
            }
            Action::SetAcl(kind) => set_attribute(path, acl::attribute(*kind), &acl::posix())?,
            Action::GetAcl(kind) => self.get_acl(*kind)?,
            _ => {}
        }
        Ok(())
    }

    fn object(&self) -> Option<&Object> {
        self.model.object(self.at)
    }

    fn stat(&self) -> Checked {
        let found = fs::symlink_metadata(self.path)?;
        let Some(object) = self.object() else { return Ok(()) };
        verify::status(&found, object).map_err(Trouble::Wrong)
    }

    fn read_link(&self) -> Checked {
        let read = fs::read_link(self.path)?;
        match self.object().map(|object| &object.kind) {
            Some(ObjectKind::Symlink(text)) if read.as_os_str() != OsStr::new(text) => {
                Err(Trouble::Wrong(format!("the link leads to {read:?} and not to {text:?}")))
            }
            _ => Ok(()),
        }
    }

    fn list_attributes(&self) -> Checked {
        let listed = attribute_names(self.path)?;
        let set = self.object().map(|object| object.attributes.as_slice()).unwrap_or_default();
        // Lists of POSIX are told as attributes by some file systems only.
        match set.iter().find(|name| name.starts_with("user.") && !listed.contains(name)) {
            Some(name) => Err(Trouble::Wrong(format!("`{name}` was set and is not listed"))),
            None => Ok(()),
        }
    }

    fn get_acl(&self, kind: AclKind) -> Checked {
        let name = acl::attribute(kind);
        let is_set = self.object().is_some_and(|object| object.attributes.iter().any(|other| other == name));
        let read = attribute(self.path, name)?;
        if is_set && kind != AclKind::V4 && read != acl::posix() {
            return Err(Trouble::Wrong("the access control list is another one than was set".into()));
        }
        Ok(())
    }
}

/// Closes a file; what went wrong with what was written is told only now.
pub fn close(file: File) -> nix::Result<()> {
    let fd = file.into_raw_fd();
    // SAFETY: the descriptor is ours, and nobody has it any more.
    Errno::result(unsafe { libc::close(fd) }).map(drop)
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Maps so many bytes from the beginning and writes them, or reads and compares them.
fn map(file: &File, contents: &Contents, bytes: u64, writes: bool) -> Checked {
    let Some(length) = NonZeroUsize::new(bytes as usize) else { return Err(Errno::EINVAL.into()) };
    let protection = if writes { ProtFlags::PROT_READ | ProtFlags::PROT_WRITE } else { ProtFlags::PROT_READ };
    // SAFETY: a new mapping is nobody else's, and it is gone before the file can be made shorter by us.
    unsafe {
        let mapped = mmap(None, length, protection, MapFlags::MAP_SHARED, file.as_fd(), 0)?;
        let checked = if writes {
            let memory = std::slice::from_raw_parts_mut(mapped.as_ptr().cast::<u8>(), length.get());
            contents.fill_pattern(0, memory);
            msync(mapped, length.get(), MsFlags::MS_SYNC).map_err(Trouble::from)
        } else {
            let memory = std::slice::from_raw_parts(mapped.as_ptr().cast::<u8>(), length.get());
            let mut expected = vec![0; length.get()];
            contents.fill(0, &mut expected);
            match memory.iter().zip(&expected).position(|(found, wanted)| found != wanted) {
                Some(at) => Err(Trouble::Wrong(format!("byte {at} of what is mapped is wrong"))),
                None => Ok(()),
            }
        };
        munmap(mapped, length.get())?;
        checked
    }
}

fn seek_data(file: &File, contents: &Contents) -> Checked {
    let found = lseek(file, 0, Whence::SeekData)?;
    match contents.first_data() {
        Some(first) if found > signed(first) => {
            Err(Trouble::Wrong(format!("the first data are told to be at byte {found}, and are at {first}")))
        }
        _ => Ok(()),
    }
}

/// Copies `bytes` from the beginning of a file to another, which is made.
fn copy(from: &File, to: Option<&Path>, bytes: u64) -> Checked {
    let Some(to) = to else { return Err(Errno::EINVAL.into()) };
    let to = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(to)?;
    let (mut read, mut written) = (0, 0);
    while written < signed(bytes) {
        let left = (signed(bytes) - written) as usize;
        // SAFETY: two open files and two numbers that outlive the call.
        let copied =
            unsafe { libc::copy_file_range(from.as_raw_fd(), &mut read, to.as_raw_fd(), &mut written, left, 0) };
        if Errno::result(copied)? == 0 {
            return Err(Trouble::Wrong(format!("copying ended at byte {written} of {bytes}")));
        }
    }
    Ok(close(to)?)
}

fn make_node(path: &Path, kind: NodeKind) -> nix::Result<()> {
    let (kind, device) = match kind {
        NodeKind::Fifo => (SFlag::S_IFIFO, 0),
        NodeKind::Socket => (SFlag::S_IFSOCK, 0),
        // The null device and the first RAM disk, which nobody opens.
        NodeKind::Char => (SFlag::S_IFCHR, libc::makedev(1, 3)),
        NodeKind::Block => (SFlag::S_IFBLK, libc::makedev(1, 0)),
    };
    mknod(path, kind, Mode::from_bits_truncate(FILE_MODE), device)
}

/// The label that files are given: one that the policy of guests knows, and no file of theirs has by itself.
pub const LABEL: &str = "system_u:object_r:unlabeled_t";

/// Returns what is set as an attribute: a label of SELinux must be one.
fn value(name: &str) -> Vec<u8> {
    match name {
        "security.selinux" => format!("{LABEL}\0").into_bytes(),
        _ => name.bytes().cycle().take(ATTRIBUTE_BYTES).collect(),
    }
}

fn c_string(bytes: &[u8]) -> nix::Result<CString> {
    CString::new(bytes).map_err(|_| Errno::EINVAL)
}

fn set_attribute(path: &Path, name: &str, value: &[u8]) -> nix::Result<()> {
    let (path, name) = (c_string(path.as_os_str().as_bytes())?, c_string(name.as_bytes())?);
    // SAFETY: two C strings and memory of the length that is told, all of which outlive the call.
    let result = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(result).map(drop)
}

fn remove_attribute(path: &Path, name: &str) -> nix::Result<()> {
    let (path, name) = (c_string(path.as_os_str().as_bytes())?, c_string(name.as_bytes())?);
    // SAFETY: two C strings that outlive the call.
    Errno::result(unsafe { libc::lremovexattr(path.as_ptr(), name.as_ptr()) }).map(drop)
}

fn attribute(path: &Path, name: &str) -> nix::Result<Vec<u8>> {
    let (path, name) = (c_string(path.as_os_str().as_bytes())?, c_string(name.as_bytes())?);
    let mut read = vec![0_u8; MOST_ATTRIBUTE_BYTES];
    // SAFETY: two C strings and memory of the length that is told, all of which outlive the call.
    let length =
        Errno::result(unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), read.as_mut_ptr().cast(), read.len()) })?;
    read.truncate(length as usize);
    Ok(read)
}

fn attribute_names(path: &Path) -> nix::Result<Vec<String>> {
    let path = c_string(path.as_os_str().as_bytes())?;
    let mut read = vec![0_u8; MOST_ATTRIBUTE_BYTES];
    // SAFETY: a C string and memory of the length that is told, which outlive the call.
    let length = Errno::result(unsafe { libc::llistxattr(path.as_ptr(), read.as_mut_ptr().cast(), read.len()) })?;
    let names = read[..length as usize].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}
