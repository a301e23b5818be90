//! Programs that hear of signals, whatever this one was told to pass over.

use nix::libc;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What asks a program to end.
const ENDING: [libc::c_int; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Has it hear of what asks it to end. A shell without job control starts what it puts into the background with SIGINT and SIGQUIT
/// ignored, which is passed on to all that they start, and dirleak heeds it.
pub fn that_hears(command: &mut Command) -> &mut Command {
    let hear = || {
        for signal in ENDING {
            // SAFETY: signal is async-signal-safe and installs no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: as above.
    unsafe { command.pre_exec(hear) }
}
