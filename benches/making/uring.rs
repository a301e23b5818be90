//! Making entries by io_uring, in batches.

use super::{MODE, c_string, opened, terminated};
use dirleak::dirtree::names::NameMaker;
use io_uring::{IoUring, opcode, types};
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{SFlag, mknodat};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Entries submitted by one system call.
const BATCH: u32 = 256;

pub fn ring() -> io::Result<IoUring> {
    IoUring::new(BATCH)
}

/// Makes `count` hard links, which is the fastest that io_uring has: it knows no mknodat.
pub fn link(dir: &Path, names: &NameMaker, count: u64) {
    let mut ring = ring().expect("there was a ring before");
    let fd = opened(dir);
    let seed = c_string(&dir.with_extension("seed"));
    let mut batch = vec![Vec::new(); BATCH as usize];
    for begin in (0..count).step_by(BATCH as usize) {
        if begin % (u64::from(BATCH) * 200) == 0 {
            let _ = nix::unistd::unlink(&*seed);
            mknodat(AT_FDCWD, &*seed, SFlag::S_IFREG, MODE, 0).expect("a file is made");
        }
        let mut submitted = 0;
        for (number, name) in (begin..count).zip(&mut batch) {
            let name = terminated(names, number, name);
            let link =
                opcode::LinkAt::new(types::Fd(libc::AT_FDCWD), seed.as_ptr(), types::Fd(fd.as_raw_fd()), name.as_ptr());
            // SAFETY: both names live until all entries of the batch are done, which is waited for below.
            unsafe { ring.submission().push(&link.build()) }.expect("a batch fits the ring");
            submitted += 1;
        }
        ring.submit_and_wait(submitted).expect("the ring works");
        let done = ring.completion().map(|entry| assert_eq!(entry.result(), 0)).count();
        assert_eq!(done, submitted);
    }
    let _ = nix::unistd::unlink(&*seed);
}
