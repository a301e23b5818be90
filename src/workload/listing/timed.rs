//! A listing that is timed and not looked into: nothing but the calls is on the clock, so that the time is the kernel's.
//!
//! The clock is read before and after each call of getdents64 and not within; what the call brought is counted while the clock stands.
//! Where each entry is to be looked at, a reply's worth of calls of fstatat is on the clock.

use super::entry::{ListError, is_dot, open_directory};
use super::getdents::{Buffer, Dirents};
use crate::error::{Error, Result};
use crate::workload::progress;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How a timed listing reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Of the buffer given to getdents64.
    pub buffer_bytes: usize,
    /// Whether each entry is looked at, as `ls -l` and `du` do.
    pub stat: bool,
    /// Whether the directories in it are listed after it.
    pub walk: bool,
}

/// What a listing took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timed {
    /// On the clock: opening, reading, looking at entries, closing.
    pub time: Duration,
    /// From the beginning until the first call of getdents64 has come back.
    pub first_entry: Duration,
    /// Each call of getdents64.
    pub calls: Vec<Duration>,
    /// `.` and `..` not counted.
    pub entries: u64,
    /// Directories that were read.
    pub directories: u64,
    /// Of the records that getdents64 brought.
    pub bytes: u64,
}

/// Lists `root`. `between` is called after each call of getdents64, with the clock standing and the number of entries seen so far.
pub fn list(root: &Path, course: ReadOptions, mut between: impl FnMut(u64) -> Result<()>) -> Result<Timed> {
    let mut timed = Timed::default();
    let mut buffer = Buffer::new(course.buffer_bytes);
    let mut ahead = vec![root.to_owned()];
    while let Some(dir) = ahead.pop() {
        let (fd, took) = on_the_clock(|| open_directory(&dir));
        timed.time += took;
        let fd = fd.map_err(|errno| broken_off("open", errno, &timed))?;
        timed.directories += 1;
        let first = ahead.len();
        while step(&fd, &dir, course, &mut buffer, &mut timed, &mut ahead)? {
            between(timed.entries)?;
        }
        ahead[first..].reverse();
        timed.time += on_the_clock(|| drop(fd)).1;
    }
    Ok(timed)
}

/// Lists the same directory by nothing but a loop around getdents64, and the clock around that: what timing each call
/// is compared with.
pub fn bare(root: &Path, buffer_bytes: usize) -> Result<Duration> {
    let mut buffer = vec![0u64; buffer_bytes.div_ceil(8)];
    let (read, took) = on_the_clock(|| {
        let fd = open_directory(root)?;
        loop {
            // SAFETY: the buffer is as large as said, and nobody looks at what is written to it.
            let filled =
                unsafe { libc::syscall(libc::SYS_getdents64, fd.as_raw_fd(), buffer.as_mut_ptr(), buffer_bytes) };
            if Errno::result(filled)? == 0 {
                return Ok(());
            }
        }
    });
    read.map_err(|errno| broken_off("getdents64", errno, &Timed::default()))?;
    Ok(took)
}

/// Makes one call of getdents64 and what belongs to it; `false` at the end of the directory.
fn step(
    fd: &OwnedFd,
    dir: &Path,
    course: ReadOptions,
    buffer: &mut Buffer,
    timed: &mut Timed,
    ahead: &mut Vec<PathBuf>,
) -> Result<bool> {
    let (filled, took) = on_the_clock(|| buffer.fill(fd.as_fd()).map(<[u8]>::len));
    timed.time += took;
    if timed.calls.is_empty() {
        timed.first_entry = timed.time;
    }
    timed.calls.push(took);
    progress::made();
    let bytes = filled.map_err(|errno| broken_off("getdents64", errno, timed))?;
    timed.bytes += bytes as u64;
    let records = Dirents(buffer.last(bytes));
    if course.stat {
        let (looked, took) = on_the_clock(|| look_at_all(fd, records.clone()));
        timed.time += took;
        looked.map_err(|errno| broken_off("fstatat", errno, timed))?;
    }
    for record in records.filter(|record| !is_dot(record.name)) {
        timed.entries += 1;
        if course.walk && is_directory(fd, record.name, record.d_type, timed)? {
            ahead.push(dir.join(OsStr::from_bytes(record.name)));
        }
    }
    Ok(bytes > 0)
}

fn on_the_clock<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = call();
    (result, begin.elapsed())
}

fn look_at_all(fd: &OwnedFd, mut records: Dirents) -> std::result::Result<(), Errno> {
    records.try_for_each(|record| look_at(fd, record.name).map(|_| ()))
}

/// Returns the mode of an entry; nothing of one that has gone meanwhile.
fn look_at(fd: &OwnedFd, name: &[u8]) -> std::result::Result<Option<u32>, Errno> {
    match fstatat(fd, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(found) => Ok(Some(found.st_mode)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Returns whether an entry is a directory. Where getdents64 does not say what an entry is, looking at it is part of
/// the walk.
fn is_directory(fd: &OwnedFd, name: &[u8], d_type: u8, timed: &mut Timed) -> Result<bool> {
    if d_type != libc::DT_UNKNOWN {
        return Ok(d_type == libc::DT_DIR);
    }
    let (mode, took) = on_the_clock(|| look_at(fd, name));
    timed.time += took;
    let mode = mode.map_err(|errno| broken_off("fstatat", errno, timed))?;
    Ok(mode.is_some_and(|mode| mode & libc::S_IFMT == libc::S_IFDIR))
}

fn broken_off(call: &'static str, errno: Errno, timed: &Timed) -> Error {
    let failed = ListError { call, errno, entries: timed.entries };
    Error::kernel(format!("a listing that was timed broke off: {failed}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_directory_is_read_and_every_entry_counted() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["a", "b", "a/c"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        (0..100).for_each(|n| drop(fs::File::create(root.path().join(format!("a/c/{n}"))).unwrap()));
        let course = ReadOptions { buffer_bytes: 512, stat: true, walk: true };
        let mut last = 0;
        let timed = list(root.path(), course, |entries| {
            assert!(entries >= last);
            last = entries;
            Ok(())
        });
        let timed = timed.unwrap();
        assert_eq!((timed.entries, timed.directories), (103, 4));
        // Names of 1 or 2 bytes take 24 bytes, so does `..`; there are 103 and two for each directory.
        assert_eq!(timed.bytes, 24 * (103 + 8));
        assert!(timed.calls.len() >= 6 + 3, "{} calls", timed.calls.len());
        assert!(timed.calls.iter().sum::<Duration>() <= timed.time && timed.first_entry <= timed.time);
        let flat = list(root.path(), ReadOptions { walk: false, ..course }, |_| Ok(())).unwrap();
        assert_eq!((flat.entries, flat.directories), (2, 1));
    }

    #[test]
    fn listing_that_breaks_off_says_so() {
        let root = tempfile::tempdir().unwrap();
        let course = ReadOptions { buffer_bytes: 8, stat: false, walk: false };
        let error = list(root.path(), course, |_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with("a listing that was timed broke off: getdents64 failed with EINVAL"), "{error}");
    }
}
