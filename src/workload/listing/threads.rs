//! Several threads that read one directory at once, through one open file or each through its own.

use super::Lister;
use super::entry::{Counts, Dirent, ListError, ReadMethod, duplicate, failed, open_directory};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Barrier;

/// What threads that read one directory share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenFiles {
    /// One open file, and with it its position: each entry goes to exactly one of them.
    One,
    /// Nothing: each sees every entry.
    OneEach,
}

/// Lists `dir` to the end by as many threads as there are closures, which get the records of their thread and say whether it
/// is to go on. All begin at the same time. How each of them fared is in the order of the closures.
pub fn list<F>(dir: &Path, way: ReadMethod, files: OpenFiles, each: Vec<F>) -> Vec<Result<Counts, ListError>>
where
    F: FnMut(&Dirent) -> ControlFlow<()> + Send,
{
    let opened = match files {
        OpenFiles::One => open_once(dir, each.len()),
        OpenFiles::OneEach => each.iter().map(|_| open_directory(dir).map_err(failed("open"))).collect(),
    };
    let begin = &Barrier::new(each.len());
    std::thread::scope(|scope| {
        let read = |(fd, each)| {
            scope.spawn(move || {
                begin.wait();
                read(fd?, way, each)
            })
        };
        let threads: Vec<_> = opened.into_iter().zip(each).map(read).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// Opens a directory once, for so many readers.
fn open_once(dir: &Path, readers: usize) -> Vec<Result<OwnedFd, ListError>> {
    let first = open_directory(dir).map_err(failed("open"));
    (0..readers).map(|_| first.as_ref().map_err(Clone::clone).and_then(duplicate)).collect()
}

fn read(fd: OwnedFd, way: ReadMethod, each: impl FnMut(&Dirent) -> ControlFlow<()>) -> Result<Counts, ListError> {
    let mut lister = Lister::new(way);
    let mut reading = lister.read(fd)?;
    reading.go_on(each)?;
    Ok(reading.counts())
}
