//! How much the workload has done so far, so that somebody who waits can see that it goes on.

use std::sync::atomic::{AtomicU64, Ordering};

static DONE: AtomicU64 = AtomicU64::new(0);

/// Notes that a piece of work is done: a call of getdents64, some files made.
pub fn made() {
    DONE.fetch_add(1, Ordering::Relaxed);
}

/// Returns how many pieces are done since the program began. Two equal numbers at two times: nothing happened between.
pub fn pieces() -> u64 {
    DONE.load(Ordering::Relaxed)
}
