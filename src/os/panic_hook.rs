//! What a panic looks like: one sentence, as every other thing that goes wrong.

use std::io::Write;
use std::panic::{PanicHookInfo, set_hook};

/// Has a panic told in one sentence on standard error from now on.
pub fn install() {
    // Where the terminal is gone, eprintln! would panic within a panic, and nothing would be cleared away.
    set_hook(Box::new(|panic| _ = writeln!(std::io::stderr(), "dirleak: {}", sentence(panic))));
}

/// Returns what went wrong and where.
fn sentence(panic: &PanicHookInfo) -> String {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let what = text.unwrap_or("no message").replace('\n', " ");
    let place = panic.location().map_or_else(String::new, |l| format!(" at {}:{}", l.file(), l.line()));
    format!("a bug of dirleak{place}: {what}; please report it with the command line")
}
