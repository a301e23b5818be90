//! The system calls that the workload makes, as text, if somebody wants to read them.
//!
//! A line a call, with what is the same whenever the same seed is played: no descriptors, no addresses, no times. Making the
//! directories is one line each, not one for every name.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

static WANTED: AtomicBool = AtomicBool::new(false);
static LINES: Mutex<String> = Mutex::new(String::new());

/// Begins to write down calls.
pub fn begin() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Notes that a call was made; `line` says which, and is not asked if nobody wants to know.
pub fn record<T: Display>(line: impl FnOnce() -> T) {
    if WANTED.load(Ordering::Relaxed) {
        let line = line();
        let mut lines = lines();
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
}

/// Returns the result of a call as strace shows it.
pub fn result<T: Display, E: Display>(result: &Result<T, E>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("-1 {error}"),
    }
}

/// Takes what was written down since this was asked last.
pub fn take() -> String {
    std::mem::take(&mut *lines())
}

fn lines() -> MutexGuard<'static, String> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}
